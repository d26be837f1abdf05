"""Addresses that nobody else uses, and one end of a connection under a test's control."""

import fcntl
import itertools
import os
import queue
import random
import socket
import struct
import tempfile
import threading
import time
from dataclasses import dataclass

from harness.wait import DEADLINE

SIOCOUTQ = 0x5411
END, RESET = "end", "reset"

_numbers = itertools.count()


class Address:
    """An address as Loble writes it, and what a socket needs to use it."""

    def __init__(self, text, family, sockaddr):
        self.text, self.family, self.sockaddr = text, family, sockaddr

    def __str__(self):
        return self.text

    def __repr__(self):
        return f"Address({self.text})"

    def __eq__(self, other):
        return isinstance(other, Address) and self.text == other.text

    def __hash__(self):
        return hash(self.text)

    @property
    def is_unix(self):
        return self.family == socket.AF_UNIX

    @property
    def host(self):
        return self.sockaddr[0]

    @property
    def port(self):
        return self.sockaddr[1]

    def socket(self):
        return socket.socket(self.family, socket.SOCK_STREAM)


def tcp4(host, port):
    return Address(f"{host}:{port}", socket.AF_INET, (host, port))


def tcp6(port, host="::1"):
    return Address(f"[{host}]:{port}", socket.AF_INET6, (host, port))


def unix(path):
    return Address(f"unix:{path}", socket.AF_UNIX, str(path))


def abstract(name):
    return Address(f"unix:@{name}", socket.AF_UNIX, "\0" + name)


def own_host():
    """A loopback address of this process alone, so that ports cannot clash between workers."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255}"


# Below the range from which the kernel takes the ports of outgoing connections.
_ports = itertools.cycle(range(10000, 28000))


def _bindable(family, sockaddr):
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(sockaddr)
        except OSError:
            return False
        return True


def free_tcp4():
    while True:
        port = next(_ports)
        if _bindable(socket.AF_INET, (own_host(), port)):
            return tcp4(own_host(), port)


_shared = random.Random(os.getpid())


def free_shared_port():
    """A port that is free on every address, IPv4 and IPv6: for wildcards and ::1."""
    while True:
        port = _shared.randrange(28000, 32700)
        if _bindable(socket.AF_INET, ("0.0.0.0", port)) and _bindable(socket.AF_INET6, ("::", port)):
            return port


def free_tcp6():
    return tcp6(free_shared_port())


_directory = None


def short_path(name):
    """A path that fits into a UNIX socket's address; its directory goes with the process."""
    global _directory
    if _directory is None:
        _directory = tempfile.TemporaryDirectory(prefix="loble-sock-")
    return f"{_directory.name}/{name}-{next(_numbers)}"


def free_address(kind):
    if kind == "tcp4":
        return free_tcp4()
    if kind == "tcp6":
        return free_tcp6()
    if kind == "unix":
        return unix(short_path("s"))
    assert kind == "abstract", kind
    return abstract(f"loble-test-{os.getpid()}-{next(_numbers)}")


def payload(size, seed=1):
    """Bytes that never repeat, so that a shift, a gap or a swap cannot go unseen."""
    return random.Random(seed).randbytes(size)


@dataclass
class Received:
    """All that came until the stream ended, and how it ended."""

    data: bytes
    how: str

    def __eq__(self, other):
        return (self.data, self.how) == other

    def __repr__(self):
        shown = self.data[:60] + (b"..." if len(self.data) > 60 else b"")
        return f"({len(self.data)} bytes {shown!r}, {self.how})"


class Background:
    """A function on its own thread; result() hands back its value or raises what it raised."""

    def __init__(self, function, *arguments):
        self._outcome = queue.Queue()
        self._thread = threading.Thread(
            target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function, arguments):
        try:
            self._outcome.put((function(*arguments), None))
        except BaseException as error:  # handed to the waiting thread
            self._outcome.put((None, error))

    @property
    def running(self):
        return self._outcome.empty() and self._thread.is_alive()

    def result(self, deadline=None):
        try:
            value, error = self._outcome.get(timeout=DEADLINE if deadline is None else deadline)
        except queue.Empty:
            raise AssertionError("a background task did not end in time") from None
        if error is not None:
            raise error
        return value


class Peer:
    """One end of a connection. Every call has a deadline."""

    def __init__(self, sock, was_reset=False):
        self.sock, self.was_reset = sock, was_reset
        self.sock.settimeout(DEADLINE)
        if sock.family != socket.AF_UNIX and not was_reset:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def sending(self, data, finish=False):
        """Sends in the background; with finish, FIN follows."""
        return Background(self._send_all, data, finish)

    def _send_all(self, data, finish):
        self.sock.sendall(data)
        if finish:
            self.finish()

    def receive(self, size):
        """Exactly that many bytes."""
        parts, left = [], size
        while left:
            data = self.sock.recv(min(left, 1 << 20))
            if not data:
                got = b"".join(parts)
                raise AssertionError(f"ended after {len(got)} of {size} bytes: {got[:60]!r}")
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def rest(self):
        """Everything until the end, and whether that is a FIN or a reset."""
        parts = []
        if self.was_reset:
            return Received(b"", RESET)
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except (ConnectionResetError, BrokenPipeError):
                return Received(b"".join(parts), RESET)
            if not data:
                return Received(b"".join(parts), END)
            parts.append(data)

    def receiving(self):
        return Background(self.rest)

    def silent(self, seconds=0.2):
        """True when neither a byte nor an end arrives for so long."""
        self.sock.settimeout(seconds)
        try:
            got = self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self.sock.settimeout(DEADLINE)
        assert got is not None
        return False

    def stuff(self, quiet=0.5, limit=1 << 30):
        """Sends until nothing has been taken for a while; returns how much went."""
        block, sent = payload(1 << 16), 0
        self.sock.settimeout(quiet)
        try:
            while sent < limit:
                sent += self.sock.send(block[sent % len(block):])
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(DEADLINE)
        return sent

    def unsent(self):
        """Bytes in the send queue that the other kernel has not acknowledged."""
        return struct.unpack("i", fcntl.ioctl(self.sock, SIOCOUTQ, b"\0" * 4))[0]

    def finish(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def stuffed(size):
    """What Peer.stuff() has sent, when it has sent so much."""
    block = payload(1 << 16)
    return (block * (size // len(block) + 1))[:size]


def connect(address, *, receive_buffer=None, send_buffer=None, deadline=None):
    """Connects; a connect that is refused or dropped raises as the kernel says."""
    sock = address.socket()
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        sock.settimeout(DEADLINE if deadline is None else deadline)
        end = time.monotonic() + DEADLINE
        while True:
            try:
                sock.connect(address.sockaddr)
                break
            except BlockingIOError:  # a UNIX socket whose backlog is full
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)
            except ConnectionResetError:  # it was established, and connect() ate the reset
                return Peer(sock, was_reset=True)
        return Peer(sock)
    except BaseException:
        sock.close()
        raise


def exchange(address, request=b""):
    """Sends, says FIN, reads to the end."""
    with connect(address) as client:
        try:
            client.send(request)
            client.finish()
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass
        return client.rest()
