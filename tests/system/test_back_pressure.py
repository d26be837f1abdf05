"""A side that does not read stops the other; memory stays bounded and nothing spins."""

import time

import pytest

from harness import proc
from harness.net import END, Background, stuffed
from harness.paths import TCP, data, every_tcp_way, every_way
from harness.wait import SLOWNESS

# What the kernel may buffer on the way: both sockets of both connections (tcp_rmem, tcp_wmem).
KERNEL = 2 * (32 << 20) + 2 * (4 << 20)
USER_PER_DIRECTION = 64 << 10


@pytest.mark.asan
@pytest.mark.tsan
@every_way
def test_a_reader_that_stalls_stops_the_sender_and_gets_everything_afterwards(bench, way):
    for stalled in ("backend", "client"):
        line = bench.line(way)
        client, backend = line.open()
        sender, reader = (client, backend) if stalled == "backend" else (backend, client)
        sent = sender.stuff(limit=KERNEL * 2)
        assert sent < KERNEL
        finishing = Background(sender.finish)
        assert reader.rest() == (stuffed(sent), END)
        finishing.result()


def stall(line, count):
    """Sessions whose backend does not read; returns the ends and the bytes per session."""
    ends = [line.open() for _ in range(count)]
    tasks = [Background(client.stuff) for client, _ in ends]
    return ends, [task.result(120) for task in tasks]


def test_memory_of_stalled_sessions_is_bounded_per_direction(bench):
    line = bench.line()
    warm, _ = stall(line, 2)  # what is made once: buffers, pipes
    for client, backend in warm:
        client.reset()
        backend.close()
    line.loble.wait_sessions_gone()
    before, count = proc.pss_bytes(line.loble.pid), 40
    _ends, sent = stall(line, count)
    grown = proc.pss_bytes(line.loble.pid) - before
    assert min(sent) > 1 << 20  # they are stalled with full buffers
    assert grown <= count * (USER_PER_DIRECTION + 1024) + (256 << 10), grown / count


@pytest.mark.parametrize("pool", [None, "64KiB"])
def test_max_buffered_bounds_what_a_stalled_session_takes_from_its_client(bench, pool):
    tables = {} if pool is None else {"balancer": {"max_buffered": pool}}
    line = bench.line(receive_buffer=1 << 16, listener={"max_buffered": "128KiB"}, **tables)
    client, backend = line.open(send_buffer=1 << 16)
    sent = client.stuff()
    # The kernel doubles each of the four buffers, and Loble may hold one chunk or a pipe.
    assert sent < 2 << 20, sent
    finishing = Background(client.finish)
    assert backend.rest() == (stuffed(sent), END)
    finishing.result()


def assert_idle(loble, seconds=1.0):
    share = proc.cpu_share(loble.pid, seconds)
    assert share < 0.02 * SLOWNESS, f"uses {share:.1%} of a core while nothing moves"


@pytest.mark.asan
@every_tcp_way
def test_stalled_sessions_cost_no_cpu(bench, way):
    line = bench.line(way)
    stall(line, 4)
    assert_idle(line.loble)


def test_a_session_stalled_in_both_directions_costs_no_cpu(bench):
    line = bench.line()
    client, backend = line.open()
    both = [Background(client.stuff), Background(backend.stuff)]
    for one in both:
        one.result()
    assert_idle(line.loble)


@pytest.mark.parametrize("state", ["client-finished", "backend-finished", "finished-and-stalled",
                                   "idle", "connecting"])
def test_no_waiting_state_spins(bench, state):
    if state == "connecting":
        hole = bench.blackhole()
        loble = bench.loble(hole, timeouts={"connect": "30s", "connect_total": "30s"})
        client = bench.keep(loble.connect())
        client.send(b"waiting")
        client.finish()
        assert_idle(loble)
        hole.drain()
        return
    line = bench.line()
    client, backend = line.open()
    if state == "client-finished":
        client.finish()
        assert backend.rest() == (b"", END)
    if state == "backend-finished":
        backend.finish()
        assert client.rest() == (b"", END)
    if state == "finished-and-stalled":
        client.stuff()
        client.finish()
    assert_idle(line.loble)


def test_one_fast_stream_does_not_starve_the_others(bench):
    """With one worker, a ping must get through while bulk fills the same thread."""
    line = bench.line(TCP)
    bulk_client, bulk_backend = line.open()
    client, backend = line.open()
    ended = False

    def pour():
        while not ended:
            bulk_client.send(data(1 << 20))
        bulk_client.finish()

    def drink():
        while bulk_backend.sock.recv(1 << 20):
            pass
    tasks = [Background(pour), Background(drink)]
    times = []
    for _ in range(100):
        start = time.monotonic()
        client.send(b"?")
        assert backend.receive(1) == b"?"
        times.append(time.monotonic() - start)
    ended = True
    for task in tasks:
        task.result()
    assert sorted(times)[50] < 0.1 * SLOWNESS, sorted(times)[50]


def test_stalled_sessions_that_are_cut_give_their_memory_to_the_next(bench):
    """Ten rounds of stalled sessions take no more than one."""
    line = bench.line()
    sizes = []
    for _ in range(5):
        ends, _ = stall(line, 8)
        sizes.append(proc.pss_bytes(line.loble.pid))
        for client, backend in ends:
            client.reset()
            backend.close()
        line.loble.wait_sessions_gone()
    assert sizes[-1] <= sizes[0] + 8 * USER_PER_DIRECTION + (128 << 10), sizes


@pytest.mark.parametrize("pause", [False, True], ids=["steady", "paused"])
def test_small_writes_are_not_delayed(bench, pause):
    """One byte, one more byte, then the answer: Nagle and delayed ACK would make it 40 ms."""
    line = bench.line()
    client, backend = line.open()
    times = []
    for number in range(150):
        start = time.monotonic()
        for byte in (b"a", b"b"):
            client.send(byte)
            if pause:
                time.sleep(0.0005)  # so that each byte is a segment of its own
        assert backend.receive(2) == b"ab"
        for byte in (b"c", b"d"):
            backend.send(byte)
            if pause:
                time.sleep(0.0005)
        assert client.receive(2) == b"cd"
        times.append(time.monotonic() - start)
    median = sorted(times)[len(times) // 2]
    assert median < 0.020 * SLOWNESS, f"median round {median * 1000:.1f} ms"


@every_way
def test_a_round_trip_of_one_byte_takes_well_under_five_milliseconds(bench, way):
    line = bench.line(way)
    client, backend = line.open()

    def answer():
        for _ in range(300):
            backend.send(backend.receive(1))
    answering = Background(answer)
    times = []
    for _ in range(300):
        start = time.monotonic()
        client.send(b"?")
        client.receive(1)
        times.append(time.monotonic() - start)
    answering.result()
    median = sorted(times)[150]
    assert median < 0.005 * SLOWNESS, f"median round {median * 1000:.2f} ms"
