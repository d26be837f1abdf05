"""Thousands of idle sessions need more descriptors than a test has: two helper processes.

As a program: `crowd.py backend HOST PORT` accepts and holds until FIN; `crowd.py clients HOST PORT COUNT`
connects and holds. Both print one line when they are ready and end with their standard input.
"""

import resource
import selectors
import socket
import subprocess
import sys

from pathlib import Path


class Crowd:
    """One of the two helpers; say() waits for its next line."""

    def __init__(self, role, address, *more):
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(Path(__file__).resolve()), role, address.host,
             str(address.port), *map(str, more)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        found = self.process.stdout.readline().strip()
        assert found, f"the helper ended with {self.process.wait()}"
        return found

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def _serve(host, port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(4096)
    listener.setblocking(False)
    print("ready", flush=True)
    held = set()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is listener:
                    sock = listener.accept()[0]
                    held.add(sock)
                    selector.register(sock, selectors.EVENT_READ)
                else:
                    selector.unregister(key.fileobj)
                    held.discard(key.fileobj)
                    key.fileobj.close()


def _crowd(host, port, count):
    held = []
    for _ in range(count):
        sock = socket.create_connection((host, port), timeout=60)
        held.append(sock)
    print("ready", flush=True)
    sys.stdin.read()


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    role, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if role == "backend":
        _serve(host, port)
    else:
        _crowd(host, port, int(sys.argv[4]))


if __name__ == "__main__":
    main()
