"""A stop lets sessions finish, loses no connection, and has a hard limit."""

import contextlib
import os
import signal
import threading
import time

import pytest

from harness import proc
from harness.backends import echo
from harness.net import END, RESET, connect
from harness.paths import TCP, TWO_WORKERS, UNIX_LISTENER, data
from harness.wait import SLOWNESS, until

stop_ways = pytest.mark.parametrize("way", [TCP, TWO_WORKERS, UNIX_LISTENER], ids=str)
stop_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT],
                                       ids=["SIGTERM", "SIGINT"])


def refuses(loble):
    """Whether new connections are turned away; one that the filter drops does not count."""
    try:
        connect(loble.address, deadline=0.3).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False


@pytest.mark.asan
@pytest.mark.tsan
@stop_ways
@stop_signals
def test_without_sessions_it_stops_promptly(bench, way, number):
    line = bench.line(way)
    start = time.monotonic()
    line.loble.stop(number)
    assert time.monotonic() - start < 1.5 * SLOWNESS


@pytest.mark.asan
@pytest.mark.tsan
@stop_ways
def test_open_sessions_go_on_to_their_own_end(bench, way):
    loble = bench.loble(bench.service(echo, way), way=way)
    clients = [bench.keep(loble.connect()) for _ in range(3)]
    for client in clients:
        client.send(b"before")
        assert client.receive(6) == b"before"
    loble.send_signal(signal.SIGTERM)
    until(lambda: refuses(loble), "the listener to close")
    for client in clients:
        loble.must_run()
        upload = client.sending(data(1 << 20), finish=True)
        assert client.rest() == (data(1 << 20), END)
        upload.result()
        client.close()
    start = time.monotonic()
    assert loble.wait_exit() == 0
    assert time.monotonic() - start < 1.0 * SLOWNESS  # 100 ms after the last connection
    loble.check_log()


def test_readyz_says_no_for_lame_duck_while_clients_are_still_served(bench):
    service = bench.service(echo)
    loble = bench.loble(service, timeouts={"lame_duck": "2s"})
    start = time.monotonic()
    loble.send_signal(signal.SIGTERM)
    until(lambda: loble.get("/readyz")[0] == 503, "/readyz to say 503")
    served = 0
    while time.monotonic() - start < 1.5:
        assert loble.ask(b"still") == (b"still", END)
        assert loble.get("/readyz")[0] == 503
        assert loble.get("/healthz")[0] == 200
        served += 1
        time.sleep(0.02)
    assert served >= 3
    assert loble.wait_exit() == 0
    took = time.monotonic() - start
    assert 2.0 <= took < 2 + 1.5 * SLOWNESS
    loble.check_log()


def drain_once(bench, seconds):
    """How long a stop took that sessions without an end held up; the sessions are reset."""
    line = bench.line(timeouts={"drain": f"{seconds}s"})
    ends = [line.open() for _ in range(5)]
    for client, backend in ends:
        client.send(b"x")
        assert backend.receive(1) == b"x"
    start = time.monotonic()
    line.loble.send_signal(signal.SIGTERM)
    assert line.loble.wait_exit() == 0
    took = time.monotonic() - start
    for client, backend in ends:
        assert client.rest() == (b"", RESET)
        assert backend.rest() == (b"", RESET)
    line.loble.check_log()
    stopped = line.loble.events("stopped") + line.loble.events("process_stopped")
    assert any("5" in {str(value) for value in entry.values()} for entry in stopped), \
        f"the log does not say how many were cut:\n{line.loble.log}"
    return took


@pytest.mark.asan
def test_drain_is_a_hard_limit_and_sessions_are_reset_then(bench):
    """+-100 ms; never early. A busy machine gets three chances to be on time."""
    for _ in range(3):
        took = drain_once(bench, 2)
        assert took >= 1.9
        if took <= 2.1:
            return
    assert took <= 2.1 * SLOWNESS, took


