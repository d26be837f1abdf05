"""Backends: one that a test plays by hand, services on threads, and several kinds of broken."""

import contextlib
import os
import selectors
import socket
import threading
import time

from harness.net import Peer, free_address
from harness.wait import DEADLINE, until


def listen(address, backlog=1024, receive_buffer=None):
    sock = address.socket()
    if not address.is_unix:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if address.is_unix and not address.sockaddr.startswith("\0"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.sockaddr)
    sock.bind(address.sockaddr)
    sock.listen(backlog)
    return sock


class Manual:
    """A backend whose connections the test accepts and drives one by one."""

    def __init__(self, address=None, kind="tcp4", receive_buffer=None):
        self.address = address or free_address(kind)
        self.receive_buffer = receive_buffer
        self.sock = None
        self.peers = []
        self.start()

    def start(self):
        self.sock = listen(self.address, receive_buffer=self.receive_buffer)
        self.sock.settimeout(DEADLINE)

    def stop(self):
        """Refuses new connections from now on; accepted ones live."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def accept(self, deadline=None):
        self.sock.settimeout(DEADLINE if deadline is None else deadline)
        sock, _ = self.sock.accept()
        peer = Peer(sock)
        self.peers.append(peer)
        return peer

    def accepts_nothing(self, seconds=0.3):
        """True when no connection arrives for so long."""
        self.sock.settimeout(seconds)
        try:
            sock, _ = self.sock.accept()
        except TimeoutError:
            return True
        self.peers.append(Peer(sock))
        return False

    def close(self):
        self.stop()
        for peer in self.peers:
            peer.close()


class Service:
    """A backend that runs handler(peer) on a thread for each connection.

    A connection that ends in a reset or a broken pipe is no error of the service; anything else
    that a handler raises is kept and fails the test at its end.
    """

    def __init__(self, handler, address=None, kind="tcp4", backlog=1024):
        self.handler, self.backlog = handler, backlog
        self.address = address or free_address(kind)
        self.accepted = 0
        self.results, self.errors = [], []
        self._lock = threading.Lock()
        self._live = set()
        self._sock = None
        self.start()

    def start(self):
        assert self._sock is None
        self._sock = listen(self.address, self.backlog)
        threading.Thread(target=self._accept, args=(self._sock,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._live.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with Peer(sock) as peer:
                result = self.handler(peer)
            with self._lock:
                self.results.append(result)
        except (ConnectionError, TimeoutError):
            pass
        except OSError as error:
            if self._sock is not None and sock.fileno() != -1:
                self.errors.append(error)
        except BaseException as error:  # reported by check()
            self.errors.append(error)
        finally:
            with self._lock:
                self._live.discard(sock)

    @property
    def live(self):
        with self._lock:
            return len(self._live)

    def stop(self):
        """Stops listening; accepted connections live."""
        if self._sock is not None:
            sock, self._sock = self._sock, None
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            sock.close()

    def close(self):
        self.stop()
        with self._lock:
            live = list(self._live)
        for sock in live:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def check(self):
        assert not self.errors, f"a backend failed: {self.errors!r}"


class Greeter:
    """A backend that says its name, then FIN, and takes thousands of connections.

    It answers at once (server speaks first) and closes when the client has closed. The names that
    clients read tell which backend served them.
    """

    def __init__(self, name, address=None, kind="tcp4", backlog=4096, ask=False):
        self.name = name.encode() if isinstance(name, str) else name
        self.address = address or free_address(kind)
        self.backlog, self.ask = backlog, ask
        self.accepted = 0
        self._stopping = threading.Event()
        self._thread = None
        self._sock = None
        self.start()

    def start(self):
        self._stopping.clear()
        self._sock = listen(self.address, self.backlog)
        self._sock.setblocking(False)
        self._thread = threading.Thread(target=self._run, args=(self._sock,), daemon=True)
        self._thread.start()

    def _run(self, listener):
        with selectors.EpollSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.05):
                    if key.fileobj is listener:
                        self._take(listener, selector)
                    else:
                        self._read(key, selector)
            for key in list(selector.get_map().values()):
                key.fileobj.close()

    def _take(self, listener, selector):
        for _ in range(256):
            try:
                sock, _address = listener.accept()
            except OSError:
                return
            self.accepted += 1
            sock.setblocking(False)
            if not self.ask:
                self._greet(sock)
            selector.register(sock, selectors.EVENT_READ)

    def _greet(self, sock):
        with contextlib.suppress(OSError):
            sock.send(self.name)
            sock.shutdown(socket.SHUT_WR)

    def _read(self, key, selector):
        sock = key.fileobj
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and self.ask:
            self._greet(sock)
        if not data:
            selector.unregister(sock)
            sock.close()

    def stop(self):
        """Ends at once, open connections too."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    close = stop


class Blackhole:
    """An address that answers no SYN: a listening socket whose backlog stays full.

    drain() makes room again.
    """

    def __init__(self, address=None, kind="tcp4"):
        self.address = address or free_address(kind)
        self.sock = listen(self.address, backlog=0)
        self.fillers = []
        self.fill()

    def fill(self):
        for _ in range(16):
            filler = self.address.socket()
            filler.setblocking(False)
            self.fillers.append(filler)
            result = filler.connect_ex(self.address.sockaddr)
            if result not in (0, 115):  # EINPROGRESS
                return  # a UNIX socket says at once that it is full
        until(self.is_full, "the backlog to be full")

    def is_full(self):
        """A connect that gets no answer while an earlier one sits in the queue."""
        with self.address.socket() as probe:
            probe.settimeout(0.3)
            try:
                probe.connect(self.address.sockaddr)
            except (TimeoutError, BlockingIOError):
                return True
            return False

    def drain(self, seconds=0.0):
        """Takes connections out of the queue and closes the test's own; returns the others."""
        mine = {filler.getsockname() for filler in self.fillers}
        strangers, end = [], time.monotonic() + seconds
        self.sock.settimeout(0.05)
        while True:
            try:
                sock, name = self.sock.accept()
            except TimeoutError:
                if time.monotonic() >= end:
                    return strangers
                continue
            if name in mine and not self.address.is_unix:
                sock.close()
            else:
                strangers.append(Peer(sock))

    def close(self):
        for filler in self.fillers:
            filler.close()
        self.sock.close()


# Handlers for Service.


def echo(peer):
    """Sends back what comes; FIN for FIN."""
    while True:
        data = peer.sock.recv(1 << 18)
        if not data:
            peer.finish()
            return
        peer.send(data)


def swallow(peer):
    """Reads to the end, then says how many bytes came."""
    got = peer.rest()
    peer.send(str(len(got.data)).encode())
    return got


def hold(peer):
    """Says nothing and waits for the other side to end."""
    return peer.rest()
