"""Limits of descriptors, sessions and connections; clients that leave early."""

import resource
import signal
import threading
import time

import pytest

from harness import proc
from harness.backends import echo, hold
from harness.net import END, RESET, Background, connect
from harness.paths import TCP, TWO_WORKERS, every_way
from harness.wait import SLOWNESS, until

two_numbers_of_workers = pytest.mark.parametrize("way", [TCP, TWO_WORKERS], ids=str)


def works(loble):
    """Whether a client is served to the end."""
    try:
        return loble.ask(b"ping") == (b"ping", END)
    except OSError:
        return False


@pytest.mark.asan
@two_numbers_of_workers
def test_running_out_of_descriptors_neither_spins_nor_ends_the_process(bench, way):
    service = bench.service(echo)
    loble = bench.loble(service, way=way)
    first = bench.keep(loble.connect())
    first.send(b"1")
    assert first.receive(1) == b"1"
    soft, _ = resource.prlimit(loble.pid, resource.RLIMIT_NOFILE)
    highest = max(proc.descriptors(loble.pid))
    proc.limit_descriptors(loble.pid, highest + 1 + 3)  # not even: once the backend's is lacking
    crowd = [bench.keep(loble.connect()) for _ in range(60)]
    first.send(b"2")
    assert first.receive(1) == b"2"
    share = proc.cpu_share(loble.pid, 1.5)
    assert share < 0.5 * SLOWNESS, f"{share:.0%} of a core with a full backlog"
    loble.must_run()
    proc.limit_descriptors(loble.pid, soft)
    until(lambda: works(loble), "service after the limit was raised")
    first.send(b"3")
    assert first.receive(1) == b"3"
    # Those that waited in the backlog get service; those that were turned away know it.
    served = 0
    for client in crowd:
        try:
            client.send(b"ping")
            client.finish()
            served += client.rest() == (b"ping", END)
        except OSError:
            continue
    assert served >= len(crowd) // 2, served
    first.close()


def test_a_lack_of_descriptors_is_counted_and_not_held_against_the_backend(bench):
    service = bench.service(echo)
    loble = bench.loble(service, health={"failure_threshold": 1})
    soft, _ = resource.prlimit(loble.pid, resource.RLIMIT_NOFILE)
    highest = max(proc.descriptors(loble.pid))
    client = bench.keep(loble.connect())
    client.send(b"x")
    assert client.receive(1) == b"x"
    proc.limit_descriptors(loble.pid, highest + 1 + 4)
    crowd = [bench.keep(loble.connect()) for _ in range(20)]
    time.sleep(1)
    proc.limit_descriptors(loble.pid, soft)
    until(lambda: works(loble), "service after the limit was raised")
    after = loble.metrics()
    assert (after.get("loble_listener_accept_errors_total", error="EMFILE")
            + after.get("loble_listener_connections_rejected_total", reason="descriptors")
            + after.get("loble_backend_connect_failures_total", reason="resource")) >= 1
    assert loble.health(service.address) == "healthy"
    assert after("loble_backend_transitions_total") == 0
    for one in crowd:
        one.close()
    client.close()


