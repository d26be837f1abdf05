"""Every wait has a deadline: idle, half-closed, connecting."""

import time

import pytest

from harness.backends import Greeter
from harness.net import END, Background, short_path, stuffed, unix
from harness.paths import BULK, TCP, data, every_way
from harness.wait import DEADLINE, SLOWNESS, until

SLACK = 2.0 * SLOWNESS  # a busy machine; too early is never allowed


def elapsed(since):
    return time.monotonic() - since


@every_way
def test_an_idle_session_ends_with_a_fin_on_both_sides(bench, way):
    line = bench.line(way, timeouts={"idle": "1s"})
    client, backend = line.open()
    client.send(b"x")
    assert backend.receive(1) == b"x"
    start = time.monotonic()
    assert client.rest() == (b"", END)
    assert 0.85 <= elapsed(start) < 1 + SLACK
    assert backend.rest() == (b"", END)
    # Neither side closes: the linger is bounded all the same.
    line.loble.wait_sessions_gone()
    done = line.loble.metrics()
    assert done("loble_sessions_closed_total", by="proxy", reason="idle_timeout") == 1
    assert done("loble_sessions_closed_total") == 1
    assert done("loble_backend_transitions_total") == 0


@pytest.mark.parametrize("direction", ["from-client", "from-backend"])
def test_bytes_in_one_direction_keep_a_session_from_being_idle(bench, direction):
    line = bench.line(timeouts={"idle": "1s"})
    client, backend = line.open()
    sender, reader = (client, backend) if direction == "from-client" else (backend, client)
    start = time.monotonic()
    while elapsed(start) < 3:
        sender.send(b".")
        assert reader.receive(1) == b"."
        time.sleep(0.1)
    sender.finish()
    assert reader.rest() == (b"", END)


def test_idle_off_means_that_silence_ends_nothing(bench):
    line = bench.line(timeouts={"idle": "off"})
    client, backend = line.open()
    assert client.silent(2)
    client.send(b"there?")
    assert backend.receive(6) == b"there?"


def test_idle_of_a_listener_overrides_the_common_one(bench):
    line = bench.line(listener={"idle": "500ms"}, timeouts={"idle": "1h"})
    client, _ = line.open()
    start = time.monotonic()
    assert client.rest() == (b"", END)
    assert elapsed(start) < 0.5 + SLACK


def from_log(line):
    """How long the only session of a Loble with an access log has lasted, in seconds."""
    return line.loble.wait_event("session")["duration_ms"] / 1000


@pytest.mark.parametrize("idle", [0.1, 0.4, 0.9, 1.5])
def test_an_idle_session_ends_in_time_however_short_that_is(bench, idle):
    line = bench.line(timeouts={"idle": f"{round(idle * 1000)}ms"}, access_log={"enabled": True})
    client, backend = line.open()
    client.rest()
    client.close()
    backend.rest()
    backend.close()
    # By the clock of Loble, which the tests' own load does not disturb as much.
    assert idle - 0.01 <= from_log(line) < idle + (0.3 * SLOWNESS)


def test_a_peer_that_never_reads_is_let_go_when_nothing_progresses(bench):
    """Zero window: the sender's bytes wait, and that is no progress."""
    line = bench.line(timeouts={"idle": "1s"})
    client, backend = line.open()
    sending = Background(client.stuff, 0.4)
    try:
        assert sending.result() > 0
    except ConnectionResetError:  # let go while its own kernel still took some
        assert line.loble.value("loble_listener_received_bytes_total") > 0
    line.loble.wait_value("loble_listener_connections_active", 0)
    line.loble.wait_sessions_gone()


def test_a_slow_reader_that_makes_progress_is_not_idle(bench):
    line = bench.line(receive_buffer=1 << 15, timeouts={"idle": "1s"})
    client, backend = line.open(send_buffer=1 << 15)
    size = 8 << 20
    upload = client.sending(data(size), finish=True)
    got, start = b"", time.monotonic()
    while elapsed(start) < 4:  # takes a little all the time, from the first moment on
        got += backend.receive(20_000)
        time.sleep(0.05)
    assert len(got) < size
    rest = backend.rest()
    assert rest.how == END
    assert got + rest.data == data(size)
    upload.result()


