"""The health of backends end to end: out, drained, probed, back."""

import datetime
import time

import pytest

from harness.backends import Service, echo
from harness.net import END, RESET
from harness.wait import SLOWNESS, holds, until

QUICK = {"failure_threshold": 3, "success_threshold": 2, "probe_interval": "100ms",
         "probe_timeout": "500ms"}
SHORT = {"connect_total": "500ms"}  # clients of a backend that always fails give up soon
TRANSITIONS = "loble_backend_transitions_total"


def quick(**changes):
    return {**QUICK, **changes}


def provoke(loble, backend, state, times=200):
    """Clients come until the backend is in that state; each is served by somebody else."""
    for _ in range(times):
        assert loble.ask() == (b"other", END)
        if loble.health(backend.address) == state:
            return
    loble.wait_health(state, backend.address)


def states(metrics, backend):
    """Exactly one state of each axis is 1, and what it is."""
    return (metrics.state("loble_backend_state", backend=str(backend.address)),
            metrics.state("loble_backend_admin_state", backend=str(backend.address)))


@pytest.mark.asan
@pytest.mark.tsan
@pytest.mark.parametrize("workers", [1, 2])
def test_refused_as_often_as_the_threshold_makes_it_unhealthy_and_probes_bring_it_back(
        bench, workers):
    flaky, other = bench.greeter("flaky"), bench.greeter("other")
    loble = bench.loble(flaky, other, server={"workers": workers}, health=QUICK)
    name = str(flaky.address)
    assert states(loble.metrics(), flaky) == ("healthy", "ready")
    flaky.stop()
    provoke(loble, flaky, "unhealthy")
    down = loble.metrics()
    assert down("loble_backend_connect_failures_total", backend=name, reason="refused") >= 3
    assert down(TRANSITIONS, backend=name, **{"from": "healthy", "to": "unhealthy"}) == 1
    assert down("loble_pool_backends", state="unhealthy") == 1
    assert down("loble_pool_backends", state="healthy") == 1
    # Nobody is sent there any more, but probes are.
    failed = down("loble_backend_connect_failures_total", backend=name)
    probes = down("loble_backend_checks_total", backend=name, result="refused")
    for _ in range(10):
        assert loble.ask() == (b"other", END)
    until(lambda: loble.value("loble_backend_checks_total", backend=name, result="refused")
          > probes, "a probe")
    assert loble.value("loble_backend_connect_failures_total", backend=name) == failed
    flaky.start()
    loble.wait_health("healthy", flaky.address)
    up = loble.metrics()
    assert up("loble_backend_checks_total", backend=name, result="success") >= 2
    assert up(TRANSITIONS, backend=name, **{"from": "unhealthy", "to": "healthy"}) == 1
    assert {loble.ask().data for _ in range(6)} == {b"flaky", b"other"}


def test_one_failure_less_than_the_threshold_changes_nothing(bench):
    flaky, other = bench.greeter("flaky"), bench.greeter("other")
    loble = bench.loble(flaky, other, health=quick(failure_threshold=4))
    failed = "loble_backend_connect_failures_total"
    for number in range(1, 4):  # success in between sets the count to 0
        flaky.stop()
        until(lambda: loble.ask().data and loble.value(failed) >= 3 * number, "3 failures")
        flaky.start()
        served = flaky.accepted
        until(lambda: loble.ask().data and flaky.accepted >= served + 2, "a success")
        time.sleep(0.05)  # the success travels from the worker to control
    assert loble.value(TRANSITIONS) == 0
    assert loble.health(flaky.address) == "healthy"


def drained(bench, **tables):
    """A backend with one session that is then taken out by refusals; and the session's ends."""
    tables.setdefault("health", QUICK)
    shy, other = bench.manual(), bench.greeter("other")
    loble = bench.loble(shy, other, **tables)
    while True:
        client = bench.keep(loble.connect())
        if not shy.accepts_nothing(0.5):
            break
    end = shy.peers[-1]
    client.send(b"here")
    assert end.receive(4) == b"here"
    end.send(b"yes")
    assert client.receive(3) == b"yes"
    shy.stop()
    return loble, shy, client, end


@pytest.mark.asan
@pytest.mark.tsan
def test_a_backend_that_fails_with_sessions_drains_and_is_unhealthy_when_they_have_ended(bench):
    loble, shy, client, end = drained(bench)
    provoke(loble, shy, "draining")
    name = str(shy.address)
    client.send(b"still")  # its session goes on
    assert end.receive(5) == b"still"
    assert states(loble.metrics(), shy) == ("draining", "ready")
    client.close()
    assert end.rest() == (b"", END)
    end.close()
    loble.wait_health("unhealthy", shy.address)
    done = loble.metrics()
    assert done(TRANSITIONS, backend=name, **{"from": "healthy", "to": "draining"}) == 1
    assert done(TRANSITIONS, backend=name, **{"from": "draining", "to": "unhealthy"}) == 1
    shy.start()
    loble.wait_health("healthy", shy.address)


