"""The torture finds what is wrong: a relay that meddles stands where Loble will stand."""

import ctypes
import socket
import struct
import threading

import pytest

from harness import net
from harness.backends import listen
from harness.torture import Torture, assert_nothing_wrong, no_resets, program, sums

@pytest.fixture(autouse=True)
def built(binary):
    if not program(binary).exists():
        pytest.skip("the torture is not built")

LIBC = ctypes.CDLL(None)


class Relay:
    """Passes bytes on between clients and one backend, and does to the N-th session what it is
    told to: meddle(relay, number, client, backend) may take over."""

    def __init__(self, backend, meddle=None):
        self.address, self.backend, self.meddle = net.free_tcp4(), backend, meddle
        self.sock = listen(self.address)
        self.number = 0
        self.pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            self.number += 1
            threading.Thread(target=self._serve, args=(self.number, client), daemon=True).start()

    def _serve(self, number, client):
        with client, self.backend.socket() as backend:
            try:
                backend.connect(self.backend.sockaddr)
                change = self.meddle(number, client, backend) if self.meddle else None
                up = threading.Thread(target=copy, args=(client, backend, change), daemon=True)
                up.start()
                copy(backend, client, None)
                up.join()
            except OSError:
                reset(client)
                reset(backend)

    def close(self):
        self.sock.close()


def copy(source, target, change):
    try:
        while data := source.recv(1 << 16):
            target.sendall(change(data, source, target) if change else data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        reset(target)
        reset(source)


def reset(sock):
    """At once, although another thread may be waiting for the socket: close() would wait for it."""
    LIBC.connect(sock.fileno(), struct.pack("16x"), 16)  # AF_UNSPEC


def after(limit, act):
    """Acts once so many bytes of a session's upload have passed."""
    passed = 0

    def change(data, source, target):
        nonlocal passed
        passed += len(data)
        return act(data, source, target) if passed > limit else data
    return change


def in_session(wanted, limit, act):
    def meddle(number, client, backend):
        if number == wanted:
            done = threading.Event()

            def once(data, source, target):
                if done.is_set():
                    return data
                done.set()
                return act(data, source, target)
            return after(limit, once)
        return None
    return meddle


def flip(data, source, target):
    return data[:-1] + bytes([data[-1] ^ 1])


def lose(data, source, target):
    return data[32:]


def repeat(data, source, target):
    return data[-64:] + data


def end(data, source, target):
    """A stream that is cut in the most polite way."""
    target.shutdown(socket.SHUT_WR)
    while source.recv(1 << 16):
        pass
    return b""


def drop(data, source, target):
    reset(target)
    raise OSError


def hang(data, source, target):
    threading.Event().wait(30)
    return data


MIX = {"mix": "bulk_up=1", "burst": 20000, "every": 20}


def torture(bench, meddle, seconds=1.0, **options):
    backend = net.free_tcp4()
    relay = bench.keep(Relay(backend, meddle))
    options = {"sessions": 10, "probes": 0, "rate": 0, "grace": 1000, "life": 100000, **options}
    run = bench.keep(Torture(bench.binary, [relay.address], [backend], seconds=seconds, **options))
    return run, run.wait()


def test_a_relay_that_does_nothing_is_found_innocent(bench):
    run, report = torture(bench, None, mix=no_resets(), sessions=60, probes=3, rate=50, hold=300,
                          life=600, grace=20000)
    assert run.code == 0, run.errors
    assert_nothing_wrong(report, run.errors)
    assert report["client"]["requests"] > 100
    assert report["total"]["opens"]["count"] >= 30


@pytest.mark.parametrize("act, name", [
    (flip, "damaged"), (lose, "displaced"), (repeat, "displaced"), (end, "cut"), (drop, "reset"),
], ids=["flip", "lose", "repeat", "cut", "reset"])
def test_one_deed_in_one_session_is_found_and_named(bench, act, name):
    run, report = torture(bench, in_session(4, 100000, act), **MIX)
    assert run.code == 1
    assert sums(report)[name] >= 1, (sums(report), run.errors)
    # The other sessions were served in order: nothing else is complained about than this one.
    assert {error["session"] for error in run.errors} == {run.errors[0]["session"]}, run.errors


def test_a_session_that_stands_still_is_found(bench):
    run, report = torture(bench, in_session(4, 100000, hang), seconds=2, stall=500, **MIX)
    assert run.code == 1
    assert sums(report)["stalled"] >= 1, sums(report)
    assert sums(report)["unfinished"] >= 1, sums(report)


def test_a_stranger_is_recognised(bench):
    """Two sessions of the same length are joined crosswise, as a counting proof alone would."""
    waiting, lock, joined = [], threading.Lock(), threading.Event()

    def meddle(number, client, backend):
        if number not in (3, 4):
            return None

        def change(data, source, target):
            with lock:
                waiting.append((data, target))
                if len(waiting) == 2:
                    joined.set()
            if not joined.wait(5):
                return data
            return next(one for one, its in waiting if its is not target)

        return after(100000, change)

    run, report = torture(bench, meddle, **MIX)
    assert run.code == 1
    assert sums(report)["strangers"] >= 2, (sums(report), run.errors)


def test_a_connection_that_is_refused_is_counted(bench):
    run = bench.keep(Torture(bench.binary, [net.free_tcp4()], [net.free_tcp4()], seconds=0.3,
                             sessions=2, probes=0, rate=20, grace=500))
    report = run.wait()
    assert run.code == 1
    assert report["client"]["refused"] >= 5


def test_a_reset_that_arrives_as_an_end_is_a_cut_stream(bench):
    class Polite(Relay):
        def _serve(self, number, client):
            with client, self.backend.socket() as backend:
                backend.connect(self.backend.sockaddr)
                up = threading.Thread(target=polite, args=(client, backend), daemon=True)
                up.start()
                polite(backend, client)
                up.join()

    def polite(source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    backend = net.free_tcp4()
    relay = bench.keep(Polite(backend))
    run = bench.keep(Torture(bench.binary, [relay.address], [backend], seconds=1, sessions=4,
                             probes=0, rate=0, hold=300, mix="abort=1,aborted=1", grace=3000))
    report = run.wait()
    assert run.code == 1
    assert report["client"]["cut"] >= 1 and report["backend"]["cut"] >= 1, sums(report)