def test_a_slow_reader_gets_what_the_kernel_has_taken_before_the_session_fell_idle(bench):
    line = bench.line(receive_buffer=1 << 15, timeouts={"idle": "1s"})
    client, backend = line.open(send_buffer=1 << 15)
    sent = client.stuff(0.3, limit=2 << 20)  # taken at once: no second without a byte
    finishing = Background(client.finish)
    got, start = 0, time.monotonic()
    while elapsed(start) < 3:  # takes a little all the time
        got += len(backend.receive(20_000))
        time.sleep(0.05)
    assert got < sent
    rest = backend.rest()
    assert rest.how == END and len(rest.data) == sent - got
    assert rest.data == stuffed(sent)[got:]
    finishing.result()


@pytest.mark.parametrize("first", ["client", "backend"])
def test_a_half_closed_session_without_activity_ends(bench, first):
    line = bench.line(timeouts={"half_close": "1s"})
    client, backend = line.open()
    one, other = (client, backend) if first == "client" else (backend, client)
    one.send(b"last")
    one.finish()
    assert other.rest() == (b"last", END)
    start = time.monotonic()
    assert one.rest().data == b""
    assert 0.85 <= elapsed(start) < 1 + SLACK
    line.loble.wait_sessions_gone()
    done = line.loble.metrics()
    assert done("loble_sessions_closed_total", by="proxy", reason="half_close_timeout") == 1


@pytest.mark.parametrize("first", ["client", "backend"])
def test_half_close_is_counted_from_the_last_byte(bench, first):
    """Not from when it was noticed that its bytes had arrived."""
    line = bench.line(timeouts={"half_close": "2s"}, access_log={"enabled": True})
    client, backend = line.open()
    one, other = (client, backend) if first == "client" else (backend, client)
    one.send(b"last")
    one.finish()
    assert other.rest() == (b"last", END)
    one.rest()
    one.close()
    other.close()
    assert 1.95 <= from_log(line) < 2 + (0.3 * SLOWNESS)


@pytest.mark.parametrize("first", ["client", "backend"])
def test_half_close_limits_inactivity_only(bench, first):
    line = bench.line(timeouts={"half_close": "1s"})
    client, backend = line.open()
    one, other = (client, backend) if first == "client" else (backend, client)
    one.finish()
    assert other.rest() == (b"", END)
    start = time.monotonic()
    while elapsed(start) < 3:
        other.send(b".")
        assert one.receive(1) == b"."
        time.sleep(0.1)
    other.send(b"end")
    other.finish()
    assert one.rest() == (b"end", END)


def test_half_close_off_leaves_the_idle_timeout(bench):
    line = bench.line(timeouts={"half_close": "off", "idle": "2s"})
    client, backend = line.open()
    client.finish()
    assert backend.rest() == (b"", END)
    start = time.monotonic()
    assert client.rest().data == b""
    assert 1.8 <= elapsed(start) < 2 + SLACK
    backend.close()


def test_a_connect_that_gets_no_answer_ends_at_connect_total(bench):
    hole = bench.blackhole()
    loble = bench.loble(hole, balancer={"retries": 10},
                        timeouts={"connect": "400ms", "connect_total": "2s"})
    start = time.monotonic()
    client = bench.keep(loble.connect())
    assert client.rest().data == b""
    assert 1.8 <= elapsed(start) < 2 + SLACK
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_backend_connect_failures_total", reason="timeout") >= 1
    assert done("loble_sessions_closed_total", by="proxy", reason="connect_failed") == 1


def test_one_attempt_takes_at_most_connect_and_the_next_backend_answers(bench):
    hole = bench.blackhole()
    greeter = bench.greeter("alive")
    loble = bench.loble(hole, greeter, timeouts={"connect": "500ms"})
    times = []
    while loble.health(hole.address) == "healthy":
        start = time.monotonic()
        assert loble.ask() == (b"alive", END)
        times.append(elapsed(start))
        assert len(times) <= 8, times  # three failures take it out; that takes a moment
    assert max(times) < 0.5 + SLACK
    slow = sum(one >= 0.45 for one in times)
    assert slow >= 3, times
    start = time.monotonic()
    assert loble.ask() == (b"alive", END)
    assert elapsed(start) < 0.45
    assert loble.value("loble_backend_connect_failures_total", backend=str(hole.address),
                       reason="timeout") == slow