def test_one_immortal_session_does_not_keep_a_recovered_backend_out(bench):
    loble, shy, client, end = drained(bench)
    provoke(loble, shy, "draining")
    shy.start()
    loble.wait_health("healthy", shy.address)
    done = loble.metrics()
    assert done(TRANSITIONS, backend=str(shy.address), **{"from": "draining", "to": "healthy"}) == 1
    client.send(b"immortal")
    assert end.receive(8) == b"immortal"


def test_on_unhealthy_close_resets_the_sessions_of_a_failed_backend(bench):
    loble, shy, client, end = drained(bench, balancer={"on_unhealthy": "close"})
    for _ in range(200):
        assert loble.ask() == (b"other", END)
        if loble.health(shy.address) != "healthy":
            break
    assert client.rest() == (b"", RESET)
    assert end.rest() == (b"", RESET)
    loble.wait_health("unhealthy", shy.address)
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_sessions_closed_total", by="proxy", reason="killed") == 1


def test_on_unhealthy_keep_cuts_nothing(bench):
    loble, shy, client, end = drained(bench, balancer={"on_unhealthy": "keep"})
    provoke(loble, shy, "draining")
    holds(lambda: client.silent(0.05), "the session", 1)
    end.send(b"kept")
    assert client.receive(4) == b"kept"


# What a client does is no evidence.

def rude(peer):
    """Resets as soon as the client has said anything."""
    peer.sock.recv(1)
    peer.reset()


@pytest.mark.asan
def test_a_client_cannot_make_a_backend_unhealthy(bench):
    touchy = [bench.service(rude) for _ in range(2)]
    loble = bench.loble(*touchy, health=quick(failure_threshold=1))
    for number in range(60):
        with loble.connect() as client:
            if number % 3 == 0:
                client.send(b"garbage that the backend resets for")
                assert client.rest() == (b"", RESET)
            elif number % 3 == 1:
                client.reset()
            else:
                client.finish()
                client.rest()
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done(TRANSITIONS) == 0
    for one in touchy:
        assert loble.health(one.address) == "healthy"


def sulky(peer):
    """Resets before anything has been said, and after the session has begun."""
    time.sleep(0.03)
    peer.reset()


def visit(loble):
    """A client that says nothing and does not close: how it ends is the backend's doing."""
    with loble.connect() as client:
        return client.rest()


def test_a_backend_that_resets_before_a_byte_of_the_client_is_failing(bench):
    bad, other = bench.keep(Service(sulky)), bench.greeter("other")
    loble = bench.loble(bad, other, health=quick(probe_interval="1h"))
    for _ in range(40):
        if loble.health(bad.address) != "healthy":
            break
        visit(loble)
    loble.wait_health("unhealthy", bad.address)
    assert loble.health(other.address) == "healthy"


def test_a_backend_that_resets_as_soon_as_it_accepts_is_failing(bench):
    bad, other = bench.keep(Service(lambda peer: peer.reset())), bench.greeter("other")
    loble = bench.loble(bad, other, health=quick(probe_interval="1h"))
    until(lambda: visit(loble) and loble.health(bad.address) == "unhealthy",
          "the backend to be out")
    assert loble.health(other.address) == "healthy"


def test_a_fin_of_the_backend_is_no_failure(bench):
    closing, other = bench.keep(Service(lambda peer: None)), bench.greeter("other")
    loble = bench.loble(closing, other, health=quick(failure_threshold=1))
    for _ in range(20):
        assert loble.ask().how == END
    assert loble.value(TRANSITIONS) == 0


def test_an_idle_timeout_is_no_failure(bench):
    line = bench.line(health=quick(failure_threshold=1), timeouts={"idle": "300ms"})
    client, _ = line.open()
    assert client.rest() == (b"", END)
    line.loble.wait_sessions_gone()
    assert line.loble.value(TRANSITIONS) == 0


def test_the_last_healthy_backend_goes_only_when_a_probe_fails_too(bench):
    """It accepts, so the probe succeeds: traffic alone does not take the whole pool out."""
    bad = bench.keep(Service(sulky))
    loble = bench.loble(bad, health=quick(failure_threshold=2), timeouts=SHORT)
    for _ in range(10):
        visit(loble)
    until(lambda: loble.value("loble_backend_checks_total", result="success") >= 1, "a probe")
    assert loble.value(TRANSITIONS) == 0
    assert loble.health(bad.address) == "healthy"


def test_the_last_backend_goes_when_probes_fail_too(bench):
    only = bench.greeter("only")
    loble = bench.loble(only, health=QUICK, balancer={"retries": 0})
    only.stop()
    for _ in range(5):
        assert loble.ask().data == b""
    loble.wait_health("unhealthy", only.address)
    assert loble.get("/readyz")[0] == 503
    assert loble.get("/healthz")[0] == 200
    only.start()
    loble.wait_health("healthy", only.address)
    assert loble.get("/readyz")[0] == 200
    assert loble.ask() == (b"only", END)


def test_traffic_alone_ejects_at_most_the_share_that_was_allowed(bench):
    bad = [bench.keep(Service(sulky)) for _ in range(4)]
    loble = bench.loble(*bad, health=quick(failure_threshold=1, probe_interval="1h"),
                        timeouts=SHORT)
    until(lambda: visit(loble) and loble.value("loble_pool_backends", state="unhealthy") == 2,
          "half to be out")
    for _ in range(10):
        visit(loble)
    assert loble.value("loble_pool_backends", state="healthy") == 2


