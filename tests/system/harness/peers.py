"""Servers and clients of other projects: run in the foreground, killed, restarted, under load."""

import contextlib
import getpass
import glob
import os
import shutil
import signal
import subprocess
import threading
import time

from harness import net, proc
from harness.wait import SLOWNESS, until

# How long one client may take: long enough for a busy machine, short enough to fail in time.
CLIENT_SECONDS = 15 * SLOWNESS
STOP_SECONDS = 5 * SLOWNESS
ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def tool(name, *folders):
    """The path of a program; one that is missing fails the test."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath), ADMIN_PATH])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed"
    return found


def run(*command, ok=True, **options):
    """Runs a client to its end; returns what it said, with `ok` only if it succeeded."""
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([str(one) for one in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=CLIENT_SECONDS,
                          check=False, **options)
    assert not ok or done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}"
    return done.stdout


class Server:
    """A server on one address that can be killed and started again."""

    def __init__(self, command, address, log, *, user=None, end=signal.SIGTERM):
        self.command = [str(one) for one in command]
        self.address, self.log, self.user, self.end = address, log, user, end
        self.process = None
        self.start()

    def start(self):
        identity = {}
        if self.user and self.user != getpass.getuser():
            identity = {"user": self.user, "group": self.user, "extra_groups": []}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                start_new_session=True, **identity)
        until(self._listens, lambda: f"{self.command[0]} to listen; its log:\n{self._said()}")

    def _said(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-4000:]

    def _listens(self):
        code = self.process.poll()
        assert code is None, f"{self.command[0]} ended with {code}; its log:\n{self._said()}"
        try:
            net.connect(self.address).close()
        except OSError:
            return False
        return True

    def kill(self):
        """SIGKILL; once this returns, nobody listens there."""
        self.process.kill()
        self.process.wait()

    def kill_and_wait_for_children(self):
        """For a server whose children see that it is gone, end, and only then let it start."""
        children = proc.tree(self.process.pid)
        self.kill()
        until(lambda: not any(map(proc.alive, children)), "its children to end")

    def close(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.end)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        if self.process.poll() is None:
            self.kill()


class Load:
    """Threads that are one client after the other, each with a connection of its own.

    `client` is a function that returns what its backend called itself, or raises.
    """

    def __init__(self, client, threads=2):
        self._client = client
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.served, self.failed = [], []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for one in self._threads:
            one.start()

    def _run(self):
        while not self._stopping.is_set():
            begin = time.monotonic()
            try:
                name = self._client()
            except Exception as error:  # judged by the test, by the time of the client's start
                entry, entries = (begin, time.monotonic(), error), self.failed
            else:
                entry, entries = (begin, time.monotonic(), name), self.served
            with self._lock:
                entries.append(entry)

    def served_since(self, moment, name=None):
        """How many clients that began after that moment were served, by this backend."""
        with self._lock:
            return sum(1 for begin, _, by in self.served
                       if begin > moment and (name is None or by == name))

    def wait_served(self, count, name=None):
        """Waits until so many clients that begin after this call have been served."""
        now = time.monotonic()
        until(lambda: self.served_since(now, name) >= count,
              lambda: f"{count} clients to be served by {name or 'anybody'}; "
                      f"failed: {self.failed[-3:]}")

    def close(self):
        self._stopping.set()
        for one in self._threads:
            one.join()

    def errors_outside(self, begin, end):
        """The errors of clients whose time does not touch the span from begin to end."""
        with self._lock:
            return [one for one in self.failed if one[0] > end or one[1] < begin]


def postgres_folder():
    """Where the server's programs are: Debian keeps them out of PATH, by version."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if found:
        newest = max(found, key=lambda path: float(path.split("/")[-3]))
        return os.path.dirname(newest)
    return run(tool("pg_config"), "--bindir").strip()
