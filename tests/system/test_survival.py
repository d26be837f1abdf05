"""Nothing is dropped: sessions outlive their worker process, whatever kills it."""

import os
import shutil
import signal
import time

import pytest

from conftest import instrumented
from harness import proc
from harness.backends import echo
from harness.survival import (DEATHS, FAILING, REFUSED, Monotone, Replaceable, Stand, kill_worker,
                              scrape, survive, upgrade, upgrade_in_vain, worker_of)
from harness.torture import no_resets, program
from harness.wait import SLOWNESS, until


@pytest.fixture(autouse=True)
def built(binary):
    if not program(binary).exists():
        pytest.skip("the torture is not built")


# Much of everything in little time.
SMALL = {"sessions": 250, "probes": 10, "rate": 200, "life": 1500, "hold": 1000, "think": 100,
         "every": 100}


def test_killed_workers_cost_no_session_and_no_byte(bench):
    stand = Stand(bench)
    loble = stand.start()
    stand.load(**SMALL)
    survive(stand, 10, gap=(0.05, 0.4))
    report = stand.end()
    assert report["client"]["opened"] > 300
    metrics = scrape(loble)
    assert metrics("loble_worker_restarts_total") == 10
    assert metrics("loble_sessions_continued_total") >= 10 * 100
    assert metrics("loble_sessions_lost_total") == 0
    assert len(loble.events("worker_restarted")) == 10
    loble.stop()


def shared_bytes(loble):
    """How much of the shared memory has ever been touched."""
    number = next(number for number, target in proc.descriptors(loble.pid).items()
                  if target.startswith("/memfd:loble "))
    return os.stat(f"/proc/{loble.pid}/fd/{number}").st_blocks * 512


def test_a_death_touches_no_memory_that_was_never_used(bench):
    loble = bench.loble(bench.greeter("here"))
    assert loble.ask().data == b"here"
    before = shared_bytes(loble)
    for _ in range(3):
        kill_worker(loble, signal.SIGKILL)
    assert loble.ask().data == b"here"
    assert shared_bytes(loble) < before + (512 << 10)


def test_all_bytes_are_accounted_for(bench):
    """With no reset in the mix each side checks exactly what the other one has sent."""
    stand = Stand(bench)
    stand.start()
    stand.load(**SMALL, mix=no_resets())
    survive(stand, 4, seed=2)
    assert stand.end()["client"]["aborted"] == 0


def test_unix_sockets_on_either_side_survive_too(bench):
    stand = Stand(bench, kinds=[("unix", "tcp4"), ("tcp4", "unix"), ("abstract", "unix")])
    stand.start()
    stand.load(**SMALL)
    survive(stand, 4, seed=3)
    stand.end()


def test_headers_that_loble_writes_itself_are_not_counted_as_the_clients(bench):
    stand = Stand(bench, pool={"proxy_protocol": "v2"})
    stand.start()
    stand.load(**SMALL, proxy="v2")
    survive(stand, 4, seed=4)
    stand.end()


@pytest.mark.parametrize("death", DEATHS, ids=lambda number: number.name)
def test_the_log_says_what_has_happened(bench, death):
    stand = Stand(bench)
    loble = stand.start()
    before = worker_of(loble)
    kill_worker(loble, death)
    told = loble.wait_event("worker_restarted")
    assert told["level"] == "warn"
    assert told["detail"] == f"killed by {death.name}"
    assert worker_of(loble) != before


@pytest.mark.parametrize("how", ["spin", "wait"])
def test_a_worker_process_that_hangs_is_replaced(bench, directory, binary, how):
    shim = binary.parents[2] / "tests/shim/hang.so"
    if not shim.exists() or instrumented(binary):
        pytest.skip("there is no shim for this build")
    # The shim hangs in send(), which a batch does not call.
    line = bench.line(server={"watchdog": "3s", "workers": 2, "io_uring": False},
                      options={"env": {"LD_PRELOAD": str(shim), "HANG": str(directory / "hang")}})
    loble = line.loble
    before = worker_of(loble)
    ends = [line.open() for _ in range(6)]
    (directory / "new").write_text(how)
    (directory / "new").rename(directory / "hang")
    ends[0][0].send(b"caught between receiving and sending")
    told = loble.wait_event("worker_restarted")
    assert told["detail"].startswith("hung: killed by SIG"), told
    assert ends[0][1].receive(36) == b"caught between receiving and sending"
    for client, backend in ends:
        client.send(b"on")
        assert backend.receive(2) == b"on"
    assert worker_of(loble) != before