def test_half_of_two_may_be_ejected(bench):
    bad, other = bench.keep(Service(sulky)), bench.greeter("other")
    loble = bench.loble(bad, other, health=quick(failure_threshold=1, probe_interval="1h"))
    for _ in range(10):
        visit(loble)
    loble.wait_health("unhealthy", bad.address)


def seconds(entry):
    return datetime.datetime.fromisoformat(entry["time"]).timestamp()


def test_a_backend_that_fails_again_after_its_recovery_stays_out_longer_each_time(bench):
    """It accepts, so each probe succeeds, and it resets, so each client fails."""
    bad, other = bench.keep(Service(sulky)), bench.greeter("other")
    loble = bench.loble(bad, other, health=quick(failure_threshold=1, success_threshold=1))
    backend = str(bad.address)
    ended = time.monotonic() + 60 * SLOWNESS
    while len(loble.events("backend_health", backend=backend, to="healthy")) < 3:
        visit(loble)
        time.sleep(0.02)
        assert time.monotonic() < ended, loble.log
    changes = loble.events("backend_health", backend=backend)
    out = [seconds(up) - seconds(down) for down, up in zip(changes, changes[1:])
           if up["to"] == "healthy"]
    assert out[0] < 0.9 * SLOWNESS
    assert 0.99 <= out[1] < 1.9 * SLOWNESS
    assert 1.99 <= out[2]


def test_probes_time_out_and_are_counted(bench):
    hole, other = bench.blackhole(), bench.greeter("other")
    loble = bench.loble(hole, other, timeouts={"connect": "200ms"},
                        health=quick(failure_threshold=1, probe_timeout="300ms"))
    until(lambda: loble.ask() == (b"other", END)
          and loble.health(hole.address) != "healthy", "the backend to be out")
    loble.wait_health("unhealthy", hole.address)
    until(lambda: loble.value("loble_backend_checks_total", backend=str(hole.address),
                              result="timeout") >= 2, "two probes to time out")


def test_a_probe_is_a_connect_and_a_fin_and_nothing_else(bench):
    flaky, other = bench.greeter("flaky"), bench.greeter("other")
    loble = bench.loble(flaky, other, health=quick(success_threshold=3))
    flaky.stop()
    provoke(loble, flaky, "unhealthy")
    seen = bench.manual(address=flaky.address)
    for _ in range(3):
        assert seen.accept().rest() == (b"", END)
    loble.wait_health("healthy", flaky.address)


def test_no_healthy_backend_is_probed(bench):
    """Traffic is the evidence; a healthy backend sees nothing but its clients."""
    greeter = bench.greeter("quiet")
    loble = bench.loble(greeter, health=QUICK)
    time.sleep(0.5)
    assert greeter.accepted == 0
    assert loble.value("loble_backend_checks_total") == 0


def test_the_log_says_from_what_to_what_why_and_after_how_many_failures(bench):
    flaky, other = bench.greeter("flaky"), bench.greeter("other")
    loble = bench.loble(flaky, other, health=QUICK)
    flaky.stop()
    provoke(loble, flaky, "unhealthy")
    name = str(flaky.address)
    down = loble.wait_event("backend_health", backend=name, to="unhealthy")
    assert down["from"] == "healthy"
    assert down["pool"] == "default"
    assert down["reason"] == "refused"
    assert int(down["failures"]) == 3
    assert down["level"] in ("warn", "error")
    flaky.start()
    up = loble.wait_event("backend_health", backend=name, to="healthy")
    assert up["from"] == "unhealthy"
    assert int(up["successes"]) == 2


def test_no_change_of_state_means_no_new_snapshot(bench):
    service = bench.service(echo)
    loble = bench.loble(service, health=QUICK)
    before = loble.value("loble_snapshot_version")
    for _ in range(50):
        assert loble.ask(b"x") == (b"x", END)
    assert loble.value("loble_snapshot_version") == before


def test_each_change_of_what_workers_read_is_a_new_snapshot(bench):
    flaky, other = bench.greeter("flaky"), bench.greeter("other")
    loble = bench.loble(flaky, other, health=QUICK)
    before = loble.value("loble_snapshot_version")
    flaky.stop()
    provoke(loble, flaky, "unhealthy")
    between = loble.value("loble_snapshot_version")
    assert between > before
    flaky.start()
    loble.wait_health("healthy", flaky.address)
    assert loble.value("loble_snapshot_version") > between


def test_a_recovered_backend_serves_again_within_a_second_of_its_return(bench):
    flaky, other = bench.greeter("flaky"), bench.greeter("other")
    loble = bench.loble(flaky, other, health=quick(probe_interval="200ms"))
    flaky.stop()
    provoke(loble, flaky, "unhealthy")
    flaky.start()
    start = time.monotonic()
    until(lambda: loble.ask().data == b"flaky", "the backend to serve")
    assert time.monotonic() - start < 1.0 * SLOWNESS
