"""A running Loble: started from a configuration, watched, and checked when it ends."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from harness import metrics, net, proc, toml
from harness.wait import DEADLINE, settled, until

# What a sanitizer says when it has found something.
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
           "runtime error:", "Sanitizer:DEADLYSIGNAL", "SUMMARY: ")
EXIT_ON_REPORT = 99

# What the runtime of a coverage build says where a process has given up the right to write its files.
COVERAGE = "profiling:"


def environment(extra=None):
    env = dict(os.environ, **(extra or {}))
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
        given = env.get(name)
        env[name] = f"{given}:exitcode={EXIT_ON_REPORT}" if given else f"exitcode={EXIT_ON_REPORT}"
    return env


def merged(base, extra):
    """base with the tables of extra laid over it."""
    result = dict(base)
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            value = merged(result[key], value)
        result[key] = value
    return result


class Loble:
    """One process. `config` is a dictionary or the text of a file."""

    def __init__(self, binary, directory, config, *, arguments=None, env=None, ready="/readyz",
                 stderr="read", wrapper=(), namespace=None):
        self.binary, self.directory = binary, Path(directory)
        self.config = config
        self.namespace = namespace
        self.directory.mkdir(parents=True, exist_ok=True)
        if isinstance(config, dict) and "admin" not in config:
            # The default place is for one balancer of the machine.
            self.config = config = {**config, "admin": {"socket": str(self.admin_socket)}}
        self.file = self.directory / "loble.toml"
        self.file.write_text(config if isinstance(config, str) else toml.dumps(config))
        self.lines = []
        self._news = threading.Condition()
        self._idle_sockets = None
        self.checked = False
        command = [*wrapper, str(binary), *(arguments or ["-config", str(self.file)])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd=self.directory, env=environment(env), start_new_session=True,
            preexec_fn=namespace.enter if namespace else None)
        self._reader = None
        if stderr == "read":
            self.read_log()
        if ready:
            self.wait_ready(ready)

    # The log.

    def read_log(self):
        """Collects lines from now on; a Loble made with stderr="full" has an unread pipe."""
        assert self._reader is None
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self):
        for line in self.process.stderr:
            text = line.decode(errors="backslashreplace").rstrip("\n")
            if text.startswith(COVERAGE):
                continue
            with self._news:
                self.lines.append(text)
                self._news.notify_all()

    @property
    def log(self):
        """Its last lines, for messages."""
        return "\n".join(self.lines[-60:])

    def events(self, event=None, **fields):
        """The lines of the log as dictionaries, those of one event, or with these fields."""
        found = []
        for line in list(self.lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if not isinstance(entry, dict) or (event is not None and entry.get("event") != event):
                continue
            if all(entry.get(key) == value for key, value in fields.items()):
                found.append(entry)
        return found

    def wait_event(self, event, count=1, deadline=None, **fields):
        """The count-th line of that event, once it is there."""
        end = time.monotonic() + (DEADLINE if deadline is None else deadline)
        while True:
            found = self.events(event, **fields)
            if len(found) >= count:
                return found[count - 1]
            with self._news:
                left = end - time.monotonic()
                assert left > 0, f"no {event} {fields} in the log:\n{self.log}"
                self._news.wait(min(left, 0.05))

    # Where it listens.

    @property
    def metrics_address(self):
        text = self.config["metrics"]["address"]
        host, port = text.rsplit(":", 1)
        return net.tcp4(host, int(port))

    def connect(self, **options):
        return net.connect(self.address, **options)

    def ask(self, request=b""):
        return net.exchange(self.address, request)

    @property
    def address(self):
        """Of the only listener, as the test gave it."""
        return self.config_address

    # What it says of itself.

    @property
    def pid(self):
        return self.process.pid

    @property
    def admin_socket(self):
        admin = self.config.get("admin", {}) if isinstance(self.config, dict) else {}
        return Path(admin.get("socket", self.directory / "admin.sock"))

    def ctl(self, *words, check=True):
        """Runs `loble ctl` against it; the outcome of subprocess.run()."""
        done = subprocess.run(
            [str(self.binary), "ctl", "--socket", str(self.admin_socket), *map(str, words)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
            env=environment(), check=False)
        for report in REPORTS:
            assert report not in done.stderr, done.stderr
        assert not check or done.returncode == 0, (done, self.log)
        return done

    def asks(self, command, *words):
        """The answer to a command of `loble ctl`, from its JSON."""
        return json.loads(self.ctl(command, "--json", *words).stdout)

    def get(self, path):
        if self.namespace:
            return self.namespace.run(metrics.get, self.metrics_address, path)
        return metrics.get(self.metrics_address, path)

    def metrics(self):
        status, text = self.get("/metrics")
        assert status == 200, (status, text)
        return metrics.Metrics(text)

    def value(self, name, **labels):
        return self.metrics().get(name, **labels)

    def wait_value(self, name, wanted, deadline=None, **labels):
        """Waits until the metric has the value; returns the whole scrape."""
        last = None

        def equal():
            nonlocal last
            last = self.metrics()
            return last.get(name, **labels) == wanted
        until(equal, lambda: f"{name} {labels} to be {wanted}, it is {last.get(name, **labels)}",
              deadline, every=0.01)
        return last

    def health(self, backend="", pool="default"):
        return self.metrics().state("loble_backend_state", backend=str(backend), pool=pool)

    def wait_health(self, state, backend, pool="default", deadline=None):
        until(lambda: self.health(backend, pool) == state,
              lambda: f"{backend} to be {state}, it is {self.health(backend, pool)}\n{self.log}",
              deadline, every=0.01)

    def wait_ready(self, path="/readyz"):
        def answers():
            self.must_run()
            try:
                return self.get(path)[0] == 200
            except OSError:
                return False
        until(answers, lambda: f"{path} to say 200; log:\n{self.log}", every=0.01)
        self._idle_sockets = settled(lambda: proc.sockets(self.pid), seconds=0.03)
        self._idle_pipes = proc.pipes(self.pid)

    def must_run(self):
        code = self.process.poll()
        if code is not None:
            self._join()
            raise AssertionError(f"ended with {code}; log:\n{self.log}")

    # Signals and the end.

    def send_signal(self, number):
        self.process.send_signal(number)

    @property
    def worker(self):
        """The id of the process that serves: a child of the one that was started."""
        return proc.tree(self.pid)[-1]

    def pause(self):
        """Stops all of it, as for a snapshot of the machine; resume() goes on."""
        for one in proc.tree(self.pid):
            os.kill(one, signal.SIGSTOP)

    def resume(self):
        for one in reversed(proc.tree(self.pid)):
            os.kill(one, signal.SIGCONT)

    def wait_exit(self, deadline=None):
        """The exit code, once the process has ended."""
        try:
            code = self.process.wait(DEADLINE if deadline is None else deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs; log:\n{self.log}") from None
        self._join()
        return code

    def _join(self):
        if self._reader is not None:
            self._reader.join(5)

    def stop(self, number=signal.SIGTERM, code=0, deadline=None):
        """Signal, wait, and check the exit code and the log."""
        self.send_signal(number)
        found = self.wait_exit(deadline)
        assert found == code, f"exit code {found}, not {code}; log:\n{self.log}"
        self.check_log()

    def wait_sessions_gone(self, deadline=None):
        """No session's descriptor is left, neither sockets nor pipes beyond the pooled ones."""
        until(lambda: proc.sockets(self.pid) <= self._idle_sockets,
              lambda: f"{proc.sockets(self.pid)} sockets to become {self._idle_sockets}; "
                      f"log:\n{self.log}", deadline)

    def check_log(self):
        """No sanitizer report, and each line is one event."""
        self.checked = True
        for line in self.lines:
            assert not any(report in line for report in REPORTS), self.log
        for line in self.lines:
            if self.json_log:
                entry = json.loads(line)
                assert {"time", "level", "event"} <= entry.keys(), line

    @property
    def json_log(self):
        if isinstance(self.config, str):
            return False
        logging = self.config.get("logging", {})
        return logging.get("format", "auto") != "text"

    def finish(self):
        """The end of a test: everything given back, a clean stop."""
        if self.checked:
            return
        self.must_run()
        if self._idle_sockets is not None:
            self.wait_sessions_gone()
        self.stop()

    def kill(self):
        """Ends it whatever its state, and what it may have started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._join()
        if self._reader is None:
            self.process.stderr.close()


def simple(where, backends, metrics_address, **tables):
    """The short form of a configuration. A backend is an address or a table."""
    config = {
        "server": {"workers": 1},
        "listener": {"address": str(where)},
        "metrics": {"address": str(metrics_address)},
        "backends": [one if isinstance(one, dict) else {"address": str(one)} for one in backends],
    }
    return merged(config, tables)