def test_a_worker_process_that_is_stopped_does_not_hang(bench):
    line = bench.line(server={"watchdog": "1s"})
    client, backend = line.open()
    before = worker_of(line.loble)
    os.kill(before, signal.SIGSTOP)
    client.send(b"later")
    time.sleep(4)
    assert worker_of(line.loble) == before
    os.kill(before, signal.SIGCONT)
    assert backend.receive(5) == b"later"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM,
                                    signal.SIGRTMAX], ids=lambda number: number.name)
def test_an_order_to_stop_is_the_supervisors_and_else_a_death_like_any_other(bench, number):
    line = bench.line()
    client, backend = line.open()
    for count in range(1, 4):
        kill_worker(line.loble, number)
        client.send(b"on")
        assert backend.receive(2) == b"on"
    told = line.loble.wait_event("worker_restarted", count=count)
    assert told["detail"].startswith("killed by SIG")


def test_a_worker_process_whose_starter_ignores_signals_dies_of_them(bench, binary, directory):
    """As a shell without job control does with what it starts in the background."""
    starter = directory / "loble"
    starter.write_text(f"#!/bin/sh\ntrap '' INT QUIT HUP\nexec {binary} \"$@\"\n")
    starter.chmod(0o755)
    line = bench.line(options={"binary": starter})
    client, backend = line.open()
    kill_worker(line.loble, signal.SIGINT)
    client.send(b"on")
    assert backend.receive(2) == b"on"
    line.loble.send_signal(signal.SIGINT)
    line.loble.wait_event("process_stopping")
    client.close()
    backend.close()
    assert line.loble.wait_exit() == 0
    line.loble.check_log()


def test_a_log_that_cannot_be_opened_any_more_keeps_nobody_from_going_on(bench):
    logs = bench.directory / "logs"
    logs.mkdir()
    line = bench.line(logging={"file": str(logs / "log")}, admin={"socket": "admin.sock"},
                      access_log={"enabled": True, "file": str(logs / "access")})
    client, backend = line.open()
    before = worker_of(line.loble)
    shutil.rmtree(logs)
    os.kill(before, signal.SIGKILL)
    client.send(b"on")
    assert backend.receive(2) == b"on"
    assert scrape(line.loble)("loble_worker_restarts_total") == 1
    assert "log_open_failed" in line.loble.log
    logs.mkdir()
    line.loble.send_signal(signal.SIGUSR1)
    until((logs / "log").exists, "the log")
    until((logs / "access").exists, "the access log")


def test_a_backend_that_has_accepted_keeps_its_session(bench):
    """Even if the worker process dies before it hears that the connect was successful."""
    line = bench.line()
    for _ in range(30):
        worker = until(lambda: worker_of(line.loble), "a worker process", every=0.001)
        client, backend = line.open()
        os.kill(worker, signal.SIGKILL)
        backend.send(b"hello")
        assert client.receive(5) == b"hello"
        client.send(b"on")
        assert backend.receive(2) == b"on"
        client.close()
        backend.close()


def test_the_supervisor_is_the_process_that_was_started(bench):
    stand = Stand(bench)
    loble = stand.start()
    for _ in range(3):
        kill_worker(loble, signal.SIGKILL)
    loble.stop()  # by the number that was started, and with 0


def test_one_process_is_enough_where_no_supervisor_is_wanted(bench):
    stand = Stand(bench)
    stand.config["server"]["supervise"] = False
    loble = stand.start()
    assert worker_of(loble) is None
    loble.stop()


def test_health_outlives_the_worker_process(bench):
    """What was unhealthy stays so, without a transition; what was healthy, too."""
    stand = Stand(bench)
    pool = next(iter(stand.config["pools"]))
    dead = stand.backends.pop()
    stand.config["health"] = {"probe_interval": "500ms"}
    loble = stand.start()
    stand.load(sessions=20, probes=0, rate=50)
    loble.wait_health("unhealthy", dead, pool=pool)
    before = scrape(loble)

    for _ in range(3):
        kill_worker(loble, signal.SIGKILL)
        metrics = scrape(loble)
        assert metrics.state("loble_backend_state", backend=str(dead), pool=pool) == "unhealthy"
        for backend in stand.backends:
            assert metrics.state("loble_backend_state", backend=str(backend),
                                 pool=pool) == "healthy"
        name = "loble_backend_transitions_total"
        assert metrics.matching(name) == before.matching(name)
    stand.end()


