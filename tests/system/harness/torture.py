"""The torture: clients and backends that check every byte, as a process under a test's control."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from harness.wait import DEADLINE, SLOWNESS

# What must be 0 at the end, on both sides.
ERRORS = ("damaged", "displaced", "strangers", "reset", "cut", "refused", "unreached", "repeated",
          "stalled", "unfinished", "local")


def program(loble):
    """The torture of the build that the binary comes from."""
    return Path(loble).resolve().parents[2] / "tests/soak/torture"


class Torture:
    """`clients` are the addresses of what is tortured, `backends` those that stand behind it."""

    def __init__(self, binary, clients, backends, *, seconds=None, **options):
        command = [str(program(binary))]
        for address in clients:
            command += ["--client", str(address)]
        for address in backends:
            command += ["--backend", str(address)]
        if seconds is not None:
            command += ["--seconds", str(seconds)]
        options.setdefault("stall", int(10000 * SLOWNESS))
        options.setdefault("grace", int(20000 * SLOWNESS))
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self.lines, self.process = [], None
        self._news = threading.Condition()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()
        self._wait_for("ready", 1)

    def _collect(self):
        for line in self.process.stdout:
            with self._news:
                self.lines.append(json.loads(line))
                self._news.notify_all()

    def found(self, event):
        return [line for line in list(self.lines) if line["event"] == event]

    @property
    def errors(self):
        """What it has complained about, for messages."""
        return self.found("error")

    def report(self):
        """What has happened so far, and since the last report."""
        count = len(self.found("report"))
        self.process.send_signal(signal.SIGUSR1)
        return self._wait_for("report", count + 1)

    def _wait_for(self, event, count):
        end = time.monotonic() + DEADLINE
        with self._news:
            while len(self.found(event)) < count:
                assert self.process.poll() is None, f"the torture has ended: {self.errors}"
                assert time.monotonic() < end, f"the torture does not say {event}"
                self._news.wait(0.05)
        return self.found(event)[-1]

    def wait(self):
        """Its last report, once it has ended."""
        self.code = self.process.wait(DEADLINE * 4)
        self._reader.join(5)
        assert self.code in (0, 1), f"the torture could not run: {self.code}"
        return self.found("end")[-1]

    def stop(self):
        """Has it end all sessions in order; its last report."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self):
        """Whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def sums(report):
    """The counts of both sides together."""
    return {name: report["client"][name] + report["backend"][name] for name in ERRORS}


def assert_nothing_wrong(report, errors=()):
    wrong = {name: count for name, count in sums(report).items() if count}
    assert not wrong, (wrong, list(errors)[:10])
    assert report["client"]["ended"] > 0
    # Each side has checked all that the other one has sent; what a reset cut off is not known.
    if report["client"]["aborted"] == 0:
        assert report["client"]["sent_bytes"] == report["backend"]["checked_bytes"]
        assert report["backend"]["sent_bytes"] == report["client"]["checked_bytes"]


def no_resets():
    """A mix of classes in which no reset is meant, so that all bytes can be accounted for."""
    return ("ping=300,bulk_up=20,bulk_down=20,bulk_both=20,slow_client=40,slow_backend=40,"
            "half_up=60,half_down=60,idle=200,silent=50")


def cpu_count():
    return len(os.sched_getaffinity(0))