def test_drain_cuts_sessions_that_are_stalled_and_connecting(bench):
    hole, reader = bench.blackhole(), bench.manual()
    loble = bench.loble(hole, reader, timeouts={"drain": "1s", "connect": "60s",
                                                "connect_total": "60s"})
    clients = [bench.keep(loble.connect()) for _ in range(4)]
    stalled = [reader.accept(), reader.accept()]
    for client in clients:
        client.stuff(0.2, limit=64 << 20)
    start = time.monotonic()
    loble.send_signal(signal.SIGTERM)
    assert loble.wait_exit() == 0
    assert time.monotonic() - start < 1 + 1.5 * SLOWNESS
    for client in clients:
        assert client.rest().how == RESET
    for end in stalled:
        assert end.rest().how == RESET
    loble.check_log()


@stop_signals
def test_a_second_signal_stops_at_once(bench, number):
    line = bench.line(timeouts={"drain": "60s"})
    client, backend = line.open()
    client.send(b"x")
    assert backend.receive(1) == b"x"
    line.loble.send_signal(signal.SIGTERM)
    line.loble.wait_event("process_stopping")
    assert client.silent()
    start = time.monotonic()
    line.loble.send_signal(number)
    assert line.loble.wait_exit() == 0
    assert time.monotonic() - start < 1.0 * SLOWNESS
    assert client.rest() == (b"", RESET)
    assert backend.rest() == (b"", RESET)
    line.loble.check_log()


