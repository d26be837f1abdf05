"""Thousands of clients at once from one thread: what each of them got, counted."""

import collections
import selectors
import socket
import time

from harness.net import END, RESET
from harness.wait import DEADLINE


class Swarm:
    """Clients that connect, say FIN, and read to the end. `outcomes` counts (data, how)."""

    def __init__(self, address):
        self.address = address
        self.outcomes = collections.Counter()
        self._selector = selectors.EpollSelector()
        self._heard = {}

    def run(self, count, seconds=0.0):
        """Lets so many come, evenly over so many seconds, and waits until all have gone."""
        begin, started = time.monotonic(), 0
        end = begin + seconds + DEADLINE
        while started < count or self._heard:
            now = time.monotonic()
            assert now < end, f"{len(self._heard)} of {count} clients still wait"
            due = count if seconds == 0 else min(count, int((now - begin) / seconds * count) + 1)
            while started < due:
                self._start()
                started += 1
            for key, _ in self._selector.select(0.005 if started < count else 0.5):
                self._hear(key.fileobj)
        return self.outcomes

    def _start(self):
        sock = self.address.socket()
        sock.setblocking(False)
        sock.connect_ex(self.address.sockaddr)
        self._heard[sock] = b""
        self._selector.register(sock, selectors.EVENT_WRITE)

    def _hear(self, sock):
        try:
            if self._selector.get_key(sock).events == selectors.EVENT_WRITE:
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "connect")
                sock.shutdown(socket.SHUT_WR)
                self._selector.modify(sock, selectors.EVENT_READ)
                return
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self._end(sock, RESET)
        except OSError as error:
            self._end(sock, repr(error))
        else:
            if data:
                self._heard[sock] += data
            else:
                self._end(sock, END)

    def _end(self, sock, how):
        self.outcomes[self._heard.pop(sock), how] += 1
        self._selector.unregister(sock)
        sock.close()
