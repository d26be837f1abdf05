"""What the service manager is told, and by whom."""

import os
import shutil
import signal
import socket
import struct
import threading
import time

import pytest

from conftest import instrumented
from harness.survival import kill_worker, upgrade, worker_of
from harness.wait import holds, until

CREDENTIALS = "iII"


class Manager:
    """A socket like that of systemd; keeps each message with its time and its sender."""

    def __init__(self, path):
        self.path, self.messages = path, []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                text, extra, _, _ = self._socket.recvmsg(4096, 256)
            except OSError:
                return
            pid = struct.unpack(CREDENTIALS, extra[0][2])[0]
            self.messages.append((time.monotonic(), pid, text.decode().splitlines()))

    def lines(self, word):
        return [line for _, _, lines in self.messages for line in lines
                if line.startswith(word + "=")]

    def env(self, watchdog):
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(watchdog * 1e6))}

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(bench, directory, run_features):
    if "systemd=yes" not in run_features:
        pytest.skip("this build does not know systemd")
    return bench.keep(Manager(directory / "notify"))


@pytest.fixture
def run_features(binary):
    return os.popen(f"{binary} --version").read()


def test_the_manager_sees_one_service_whatever_happens_within(bench, binary, directory, manager):
    path = directory / "loble"
    shutil.copy(binary, path)
    line = bench.line(options={"binary": path, "env": manager.env(1)})
    loble = line.loble
    until(lambda: len(manager.lines("WATCHDOG")) >= 3, "the watchdog to be told")
    assert manager.lines("READY") == ["READY=1"]
    kill_worker(loble, signal.SIGKILL)
    shutil.copy(binary, directory / "new")
    (directory / "new").rename(path)
    upgrade(loble)
    count = len(manager.lines("WATCHDOG"))
    until(lambda: len(manager.lines("WATCHDOG")) >= count + 2, "the watchdog to be told")
    loble.stop()
    assert manager.lines("READY") == ["READY=1"]
    assert manager.lines("STOPPING") == ["STOPPING=1"]
    assert not manager.lines("MAINPID")
    assert {pid for _, pid, _ in manager.messages} == {loble.pid}


def test_nothing_is_opened_while_a_successor_sorts_the_descriptors(bench, binary, directory,
                                                                   manager):
    shim = binary.parents[2] / "tests/shim/hang.so"
    if not shim.exists() or instrumented(binary):
        pytest.skip("there is no shim for this build")
    line = bench.line(options={"env": {**manager.env(0.02), "LD_PRELOAD": str(shim),
                                       "HANG": str(directory / "hang")}})
    (directory / "new").write_text("sort")
    (directory / "new").rename(directory / "hang")
    before = worker_of(line.loble)
    os.kill(before, signal.SIGKILL)
    until(lambda: not (directory / "hang").exists(), "the successor to sort")
    count = len(manager.messages)
    holds(lambda: len(manager.messages) == count, lambda: manager.messages[count:], 0.5)
    until(lambda: len(manager.messages) > count, "the watchdog to be told again")
