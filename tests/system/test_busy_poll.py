"""server.busy_poll: a worker looks for more before it sleeps, while that is worth it."""

import os
import threading
import time
from pathlib import Path

import pytest

from harness import paths, proc, toml
from harness.net import END, Background, payload
from harness.wait import SLOWNESS, until

TRIPS = 100


def worker_sleeps(loble):
    """How often the worker's thread has gone to sleep."""
    for process in proc.tree(loble.pid):
        for task in os.listdir(f"/proc/{process}/task"):
            if Path(f"/proc/{process}/task/{task}/comm").read_text().strip() == "loble-worker":
                status = Path(f"/proc/{process}/task/{task}/status").read_text()
                return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    raise AssertionError("no worker")


def sleeps_of_trips(line, client, backend):
    before = worker_sleeps(line.loble)
    for _ in range(TRIPS):
        client.send(b"ping")
        assert backend.receive(4) == b"ping"
        backend.send(b"pong")
        assert client.receive(4) == b"pong"
    return worker_sleeps(line.loble) - before


def test_without_it_a_worker_sleeps_between_messages(bench):
    line = bench.line(server={"busy_poll": 0})
    client, backend = line.open()
    until(lambda: sleeps_of_trips(line, client, backend) > TRIPS / 2, "sleeps")


@pytest.mark.asan
@pytest.mark.tsan
@pytest.mark.parametrize("way", [paths.TCP, paths.UNIX_BACKEND, paths.UNIX_LISTENER], ids=str)
def test_a_worker_looks_for_more_and_sleeps_when_nothing_comes(bench, way):
    line = bench.line(way, server={"busy_poll": 10000})
    client, backend = line.open()
    # A machine that others use may take longer than that for some of the messages.
    until(lambda: sleeps_of_trips(line, client, backend) < TRIPS / 4, "few sleeps")
    assert proc.cpu_share(line.loble.pid, 1) < 0.1 * SLOWNESS
    client.send(b"still")
    assert backend.receive(5) == b"still"


@pytest.mark.parametrize("size", [1 << 16, 1 << 12], ids=["spliced", "copied"])
def test_a_worker_does_not_look_for_the_next_piece_of_a_stream(bench, size):
    """Each comes well within the limit: who looked for it would use a processor whole."""
    line = bench.line(server={"busy_poll": 10000})
    client, backend = line.open()
    enough = threading.Event()

    def stream():
        while not enough.is_set():
            backend.send(payload(size))
            time.sleep(0.002)
        backend.finish()

    sending = Background(stream)
    receiving = client.receiving()
    try:
        until(lambda: proc.cpu_share(line.loble.pid, 1) < 0.4 * SLOWNESS, "little CPU")
        assert sending.running and receiving.running
    finally:
        enough.set()
    sending.result()
    assert receiving.result().how == END


def test_a_reload_switches_it_on_and_off(bench):
    line = bench.line()
    loble = line.loble
    client, backend = line.open()
    for value in (10000, 0):
        server = {**loble.config["server"], "busy_poll": value}
        loble.file.write_text(toml.dumps({**loble.config, "server": server}))
        loble.ctl("reload", "--wait")
        if value:
            until(lambda: sleeps_of_trips(line, client, backend) < TRIPS / 4, "few sleeps")
        else:
            until(lambda: sleeps_of_trips(line, client, backend) > TRIPS / 2, "sleeps")
