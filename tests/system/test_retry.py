"""A dead backend costs no client an error while there is a way around it."""

import collections
import time

import pytest

from harness.backends import echo
from harness.net import END, RESET, Background
from harness.swarm import Swarm
from harness.wait import SLOWNESS, until

both_workers = pytest.mark.parametrize("workers", [1, 2])


def dead(bench):
    """The address of a backend that refuses."""
    backend = bench.manual()
    backend.stop()
    return backend


def ask_many(loble, times, at_once):
    def some():
        return [loble.ask() for _ in range(times // at_once)]
    tasks = [Background(some) for _ in range(at_once)]
    return [got for task in tasks for got in task.result(600)]


def no_client_sees_a_dead_backend(bench, workers, times, threshold):
    gone, greeter = dead(bench), bench.greeter("alive")
    loble = bench.loble(gone, greeter, server={"workers": workers},
                        health={"failure_threshold": threshold})
    got = ask_many(loble, times, 5)
    assert len(got) == times
    assert all(one == (b"alive", END) for one in got)
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_sessions_closed_total", reason="end") == times
    assert done.get("loble_sessions_closed_total", reason="connect_failed") == 0
    return loble, gone


@pytest.mark.asan
@pytest.mark.tsan
@both_workers
def test_of_1000_clients_none_sees_that_one_of_two_backends_is_dead(bench, workers):
    loble, gone = no_client_sees_a_dead_backend(bench, workers, 1000, 3)
    assert loble.health(gone.address) == "unhealthy"


@both_workers
def test_of_10000_clients_none_sees_a_dead_backend_that_is_kept_for_1000_failures(bench, workers):
    """Until then every other client meets it, and moves on."""
    loble, gone = no_client_sees_a_dead_backend(bench, workers, 10_000, 1000)
    assert loble.health(gone.address) == "unhealthy"
    refused = loble.value("loble_backend_connect_failures_total", backend=str(gone.address))
    assert refused >= 1000, refused


@both_workers
def test_of_10000_clients_none_sees_that_a_lone_backend_restarts_five_times(bench, workers):
    greeter = bench.greeter("back")
    loble = bench.loble(greeter, server={"workers": workers})
    swarm = Swarm(loble.address)
    for _ in range(5):
        greeter.stop()
        arriving = Background(swarm.run, 2000, 0.8)
        time.sleep(0.6)  # they come while it is away, and afterwards
        greeter.start()
        arriving.result()
    assert swarm.outcomes == {(b"back", END): 10_000}
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_sessions_closed_total", reason="end") == 10_000
    assert done("loble_backend_connect_failures_total", reason="refused") >= 1000


def test_clients_that_talk_when_a_backend_dies_are_the_only_ones_to_see_it(bench):
    """The backend ends amid traffic: connects fail over, from then on and for everyone."""
    first, second = bench.greeter("first"), bench.greeter("second", ask=True)
    first.ask = True
    loble = bench.loble(first, second)
    stop = False

    def keep_asking():
        errors, names = 0, collections.Counter()
        while not stop:
            got = loble.ask(b"?")
            if got.how == END and got.data:
                names[got.data] += 1
            else:
                errors += 1
        return errors, names
    tasks = [Background(keep_asking) for _ in range(4)]
    until(lambda: first.accepted > 50, "traffic")
    first.stop()
    reached = second.accepted
    until(lambda: second.accepted > reached + 300, "traffic around the dead one")
    stop = True
    errors = sum(task.result()[0] for task in tasks)
    assert errors <= len(tasks)  # a session that the first one had when it died


@both_workers
def test_a_neighbour_of_a_dead_backend_gets_no_more_than_its_share(bench, workers):
    """A retry draws the next turn, and a dead backend stays in the turn here."""
    gone = dead(bench)
    greeters = [bench.greeter(name) for name in ("b", "c", "d")]
    loble = bench.loble(gone, *greeters, server={"workers": workers},
                        health={"failure_threshold": 1000})
    names = collections.Counter(loble.ask().data for _ in range(300))
    assert set(names) == {b"b", b"c", b"d"}
    assert max(names.values()) - min(names.values()) <= 3, names


def test_each_retry_is_counted_and_each_failed_connect_once_per_session(bench):
    gone, greeter = dead(bench), bench.greeter("alive")
    loble = bench.loble(gone, greeter, health={"failure_threshold": 1000})
    for _ in range(20):
        assert loble.ask() == (b"alive", END)
    done = loble.wait_value("loble_listener_connections_active", 0)
    failed = done("loble_backend_connect_failures_total", backend=str(gone.address),
                  reason="refused")
    assert done("loble_pool_retries_total") == failed
    assert 7 <= failed <= 20  # how often the dead one has the first turn
    assert done("loble_backend_connections_total", backend=str(greeter.address)) == 20
    assert done("loble_backend_connections_total", backend=str(gone.address)) == 0


def test_without_retries_a_client_sees_the_dead_backend(bench):
    gone, greeter = dead(bench), bench.greeter("alive")
    loble = bench.loble(gone, greeter, balancer={"retries": 0},
                        health={"failure_threshold": 1000})
    got = [loble.ask().data for _ in range(10)]
    assert got.count(b"alive") == 5 and got.count(b"") == 5
    assert loble.value("loble_pool_retries_total") == 0


def test_retries_bound_how_many_backends_a_session_tries(bench):
    backends = [dead(bench) for _ in range(6)]
    loble = bench.loble(*backends, balancer={"retries": 2},
                        health={"failure_threshold": 1000})
    assert loble.ask().data == b""
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_backend_connect_failures_total", reason="refused") == 3
    assert done("loble_pool_retries_total") == 2
    assert max(done.matching("loble_backend_connect_failures_total").values()) == 1


def test_a_session_adds_at_most_one_failure_per_backend(bench):
    """It tries the only backend again and again, yet that is one session's evidence."""
    gone = dead(bench)
    loble = bench.loble(gone, balancer={"retries": 3}, health={"failure_threshold": 2},
                        timeouts={"connect_total": "5s"})
    assert loble.ask().data == b""
    assert loble.value("loble_pool_retries_total") >= 1
    assert loble.health(gone.address) == "healthy"


@pytest.mark.asan
@both_workers
def test_a_lone_backend_that_is_back_within_a_second_costs_no_client_an_error(bench, workers):
    greeter = bench.greeter("back")
    loble = bench.loble(greeter, server={"workers": workers})
    assert loble.ask() == (b"back", END)
    for _ in range(2):
        greeter.stop()
        asking = []
        for _ in range(10):  # clients come during all of the outage
            asking.append(Background(loble.ask))
            time.sleep(0.06)
        greeter.start()
        assert [one.result() for one in asking] == [(b"back", END)] * 10
        assert loble.ask() == (b"back", END)


def test_connect_total_ends_the_tries_of_a_session(bench):
    gone = dead(bench)
    loble = bench.loble(gone, balancer={"retries": 10}, timeouts={"connect_total": "2500ms"})
    start = time.monotonic()
    assert loble.ask().data == b""
    took = time.monotonic() - start
    assert 1.9 <= took < 2.5 + 1.5 * SLOWNESS, took
    tried = loble.value("loble_backend_connect_failures_total", reason="refused")
    assert 2 <= tried <= 4  # at 0 s, 1 s, 2 s


def test_a_session_that_has_sent_something_is_not_sent_to_another_backend(bench):
    """After the first byte has gone out nobody can know what the backend did with it."""
    one, other = bench.manual(), bench.service(echo)
    loble = bench.loble(one, other)
    for _ in range(2):
        client = bench.keep(loble.connect())
        client.send(b"pay once")
        if one.accepts_nothing(1):
            assert client.receive(8) == b"pay once"
            continue
        backend = one.peers[-1]
        assert backend.receive(8) == b"pay once"
        backend.reset()
        assert client.rest() == (b"", RESET)
        assert one.accepts_nothing()
    assert other.accepted == 1


def test_with_all_unhealthy_use_all_still_tries_them(bench):
    greeter = bench.greeter("back")
    greeter.stop()
    loble = bench.loble(greeter, balancer={"retries": 0},
                        health={"failure_threshold": 1, "probe_interval": "1h"})
    until(lambda: loble.ask().data == b"" and loble.health(greeter.address) == "unhealthy",
          "the backend to be unhealthy")
    greeter.start()
    for _ in range(5):
        assert loble.ask() == (b"back", END)


def test_with_all_unhealthy_use_all_leaves_weight_0_out(bench):
    resting, greeter = bench.greeter("resting"), bench.greeter("back")
    greeter.stop()
    loble = bench.loble({"address": str(resting.address), "weight": 0}, greeter,
                        balancer={"retries": 0},
                        health={"failure_threshold": 1, "probe_interval": "1h"})
    until(lambda: loble.ask().data == b"" and loble.health(greeter.address) == "unhealthy",
          "the backend to be unhealthy")
    assert resting.accepted == 0
    greeter.start()
    assert loble.ask() == (b"back", END)


@both_workers
def test_with_all_unhealthy_refuse_resets_at_once(bench, workers):
    gone = dead(bench)
    loble = bench.loble(gone, server={"workers": workers},
                        balancer={"retries": 0, "when_all_unhealthy": "refuse"},
                        health={"failure_threshold": 1, "probe_interval": "1h"})
    until(lambda: loble.ask().data == b"" and loble.health(gone.address) == "unhealthy",
          "the backend to be unhealthy")
    loble.wait_value("loble_listener_connections_active", 0)
    before = loble.metrics()
    for _ in range(5):
        start = time.monotonic()
        with loble.connect() as client:
            assert client.rest() == (b"", RESET)
        assert time.monotonic() - start < 1.0 * SLOWNESS
    loble.wait_value("loble_listener_connections_active", 0)
    after = loble.metrics()

    def grown(name, **labels):
        return after.get(name, **labels) - before.get(name, **labels)
    assert grown("loble_pool_no_backend_total") == 5
    assert grown("loble_sessions_closed_total", by="proxy", reason="no_backend") == 5
    assert grown("loble_backend_connect_failures_total") == 0
