"""A reset on one side becomes a reset on the other, after what had been received."""

import socket

import pytest

from harness.net import END, RESET, Background
from harness.paths import (BULK, TCP, UNIX_BACKEND, UNIX_LISTENER, data, every_size, every_tcp_way)
from harness.wait import until

pytestmark = [pytest.mark.asan, pytest.mark.tsan]


@every_tcp_way
def test_a_reset_by_the_client_reaches_the_backend_as_a_reset(bench, way):
    line = bench.line(way)
    client, backend = line.open()
    client.send(b"cut")
    assert backend.receive(3) == b"cut"
    client.reset()
    assert backend.rest() == (b"", RESET)
    done = line.loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_sessions_closed_total", by="client", reason="reset") == 1


@every_tcp_way
def test_a_reset_by_the_backend_reaches_the_client_as_a_reset(bench, way):
    line = bench.line(way)
    client, backend = line.open()
    client.send(b"hi")
    assert backend.receive(2) == b"hi"
    backend.send(b"partial ans")
    assert client.receive(11) == b"partial ans"
    backend.reset()
    assert client.rest() == (b"", RESET)
    done = line.loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_sessions_closed_total", by="backend", reason="reset") == 1


@every_tcp_way
def test_a_reset_in_silence_is_passed_on_both_ways(bench, way):
    line = bench.line(way)
    client, backend = line.open()
    line.loble.wait_value("loble_backend_connections_total", 1)
    client.reset()
    assert backend.rest() == (b"", RESET)
    client, backend = line.open()
    client.send(b"x")  # so that it is no evidence against the backend
    assert backend.receive(1) == b"x"
    backend.reset()
    assert client.rest() == (b"", RESET)


def all_acknowledged(peer):
    """Loble's kernel has everything: from here on only Loble can lose it."""
    until(lambda: peer.unsent() == 0, lambda: f"{peer.unsent()} bytes are not acknowledged")


@pytest.mark.parametrize("size", [1000, 60_000, 400_000])
@every_tcp_way
def test_what_the_backend_sent_before_its_reset_is_delivered_first(bench, way, size):
    """The client has read nothing yet when the reset comes."""
    line = bench.line(way)
    client, backend = line.open()
    client.send(b"x")
    assert backend.receive(1) == b"x"
    backend.sending(data(size)).result()
    all_acknowledged(backend)
    backend.reset()
    line.loble.wait_value("loble_backend_received_bytes_total", size)
    assert client.rest() == (data(size), RESET)


@pytest.mark.parametrize("size", [1000, 60_000, 400_000])
@every_tcp_way
def test_what_the_client_sent_before_its_reset_is_delivered_first(bench, way, size):
    line = bench.line(way)
    client, backend = line.open()
    client.sending(data(size)).result()
    all_acknowledged(client)
    client.reset()
    line.loble.wait_value("loble_listener_received_bytes_total", size)
    assert backend.rest() == (data(size), RESET)


def reset_after(client, how):
    """The client leaves, once all that it said is with Loble's kernel."""
    all_acknowledged(client)
    if how == "finish and reset":
        client.finish()
    client.reset()


both_resets = pytest.mark.parametrize("how", ["reset", "finish and reset"])


@both_resets
def test_what_a_client_sent_before_its_reset_is_delivered_although_the_backend_was_not_yet_connected(
        bench, how):
    hole = bench.blackhole()
    loble = bench.loble(hole, timeouts={"connect": "60s", "connect_total": "60s"})
    client = loble.connect()
    client.send(b"sent in time")
    loble.wait_value("loble_listener_connections_active", 1)
    reset_after(client, how)
    found = until(lambda: hole.drain(0.5), "the connection of Loble")
    assert found[0].rest() == (b"sent in time", RESET)
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_sessions_closed_total", by="client", reason="reset") == 1
    assert loble.health(hole.address) == "healthy"
    for other in found[1:]:
        other.close()


@both_resets
@pytest.mark.parametrize("way", [TCP, UNIX_BACKEND], ids=str)
def test_what_a_client_sent_before_its_reset_survives_retries(bench, way, how):
    backend = bench.manual(way)
    backend.stop()
    loble = bench.loble(backend, way=way, listener={"max_connections": 1},
                        health={"failure_threshold": 1000})
    client = loble.connect()
    client.send(data(60_000))
    loble.wait_value("loble_backend_connect_failures_total", 1, reason="refused")
    reset_after(client, how)
    with loble.connect() as second:  # the first one still has its place
        assert second.rest() == (b"", RESET)
    backend.start()
    got = backend.accept().rest()
    assert got.data == data(60_000)
    assert got.how == (END if way.backend == "unix" else RESET)
    loble.wait_value("loble_listener_connections_active", 0)
    client = bench.keep(loble.connect())
    client.send(b"there is room again")
    assert backend.accept().receive(19) == b"there is room again"


def test_a_reset_after_a_fin_ends_the_session_although_the_backend_is_silent(bench):
    line = bench.line()
    client, backend = line.open()
    client.send(b"question")
    client.finish()
    assert backend.rest() == (b"question", END)
    client.reset()
    done = line.loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_sessions_closed_total", by="client", reason="reset") == 1
    with pytest.raises(BrokenPipeError):
        backend.send(b"answer")


@every_tcp_way
def test_a_client_that_resets_at_once_never_looks_like_one_that_finished(bench, way):
    """Whatever the moment: before, amid or after the connect to the backend."""
    line = bench.line(way)
    for _ in range(60):
        line.loble.connect().reset()
    line.loble.wait_value("loble_listener_connections_total", 60)
    line.loble.wait_value("loble_listener_connections_active", 0)
    while not line.backend.accepts_nothing(0.1):
        assert line.backend.peers[-1].rest() == (b"", RESET)