class Flood:
    """Clients on threads that connect at a rate; each that connects must get full service."""

    def __init__(self, address, rate, threads=8):
        self.address = address
        self.pause = threads / rate
        self.served = self.refused = 0
        self.lost = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                        for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def _one(self):
        try:
            client = connect(self.address, deadline=5)
        except (OSError, AssertionError):
            return "refused"  # or dropped by the filter: it never was connected
        with client:
            try:
                client.send(b"question")
                client.finish()
                got = client.rest()
            except OSError as error:
                return repr(error)
        return "served" if got == (b"question", END) else repr(got)

    def _run(self, number):
        next_time = time.monotonic() + self.pause * number / len(self.threads)
        while not self.stopping.is_set():
            time.sleep(max(0, next_time - time.monotonic()))
            next_time = max(next_time + self.pause, time.monotonic() - 1)
            outcome = self._one()
            with self.lock:
                if outcome == "served":
                    self.served += 1
                elif outcome == "refused":
                    self.refused += 1
                else:
                    self.lost.append(outcome)

    def end(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def echo_once(peer):
    got = peer.rest()
    peer.send(got.data)
    peer.finish()


@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize("way", [TCP, TWO_WORKERS], ids=str)
def test_no_connection_is_lost_by_a_stop_under_1000_new_ones_per_second(bench, way, attempt):
    """Whoever got a connection got full service: accepted, queued, or amid the handshake."""
    service = bench.service(echo_once)
    loble = bench.loble(service, way=way)
    flood = Flood(loble.address, 1000)
    try:
        until(lambda: flood.served > 500, "traffic")
        loble.send_signal(signal.SIGTERM)
        assert loble.wait_exit() == 0
        until(lambda: flood.refused > 20, "clients to be refused")
    finally:
        flood.end()
    assert not flood.lost, (len(flood.lost), flood.served, flood.lost[:5])
    loble.check_log()


def test_clients_in_the_queue_when_the_stop_comes_are_served(bench):
    """Queued behind max_sessions, they have been accepted by the kernel."""
    service = bench.service(echo_once)
    loble = bench.loble(service)
    loble.pause()
    clients = [bench.keep(loble.connect()) for _ in range(50)]
    for client in clients:
        client.send(b"queued")
        client.finish()
    loble.send_signal(signal.SIGTERM)
    loble.resume()
    for client in clients:
        assert client.rest() == (b"queued", END)
    assert loble.wait_exit() == 0
    loble.check_log()


def test_a_stop_is_logged_with_its_cause_and_the_time_it_took(bench):
    line = bench.line()
    line.loble.stop()
    words = " ".join(entry["event"] for entry in line.loble.events())
    assert "stopping" in words and "stopped" in words, line.loble.log


@pytest.mark.asan
@stop_ways
def test_the_end_of_a_listener_is_logged_when_it_closes_and_not_at_the_end(bench, way):
    loble = bench.loble(bench.service(echo, way), way=way)
    client = bench.keep(loble.connect())
    client.send(b"x")
    assert client.receive(1) == b"x"
    loble.send_signal(signal.SIGTERM)
    entry = loble.wait_event("listener_closed")
    assert entry["listener"] == "default"
    assert refuses(loble)
    client.send(b"y")
    assert client.receive(1) == b"y"
    client.close()
    assert loble.wait_exit() == 0
    assert len(loble.events("listener_closed")) == 1
    loble.check_log()


@pytest.mark.asan
@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_that_hangs_does_not_hold_up_the_stop(bench, signals):
    line = bench.line(TWO_WORKERS, timeouts={"drain": "500ms"})
    ends = [line.open() for _ in range(12)]  # so that both workers have some
    for client, backend in ends:
        client.send(b"x")
        assert backend.receive(1) == b"x"
        backend.send(b"truncated")
    frozen = proc.Frozen(line.loble.pid, "loble-worker")
    start = time.monotonic()
    for _ in range(signals):
        line.loble.send_signal(signal.SIGTERM)
    assert frozen.wait_end(10 * SLOWNESS)
    took = time.monotonic() - start
    assert 2.0 <= took < 2.5 + 1.5 * SLOWNESS, took
    assert line.loble.wait_exit() == 0
    for client, backend in ends:
        assert client.rest().how == RESET
        assert backend.rest() == (b"", RESET)
    (stopped,) = line.loble.events("stopped")
    assert stopped["level"] == "error"
    assert stopped["workers_hung"] == 1
    assert 1 <= stopped["sessions_cut"] <= 12
    line.loble.check_log()


@pytest.mark.parametrize("order", ["children first", "supervisor first"])
def test_who_signals_both_processes_by_name_gives_one_order(bench, order):
    line = bench.line(timeouts={"drain": "60s"})
    client, backend = line.open()
    client.send(b"x")
    assert backend.receive(1) == b"x"

    def both():
        processes = proc.tree(line.loble.pid)
        for pid in processes if order == "supervisor first" else processes[::-1]:
            with contextlib.suppress(ProcessLookupError):  # it may have obeyed already
                os.kill(pid, signal.SIGTERM)
    both()
    line.loble.wait_event("process_stopping")
    assert client.silent()
    client.send(b"still served")
    assert backend.receive(12) == b"still served"
    both()
    assert line.loble.wait_exit() == 0
    assert client.rest() == (b"", RESET)
    line.loble.check_log()


def kill_worker_process(loble):
    (worker,) = [pid for pid in proc.tree(loble.pid) if pid != loble.pid]
    os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("signals", [1, 2])
def test_an_order_to_stop_is_not_lost_with_a_worker_process_that_dies(bench, signals):
    """At whatever moment it comes: the next one hears of it, and of a second one, too."""
    line = bench.line(timeouts={"drain": "60s"})
    for attempt in range(20):
        loble = line.loble if attempt == 0 else bench.loble(line.backend,
                                                            timeouts={"drain": "60s"})
        client = bench.keep(loble.connect())
        backend = line.backend.accept()
        client.send(b"x")
        assert backend.receive(1) == b"x"
        kill_worker_process(loble)
        time.sleep(0.0005 * attempt)
        for number in (signal.SIGTERM, signal.SIGINT)[:signals]:
            loble.send_signal(number)
        if signals == 1:
            loble.wait_event("process_stopping")
            client.send(b"still served")
            assert backend.receive(12) == b"still served"
            client.close()
            backend.close()
        assert loble.wait_exit() == 0
        if signals == 2:
            assert client.rest() == (b"", RESET)
            assert backend.rest() == (b"", RESET)
        loble.check_log()


def test_an_order_to_stop_that_comes_during_the_start_ends_it_in_good_order(bench):
    backend = bench.service(echo)
    for attempt in range(20):
        loble = bench.loble(backend, options={"ready": None})
        until(lambda: len(proc.tree(loble.pid)) > 1, "the worker process", every=0)
        time.sleep(0.0002 * attempt)
        loble.stop()


def test_signals_that_mean_nothing_here_end_nothing(bench):
    service = bench.service(echo)
    loble = bench.loble(service)
    for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGWINCH, signal.SIGHUP):
        loble.send_signal(number)
        assert loble.ask(b"alive") == (b"alive", END)
    loble.must_run()
