"""Half-close works both ways, and nothing that came before a FIN is lost."""

import random
import time

import pytest

from harness.backends import echo, swallow
from harness.net import END, Background, connect, payload
from harness.paths import ALL, BULK, TCP, TWO_WORKERS, UNIX_BACKEND, data, every_size, every_way
from harness.wait import until

pytestmark = [pytest.mark.asan, pytest.mark.tsan]

SLOW_SIZE = 30 << 20


@every_size
@every_way
def test_the_backend_goes_on_sending_after_the_client_has_sent_fin(bench, way, size):
    line = bench.line(way)
    client, backend = line.open()
    upload = client.sending(data(size, 1), finish=True)
    assert backend.rest() == (data(size, 1), END)
    upload.result()
    for seed in (2, 3):  # more than one piece, each after the other has arrived
        download = backend.sending(data(size, seed))
        assert client.receive(size) == data(size, seed)
        download.result()
    backend.close()
    assert client.rest() == (b"", END)


@every_size
@every_way
def test_the_client_goes_on_sending_after_the_backend_has_sent_fin(bench, way, size):
    line = bench.line(way)
    client, backend = line.open()
    download = backend.sending(data(size, 1), finish=True)
    assert client.rest() == (data(size, 1), END)
    download.result()
    for seed in (2, 3):
        upload = client.sending(data(size, seed))
        assert backend.receive(size) == data(size, seed)
        upload.result()
    client.close()
    assert backend.rest() == (b"", END)


@every_way
def test_a_fin_without_data_arrives_as_a_fin_without_data(bench, way):
    line = bench.line(way)
    client, backend = line.open()
    client.finish()
    assert backend.rest() == (b"", END)
    assert client.silent()
    backend.send(b"still here")
    assert client.receive(10) == b"still here"
    backend.finish()
    assert client.rest() == (b"", END)


@every_size
@every_way
def test_both_sides_send_and_finish_at_once(bench, way, size):
    line = bench.line(way)
    client, backend = line.open()
    sends = [client.sending(data(size, 1), finish=True), backend.sending(data(size, 2), finish=True)]
    reads = [client.receiving(), backend.receiving()]
    assert reads[0].result() == (data(size, 2), END)
    assert reads[1].result() == (data(size, 1), END)
    for send in sends:
        send.result()


@every_way
def test_a_client_that_sends_and_closes_loses_nothing(bench, way):
    """close() instead of shutdown(): the FIN follows the data at once."""
    line = bench.line(way)
    for size in (1, 4096, 1 << 20):
        client, backend = line.open()
        upload = client.sending(data(size, 3))
        reading = backend.receiving()
        upload.result()
        client.close()
        assert reading.result() == (data(size, 3), END)
        backend.close()


def read_slowly(peer, sender, quiet):
    """Starts only when the sender has come to a stop, and stops now and then."""
    chooser = random.Random(7)
    stop = time.monotonic() + quiet
    while sender.running and time.monotonic() < stop:
        time.sleep(0.01)
    parts = []
    while True:
        part = peer.sock.recv(chooser.choice([1, 100, 10_000, 300_000, 1_000_000]))
        if not part:
            return b"".join(parts)
        parts.append(part)
        if chooser.random() < 0.02:
            time.sleep(0.01)


@every_way
def test_nothing_before_a_fin_is_lost_when_the_backend_reads_slowly(bench, way):
    line = bench.line(way, receive_buffer=1 << 17)
    client, backend = line.open()
    upload = client.sending(data(SLOW_SIZE), finish=True)
    assert read_slowly(backend, upload, 0.7) == data(SLOW_SIZE)
    upload.result()


@every_way
def test_nothing_before_a_fin_is_lost_when_the_client_reads_slowly(bench, way):
    line = bench.line(way)
    client, backend = line.open(receive_buffer=1 << 17)
    client.finish()  # the direction that lives is alone
    assert backend.rest() == (b"", END)
    download = backend.sending(data(SLOW_SIZE), finish=True)
    assert read_slowly(client, download, 0.7) == data(SLOW_SIZE)
    download.result()