def test_a_reader_that_is_far_behind_gets_all_that_came_before_the_reset(bench):
    """Bulk: part of it lies in a pipe or chunk, most in the send buffer towards the client."""
    line = bench.line()
    client, backend = line.open(receive_buffer=1 << 16)
    client.send(b"x")
    assert backend.receive(1) == b"x"
    sent = backend.stuff(limit=BULK)
    # Whatever the backend's kernel still holds dies with it: count what was acknowledged.
    held = backend.unsent()
    backend.reset()
    got = client.rest()
    assert got.how == RESET
    assert sent - held <= len(got.data) <= sent
    whole = data(1 << 16)
    assert got.data == (whole * (len(got.data) // len(whole) + 1))[:len(got.data)]


@every_size
def test_a_reset_amid_bulk_ends_both_sides(bench, size):
    line = bench.line()
    for breaker in ("client", "backend"):
        client, backend = line.open()
        ends = {"client": client, "backend": backend}
        other = ends["backend" if breaker == "client" else "client"]
        client.send(b"x")
        assert backend.receive(1) == b"x"
        reading = other.receiving()
        ends[breaker].send(data(size))
        ends[breaker].reset()
        got = reading.result()
        assert got.how == RESET
        assert got.data == data(size)[:len(got.data)]


def test_a_reset_after_the_other_side_has_finished_is_passed_on(bench):
    line = bench.line()
    client, backend = line.open()
    client.send(b"all")
    client.finish()
    assert backend.rest() == (b"all", END)
    backend.send(b"half")
    assert client.receive(4) == b"half"
    backend.reset()
    assert client.rest() == (b"", RESET)
    client, backend = line.open()
    backend.send(b"all")
    backend.finish()
    assert client.rest() == (b"all", END)
    client.reset()
    assert backend.rest() == (b"", RESET)


def test_a_reset_with_unread_data_in_both_directions_gives_everything_back(bench):
    line = bench.line(receive_buffer=1 << 16)
    for breaker in (0, 1):
        ends = line.open(receive_buffer=1 << 16)
        stuffing = Background(ends[1].stuff)
        ends[0].stuff()
        stuffing.result()
        ends[breaker].reset()
        assert ends[1 - breaker].rest().how == RESET
        line.loble.wait_sessions_gone()


@pytest.mark.parametrize("way", [UNIX_BACKEND], ids=str)
def test_a_client_that_resets_ends_a_session_to_a_unix_socket(bench, way):
    """A UNIX socket knows no reset: its side sees that the stream ended."""
    line = bench.line(way)
    client, backend = line.open()
    client.send(b"x")
    assert backend.receive(1) == b"x"
    client.reset()
    assert backend.rest().data == b""


def test_a_backend_that_resets_ends_a_session_from_a_unix_socket(bench):
    line = bench.line(UNIX_LISTENER)
    client, backend = line.open()
    client.send(b"x")
    assert backend.receive(1) == b"x"
    backend.send(b"bye")
    all_acknowledged(backend)
    backend.reset()
    assert client.rest().data == b"bye"


def test_a_unix_client_that_closes_with_unread_data_is_a_reset_for_the_backend(bench):
    """The kernel reports ECONNRESET to whoever wrote to a UNIX socket that was closed unread."""
    line = bench.line(UNIX_LISTENER)
    client, backend = line.open()
    backend.send(b"unread")
    until(lambda: not client.silent(0.05), "the bytes to arrive")
    client.close()
    backend.sock.settimeout(30)
    assert backend.rest() == (b"", RESET)


@pytest.mark.parametrize("way", [TCP], ids=str)
def test_urgent_data_stays_in_the_stream(bench, way):
    line = bench.line(way)
    client, backend = line.open()
    for one, other in ((client, backend), (backend, client)):
        one.send(b"before ")
        one.sock.send(b"!", socket.MSG_OOB)
        one.send(b" after")
        assert other.receive(14) == b"before ! after"


@pytest.mark.parametrize("way", [UNIX_BACKEND, UNIX_LISTENER], ids=str)
@pytest.mark.parametrize("at_once", [False, True], ids=["slowly", "at-once"])
def test_urgent_data_goes_between_tcp_and_a_unix_socket(bench, way, at_once):
    line = bench.line(way)
    client, backend = line.open()
    one, other = (client, backend) if way is UNIX_BACKEND else (backend, client)
    one.send(b"before ")
    if not at_once:
        assert other.receive(7) == b"before "
    one.sock.send(b"!", socket.MSG_OOB)
    one.send(b" after")
    one.finish()
    assert other.rest() == (b"before ! after" if at_once else b"! after", END)
    other.send(b"answer")
    assert one.receive(6) == b"answer"


@pytest.mark.parametrize("way", [UNIX_BACKEND, UNIX_LISTENER], ids=str)
def test_urgent_data_of_a_unix_socket_does_no_harm(bench, way):
    """It is no part of the stream there, and is not passed on."""
    line = bench.line(way)
    client, backend = line.open()
    one, other = (client, backend) if way is UNIX_LISTENER else (backend, client)
    one.send(b"before ")
    assert other.receive(7) == b"before "
    one.sock.send(b"!", socket.MSG_OOB)
    one.send(b"after")
    assert other.receive(5) == b"after"
    one.finish()
    assert other.rest() == (b"", END)