def test_a_backend_that_drains_goes_on_draining(bench):
    """Its last session ends after the death, and only then it is unhealthy."""
    failing, other = bench.manual(), bench.service(echo)
    loble = bench.loble(failing, other, health={"failure_threshold": 1, "max_ejected": 100})
    client, peer = None, None
    while peer is None:
        client = bench.keep(loble.connect())
        try:
            peer = failing.accept(deadline=0.3)
        except TimeoutError:
            client.close()
    failing.stop()

    def drains():
        loble.ask(b"x")
        return loble.health(failing.address) == "draining"
    until(drains, "the backend to be found out")
    kill_worker(loble, signal.SIGSEGV)
    assert loble.health(failing.address) == "draining"
    client.send(b"still here")
    assert peer.sock.recv(100) == b"still here"
    assert loble.health(failing.address) == "draining"
    client.close()
    peer.close()
    loble.wait_health("unhealthy", failing.address)


def test_a_session_is_served_at_once_after_a_death(bench):
    """No session waits long, and none for ever: the pause of the worst one is bounded."""
    stand = Stand(bench)
    stand.start()
    stand.load(**{**SMALL, "rate": 50, "burst": 32768})
    found = survive(stand, 6, seed=5, gap=(0.3, 0.5))
    stand.end()
    assert found.worst_pause() <= (found.calm.worst + 300) * SLOWNESS, found
    assert found.median_pause() <= (found.calm.worst + 100) * SLOWNESS, found


def test_idle_sessions_are_there_after_a_death(bench):
    stand = Stand(bench)
    loble = stand.start()
    stand.load(sessions=500, probes=0, rate=0, mix="idle=4,silent=1", life=100000)
    monotone = Monotone(loble)
    kill_worker(loble, signal.SIGSEGV)
    metrics = monotone.look()
    assert metrics("loble_listener_connections_active") == 500
    # The count of those that were proven comes with the background pass.
    until(lambda: monotone.look()("loble_sessions_continued_total") == 500, "500 continued",
          every=0.05)
    stand.end()


def test_deaths_one_upon_the_other(bench):
    """The next one comes before the last one is over: in the middle of adoption."""
    stand = Stand(bench)
    loble = stand.start()
    stand.load(**SMALL)
    for delay in (0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.02, 0.03):
        before = until(lambda: worker_of(loble), "a worker process")
        os.kill(before, signal.SIGKILL)
        until(lambda gone=before: worker_of(loble) not in (None, gone), "the next one",
              every=0.0002)
        time.sleep(delay)
    time.sleep(0.3)
    scrape(loble)
    stand.end()
    loble.stop()


def test_upgrades_cost_no_session_and_no_byte(bench):
    stand, new = Stand(bench), Replaceable(bench)
    loble = stand.start(binary=new.path)
    stand.load(**SMALL)

    def once(_number):
        new.good()
        upgrade(loble)
        return "upgrade"
    survive(stand, 5, seed=7, deed=once)
    stand.end()
    metrics = scrape(loble)
    assert metrics("loble_upgrades_total") == 5
    assert metrics("loble_worker_restarts_total") == 0
    assert len(loble.events("upgraded")) == 5
    loble.stop()


@pytest.mark.parametrize("kind", REFUSED)
def test_a_new_binary_that_is_none_changes_nothing(bench, kind):
    stand, new = Stand(bench), Replaceable(bench)
    loble = stand.start(binary=new.path)
    stand.load(sessions=100, probes=10, rate=100, life=800, hold=500)
    before = worker_of(loble)
    new.refused(kind)
    told = upgrade_in_vain(loble)
    assert told["detail"], told
    assert worker_of(loble) == before, "nothing was to happen to it"
    assert scrape(loble)("loble_upgrades_total") == 0
    new.good()
    upgrade(loble)
    stand.end()
    loble.stop()


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=pytest.mark.long if kind == "worker_hang" else ()) for kind in FAILING])
def test_a_new_binary_that_fails_gives_way_to_the_one_before(bench, kind):
    stand, new = Stand(bench), Replaceable(bench)
    loble = stand.start(binary=new.path, env=new.env)
    stand.load(sessions=100, probes=10, rate=100, life=800, hold=500)
    monotone = Monotone(loble)
    new.failing(kind)
    upgrade_in_vain(loble)
    assert monotone.look()("loble_upgrades_total") == 0
    new.mend()
    new.good()
    upgrade(loble)
    monotone.look()
    stand.end()
    loble.stop()