def test_a_lone_backend_that_refuses_ends_the_session_within_its_tries(bench):
    backend = bench.manual()
    backend.stop()
    loble = bench.loble(backend, balancer={"retries": 0})
    start = time.monotonic()
    client = bench.keep(loble.connect())
    assert client.rest().data == b""
    assert elapsed(start) < SLACK
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_backend_connect_failures_total", reason="refused") == 1
    assert done("loble_sessions_closed_total", by="proxy", reason="connect_failed") == 1


def test_an_unreachable_backend_is_counted_and_left_for_the_next(bench):
    """An unreachable route is EHOSTUNREACH: held against the backend. ENETUNREACH is not."""
    space = bench.namespace()
    space.ip("route", "add", "unreachable", "198.51.100.1/32")
    space.ip("route", "add", "prohibit", "198.51.100.2/32")

    greeter = bench.keep(space.run(Greeter, "alive"))
    loble = bench.loble("198.51.100.1:80", "198.51.100.2:80", "203.0.113.1:80", greeter,
                        options={"namespace": space}, balancer={"retries": 3},
                        health={"failure_threshold": 1000})
    for _ in range(3):
        assert space.run(loble.ask) == (b"alive", END)
    done = loble.metrics()
    failures = "loble_backend_connect_failures_total"
    assert done(failures, backend="198.51.100.1:80", reason="unreachable") >= 1
    assert done(failures, backend="198.51.100.2:80", reason="resource") >= 1
    assert done(failures, backend="203.0.113.1:80", reason="resource") >= 1
    assert done.get(failures, backend="203.0.113.1:80", reason="unreachable") == 0


def test_local_trouble_never_makes_a_backend_unhealthy(bench):
    space = bench.namespace()  # no route at all: ENETUNREACH
    loble = bench.loble("203.0.113.1:80", options={"namespace": space},
                        balancer={"retries": 0}, health={"failure_threshold": 1})
    for _ in range(3):
        assert space.run(loble.ask).data == b""
    done = loble.metrics()
    assert done("loble_backend_connect_failures_total", reason="resource") >= 3
    assert done("loble_backend_transitions_total") == 0
    assert loble.health("203.0.113.1:80") == "healthy"


def test_a_socket_that_meets_itself_is_no_backend(bench):
    """The first connect chooses the port of the backend, which is down, as its own one."""
    space = bench.namespace()
    space.local_ports(30000, 40000)
    loble = bench.loble("127.0.0.1:40000", options={"namespace": space}, balancer={"retries": 0})
    space.local_ports(40000, 40000)
    assert space.run(loble.ask, b"to myself").data == b""
    space.local_ports(30000, 40000)
    done = loble.wait_value("loble_backend_connect_failures_total", 1, reason="refused")
    assert done("loble_backend_connections_total") == 0


def test_a_unix_backend_with_a_full_backlog_is_not_waited_for_for_ever(bench):
    """connect() to a full UNIX socket says EAGAIN; it is tried again, and has an end."""
    hole = bench.blackhole(address=unix(short_path("full")))
    loble = bench.loble(hole, timeouts={"connect": "500ms", "connect_total": "2s"})
    start = time.monotonic()
    client = bench.keep(loble.connect())
    assert client.rest().data == b""
    assert elapsed(start) < 2 + SLACK
    loble.wait_sessions_gone()


def test_a_unix_backend_whose_backlog_was_full_serves_when_there_is_room(bench):
    hole = bench.blackhole(address=unix(short_path("full")))
    loble = bench.loble(hole)
    client = bench.keep(loble.connect())
    client.send(b"patient")
    loble.wait_value("loble_listener_connections_active", 1)
    found = []

    def served():
        for peer in hole.drain(0.2):
            found.append(bench.keep(peer))
        return any(not peer.silent(0.02) and peer.sock.recv(7, 0x2) == b"patient"
                   for peer in found)
    until(served, "the client's bytes to arrive", DEADLINE)
    for peer in found:
        peer.close()


def test_bulk_that_pauses_within_the_idle_timeout_goes_on(bench):
    line = bench.line(TCP, timeouts={"idle": "2s"})
    client, backend = line.open()
    for _ in range(3):
        upload = client.sending(data(BULK))
        assert backend.receive(BULK) == data(BULK)
        upload.result()
        time.sleep(0.8)