def test_a_backend_that_closes_behind_its_last_byte_loses_nothing_for_a_slow_client(bench):
    """close() of the backend leaves only Loble to hold what the client has not read."""
    line = bench.line()
    client, backend = line.open(receive_buffer=1 << 17)
    size = 2 << 20
    backend.sending(data(size)).result()
    backend.close()
    assert read_slowly(client, Background(time.sleep, 0.3), 1.0) == data(size)


# A torture of many sessions with random lengths and a random choice of who finishes first.

def talk(address, seed):
    """One session with a backend that echoes, or one that counts; returns what went wrong."""
    chooser = random.Random(seed)
    size = int(2 ** chooser.uniform(0, 19))
    message = payload(size, seed)
    with connect(address) as client:
        reading = client.receiving()
        rest = memoryview(message)
        while rest:
            piece = chooser.choice([1, 100, 1460, 9000, 70_000, 200_000])
            client.send(rest[:piece])
            rest = rest[piece:]
        client.finish()
        got = reading.result()
    return (size, message), got


def run_many(address, sessions, threads, offset):
    def some(first):
        for number in range(first, sessions, threads):
            (size, message), got = talk(address, offset + number)
            wanted = {message, str(size).encode()}
            assert got.how == END and got.data in wanted, (number, size, got)
        return True
    tasks = [Background(some, first) for first in range(threads)]
    assert all(task.result(deadline=150) for task in tasks)


@pytest.mark.parametrize("way", ALL, ids=str)
def test_hundreds_of_sessions_of_random_length_arrive_byte_for_byte(bench, way):
    services = [bench.service(handler, way) for handler in (echo, swallow)]
    loble = bench.loble(*services, way=way)
    run_many(loble.address, 240, 6, 1000)
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_listener_connections_total") == 240


def early_finisher(peer):
    """Finishes its own direction first, in the middle of what it receives."""
    chooser = random.Random(peer.sock.fileno())
    message = data(chooser.choice([0, 5, 50_000]), 5)
    first = peer.sock.recv(chooser.choice([1, 1000, 100_000]))
    peer.send(message)
    peer.finish()
    got = peer.rest()
    return len(message), first + got.data, got.how


@pytest.mark.parametrize("way", [TCP, TWO_WORKERS, UNIX_BACKEND], ids=str)
def test_uploads_go_on_whole_after_the_backend_has_finished_at_any_point(bench, way):
    service = bench.service(early_finisher, way)
    loble = bench.loble(service, way=way)
    chooser = random.Random(11)
    sent = []

    def upload(size):
        with connect(loble.address) as client:
            reading = client.receiving()
            client.send(data(size, 9))
            client.finish()
            return reading.result()

    for _ in range(60):
        size = int(2 ** chooser.uniform(0, 21))
        sent.append(size)
        got = upload(size)
        assert got.how == END and got.data == data(len(got.data), 5)
    loble.wait_sessions_gone()
    until(lambda: len(service.results) == len(sent), "the backend to have noted all")
    assert sorted(len(received) for _, received, _ in service.results) == sorted(sent)
    assert all(how == END and received == data(len(received), 9)
               for _, received, how in service.results)


@pytest.mark.parametrize("way", ALL, ids=str)
def test_64_megabytes_both_ways_at_once_arrive_byte_for_byte(bench, way):
    both_ways(bench, way, 64 << 20)


@pytest.mark.long
def test_a_gigabyte_both_ways_at_once_arrives_byte_for_byte(bench):
    both_ways(bench, TCP, 1 << 30)


def both_ways(bench, way, size):
    line = bench.line(way)
    client, backend = line.open()
    up, down = data(BULK * 5 + 1, 21), data(BULK * 5 + 3, 22)
    times = size // len(up) + 1

    def send(peer, block):
        for _ in range(times):
            peer.send(block)
        peer.finish()

    def read(peer, block):
        for number in range(times):
            assert peer.receive(len(block)) == block, f"block {number} differs"
        return peer.rest()

    tasks = [Background(send, client, up), Background(send, backend, down)]
    reads = [Background(read, backend, up), Background(read, client, down)]
    for task in reads:
        assert task.result(deadline=1500) == (b"", END)
    for task in tasks:
        task.result()
    line.loble.wait_value("loble_listener_connections_active", 0)
    done = line.loble.metrics()
    assert done("loble_listener_received_bytes_total") == times * len(up)
    assert done("loble_listener_sent_bytes_total") == times * len(down)