class Census:
    """A service that knows how many it serves at once: before it has begun and after it has ended
    Loble holds the session, so Loble never holds fewer."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, peer):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.001)  # the work
        with self.lock:
            self.now -= 1
        peer.send(b"done")


@pytest.mark.asan
@pytest.mark.parametrize("workers", [1, 2, 6])
def test_workers_together_hold_no_more_than_max_sessions(bench, workers):
    census = Census()
    loble = bench.loble(
        bench.service(census), server={"max_sessions": 2, "workers": workers})

    def client():
        for _ in range(20):
            with loble.connect() as one:
                assert one.rest() == (b"done", END)

    for one in [Background(client) for _ in range(12)]:
        one.result()
    assert 1 <= census.most <= 2


@pytest.mark.asan
@two_numbers_of_workers
def test_at_max_sessions_the_backlog_waits_until_one_has_ended(bench, way):
    line = bench.line(way, server={"max_sessions": 2})

    def client():
        with line.loble.connect() as one:
            return one.rest()

    clients = [Background(client) for _ in range(5)]
    held = [line.backend.accept() for _ in range(2)]
    for _ in range(3):
        assert line.backend.accepts_nothing(0.1)
        first = held.pop(0)
        first.send(b"done")
        first.close()
        held.append(line.backend.accept())
    for one in held:
        one.send(b"done")
        one.close()
    for one in clients:
        assert one.result() == (b"done", END)


def test_a_place_that_gets_free_is_taken_before_a_pause_is_over(bench):
    """By a worker that is alone; a pause takes 5 ms at least."""
    service = bench.service(lambda peer: peer.send(b"done"))
    loble = bench.loble(service, server={"max_sessions": 1, "workers": 1})

    def shortest():
        clients = [loble.connect() for _ in range(10)]
        ends = []
        for client in clients:
            assert client.rest() == (b"done", END)
            client.close()
            ends.append(time.monotonic())
        return min(b - a for a, b in zip(ends, ends[1:]))

    until(lambda: shortest() < 0.004, "one session soon after the other")


def test_at_max_sessions_nothing_is_reset_and_nothing_spins(bench):
    line = bench.line(server={"max_sessions": 2})
    held = [line.open() for _ in range(2)]
    waiting = bench.keep(line.loble.connect())
    waiting.send(b"hello")
    assert line.backend.accepts_nothing(0.5)
    assert waiting.silent()
    assert proc.cpu_share(line.loble.pid, 1) < 0.05 * SLOWNESS
    held[0][0].close()
    held[0][1].close()
    backend = line.backend.accept()
    assert backend.receive(5) == b"hello"
    backend.close()
    waiting.close()


@pytest.mark.asan
@two_numbers_of_workers
def test_over_max_connections_of_a_listener_a_client_is_reset(bench, way):
    line = bench.line(way, listener={"max_connections": 3})
    held = [line.open() for _ in range(3)]
    for number in range(1, 6):
        with line.loble.connect() as extra:
            assert extra.rest() == (b"", RESET)
        line.loble.wait_value("loble_listener_connections_rejected_total", number, reason="limit")
    client, backend = held.pop()
    client.close()
    backend.close()
    line.loble.wait_value("loble_listener_connections_active", 2)
    client, backend = line.open()
    client.send(b"room")
    assert backend.receive(4) == b"room"


@pytest.mark.asan
@pytest.mark.tsan
@every_way
def test_500_connections_that_close_without_data_leave_nothing_behind(bench, way):
    service = bench.service(echo, way)
    loble = bench.loble(service, way=way)
    for _ in range(500):
        loble.connect().close()
    # Those that left before they were accepted are still accepted, and counted.
    loble.wait_value("loble_listener_connections_total", 500)
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_listener_received_bytes_total") == 0
    loble.wait_sessions_gone()
    assert works(loble)


@pytest.mark.asan
@two_numbers_of_workers
def test_200_connections_that_reset_without_data_leave_nothing_behind(bench, way):
    service = bench.service(echo)
    loble = bench.loble(service, way=way, health={"failure_threshold": 1})
    for _ in range(200):
        loble.connect().reset()
    until(lambda: works(loble), "service after resets")
    loble.wait_value("loble_listener_connections_active", 0)
    loble.wait_sessions_gone()
    assert loble.health(service.address) == "healthy"


@pytest.mark.asan
@pytest.mark.tsan
@every_way
def test_200_simultaneous_closes_leave_nothing_behind(bench, way):
    line = bench.line(way)
    for _ in range(200):
        client, backend = line.open()
        closing = Background(client.close)
        backend.close()
        closing.result()
    line.loble.wait_value("loble_listener_connections_total", 200)
    line.loble.wait_value("loble_listener_connections_active", 0)
    line.loble.wait_sessions_gone()


@pytest.mark.asan
@pytest.mark.parametrize("how", ["reset", "close"])
def test_100_clients_that_leave_while_their_backend_is_connected_leave_nothing(bench, how):
    hole = bench.blackhole()
    loble = bench.loble(hole, balancer={"retries": 0},
                        timeouts={"connect": "1500ms", "connect_total": "2s"})
    for _ in range(100):
        client = loble.connect()
        getattr(client, how)()
    loble.wait_value("loble_listener_connections_total", 100)
    loble.wait_value("loble_listener_connections_active", 0)
    loble.wait_sessions_gone()


def test_a_client_that_resets_in_silence_while_connecting_ends_its_session_at_once(bench):
    hole = bench.blackhole()
    loble = bench.loble(hole, timeouts={"connect": "60s", "connect_total": "60s"})
    client = loble.connect()
    loble.wait_value("loble_listener_connections_active", 1)
    client.reset()
    done = loble.wait_value("loble_listener_connections_active", 0, deadline=10)
    assert done("loble_sessions_closed_total", by="client", reason="reset") == 1
    assert loble.health(hole.address) == "healthy"


def test_a_client_that_finished_while_connecting_still_gets_its_answer(bench):
    """A FIN is no farewell: the request was sent before it."""
    hole = bench.blackhole()
    loble = bench.loble(hole, timeouts={"connect": "60s", "connect_total": "60s"})
    client = bench.keep(loble.connect())
    client.send(b"request")
    client.finish()
    loble.wait_value("loble_listener_connections_active", 1)
    # The kernel repeats the SYN after 1 s, 3 s, 7 s: there is room for it from now on.
    found = until(lambda: hole.drain(0.5), "the connection of Loble")
    backend = found[0]
    assert backend.rest() == (b"request", END)
    backend.send(b"answer")
    backend.close()
    assert client.rest() == (b"answer", END)
    for other in found[1:]:
        other.close()


def test_sessions_survive_that_the_process_was_stopped_for_seconds(bench):
    """Bytes that came meanwhile are progress: the idle timeout may not see only the clock."""
    line = bench.line(timeouts={"idle": "1500ms"})
    ends = [line.open() for _ in range(5)]
    for client, backend in ends:
        client.send(b"a")
        assert backend.receive(1) == b"a"
    line.loble.pause()
    time.sleep(1)
    for client, _ in ends:
        client.send(b"while stopped")
    time.sleep(2)
    line.loble.resume()
    for client, backend in ends:
        assert backend.receive(13) == b"while stopped"
        backend.send(b"back")
        assert client.receive(4) == b"back"


def test_clients_that_connect_while_the_process_is_stopped_are_served_afterwards(bench):
    service = bench.service(echo)
    loble = bench.loble(service)
    loble.pause()
    asking = [Background(loble.ask, b"hello") for _ in range(20)]
    time.sleep(1.5)
    loble.resume()
    for one in asking:
        assert one.result() == (b"hello", END)


def test_holding_many_sessions_and_ending_them_returns_every_descriptor(bench):
    service = bench.service(hold)
    loble = bench.loble(service, way=TWO_WORKERS)
    before = len(proc.descriptors(loble.pid))
    for _ in range(3):
        clients = [connect(loble.address) for _ in range(150)]
        loble.wait_value("loble_listener_connections_active", 150)
        assert len(proc.descriptors(loble.pid)) >= before + 300
        for client in clients:
            client.close()
        loble.wait_sessions_gone()
