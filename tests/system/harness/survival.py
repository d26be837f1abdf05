"""A Loble under torture whose worker process is killed, and what must hold all the while."""

import contextlib
import http.client
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness import net
from harness.torture import Torture, assert_nothing_wrong
from harness.wait import until

# By the kernel's name: what a bug, an assertion and the OOM killer send.
DEATHS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)

# What a scrape may meet while there is no worker process.
NOT_NOW = (OSError, http.client.HTTPException)


def children(pid):
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    return [int(one) for one in found]


def worker_of(loble):
    """The worker process, or None while there is none."""
    found = children(loble.pid)
    return found[0] if len(found) == 1 else None


def scrape(loble, deadline=None):
    """The metrics, however long a worker process may take to answer."""
    last = None

    def answered():
        nonlocal last
        loble.must_run()
        try:
            last = loble.metrics()
        except NOT_NOW:
            return False
        return True
    until(answered, lambda: f"the metrics; log:\n{loble.log}", deadline, every=0.005)
    return last


def counters(metrics):
    """All series that may only grow, by name and labels."""
    return {key: value
            for family in metrics.families.values()
            if family.type in ("counter", "histogram")
            for key, value in family.samples.items()}


class Monotone:
    """Scrapes, and sees to it that no counter goes back and none is lost."""

    def __init__(self, loble):
        self.loble, self.last = loble, {}
        self.look()

    def look(self):
        metrics = scrape(self.loble)
        now = counters(metrics)
        for key, before in self.last.items():
            assert key in now, f"{key} has gone"
            assert now[key] >= before, f"{key} went back from {before} to {now[key]}"
        self.last = now
        return metrics


@dataclass
class Round:
    """One death of the worker process, as the sessions saw it (ms)."""

    cause: str
    back: float     # until a new worker process had said so in the metrics
    median: float   # the worst gap of each session: the median, and the worst of them
    worst: float
    probe: float    # the same of those that ask all the time
    opened: float   # the slowest new connection, from connect() to its response


@dataclass
class Survival:
    """What was measured; `calm` is the same run before the first death."""

    calm: Round
    rounds: list = field(default_factory=list)

    def pauses(self):
        return sorted(one.worst for one in self.rounds)

    def median_pause(self):
        """Of the rounds: what the slowest session of each had to wait."""
        return self.pauses()[len(self.rounds) // 2] if self.rounds else 0.0

    def worst_pause(self):
        return self.pauses()[-1] if self.rounds else 0.0


def measured(report, cause, back):
    interval = report["interval"]
    return Round(cause, back, interval["sessions"]["median_us"] / 1000,
                 interval["sessions"]["worst_us"] / 1000, interval["probes"]["worst_us"] / 1000,
                 interval["opens"]["worst_us"] / 1000)


class Stand:
    """Loble between torture clients and backends.

    `kinds` are pairs of listener and backend kinds (harness.net); each has a pool of its own with
    two backends.
    """

    def __init__(self, bench, kinds=(("tcp4", "tcp4"),), workers=2, pool=None, **tables):
        self.bench = bench
        self.clients, self.backends = [], []
        listeners, pools = [], {}
        for number, (listener, backend) in enumerate(kinds):
            name = f"{listener}-{backend}-{number}"
            self.clients.append(net.free_address(listener))
            own = [net.free_address(backend), net.free_address(backend)]
            self.backends += own
            listeners.append({"name": name, "address": str(self.clients[-1]), "pool": name,
                              "max_buffered": "512KiB"})
            pools[name] = {**(pool or {}), "backends": [{"address": str(one)} for one in own]}
        self.config = {
            "server": {"workers": workers},
            "metrics": {"address": str(net.free_tcp4())},
            "listeners": listeners,
            "pools": pools,
            **tables,
        }
        self.torture = None
        self.loble = None

    def start(self, **options):
        self.loble = self.bench.raw(self.config, **options)
        return self.loble

    def load(self, **options):
        """Starts the torture, and waits until its sessions are there."""
        self.torture = self.bench.keep(
            Torture(self.bench.binary, self.clients, self.backends, **options))
        wanted = options.get("sessions", 200)
        until(lambda: self.torture.report()["client"]["open"] >= wanted,
              lambda: f"{wanted} sessions; {self.torture.errors}", every=0.1)
        return self.torture

    def end(self):
        """Ends the torture in order, and checks its totals."""
        report = self.torture.stop()
        assert_nothing_wrong(report, self.torture.errors)
        return report


def restarts(metrics):
    return int(metrics("loble_worker_restarts_total"))


def wait_worker(loble, before, count, deadline=None):
    """Waits until another worker process than `before` has counted that many restarts."""
    last = None

    def back():
        nonlocal last
        loble.must_run()
        if worker_of(loble) in (None, before):
            return False
        try:
            last = loble.metrics()
        except NOT_NOW:
            return False
        return restarts(last) >= count
    until(back, lambda: f"a new worker process (restarts: {last and restarts(last)}, wanted "
                        f"{count}); log:\n{loble.log}", deadline, every=0.002)
    return last


def kill_worker(loble, number, deadline=None):
    """Kills the worker process and waits for the next one; returns how long that took (s)."""
    before = until(lambda: worker_of(loble), "a worker process")
    count = restarts(scrape(loble)) + 1
    start = time.monotonic()
    os.kill(before, number)
    wait_worker(loble, before, count, deadline)
    return time.monotonic() - start


def survive(stand, rounds, *, seed=1, gap=(0.05, 0.6), calm=1.0, deed=None, watch=None):
    """Kills the worker process again and again under load; returns what the sessions saw.

    `deed(number)` does something else than to kill, and returns its name; `watch(metrics)` is
    called with a scrape after each.
    """
    dice = random.Random(seed)
    monotone = Monotone(stand.loble)
    stand.torture.report()
    time.sleep(calm)
    result = Survival(measured(stand.torture.report(), "none", 0.0))

    def kill(_number):
        death = dice.choice(DEATHS)
        kill_worker(stand.loble, death)
        return death.name

    for number in range(rounds):
        stand.torture.report()
        begin = time.monotonic()
        cause = (deed or kill)(number)
        back = (time.monotonic() - begin) * 1000
        time.sleep(dice.uniform(*gap))
        result.rounds.append(measured(stand.torture.report(), cause, back))
        metrics = monotone.look()
        if watch is not None:
            watch(metrics)
        assert not stand.torture.errors, stand.torture.errors[:10]
    return result


def replace_binary(path, source):
    """Puts another file at the path of a running binary, as package managers do."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(Path(source).read_bytes())
    new.chmod(0o755)
    new.rename(path)


# What the new file is that cannot take over, and is found out before anything has happened.
REFUSED = {
    "missing": None,
    "not executable": b"#!/bin/sh\nexit 0\n",
    "no program": b"this is no program\n",
    "another program": b"#!/bin/sh\nexit 0\n",
    "exits": b"#!/bin/sh\necho no good >&2\nexit 3\n",
    "crashes": b"#!/bin/sh\nkill -SEGV $$\n",
    "hangs": b"#!/bin/sh\nexec sleep 60\n",
}

# What the new binary does once it has been executed (tests/soak/break.c).
FAILING = ("worker_crash", "worker_hang", "supervisor_crash", "supervisor_hang")


class Replaceable:
    """A binary of its own for a Loble, that can be replaced by others and broken."""

    def __init__(self, bench):
        self.source = Path(bench.binary)
        self.path = Path(bench.directory) / "loble-binary"
        self.plan = Path(bench.directory) / "break"
        library = self.source.parents[2] / "tests/soak/libbreak.so"
        self.env = {"LD_PRELOAD": str(library), "LOBLE_BREAK": str(self.plan)}
        self.good()

    def good(self):
        replace_binary(self.path, self.source)

    def refused(self, kind):
        """Puts there what will be refused."""
        if REFUSED[kind] is None:
            self.path.unlink()
            return
        self.good()
        self.path.with_name("broken").write_bytes(REFUSED[kind])
        self.path.with_name("broken").chmod(0o644 if kind == "not executable" else 0o755)
        self.path.with_name("broken").rename(self.path)

    def failing(self, kind):
        """Puts there what consents and then fails."""
        self.good()
        self.plan.write_text(kind + "\n")

    def mend(self):
        self.plan.unlink(missing_ok=True)


def upgrade_in_vain(loble, deadline=None):
    """Asks for an upgrade that cannot work, and waits until Loble says so; the event."""
    count = len(loble.events("upgrade_refused"))
    loble.send_signal(signal.SIGUSR2)
    told = loble.wait_event("upgrade_refused", count + 1, deadline)
    until(lambda: worker_of(loble), "a worker process", deadline)
    scrape(loble, deadline)
    return told


def upgrades(metrics):
    return int(metrics("loble_upgrades_total"))


def upgrade(loble, deadline=None):
    """Upgrades to what is on disk, and waits for it; returns how long that took (s)."""
    before = until(lambda: worker_of(loble), "a worker process")
    count = upgrades(scrape(loble)) + 1
    start = time.monotonic()
    loble.send_signal(signal.SIGUSR2)

    def done():
        loble.must_run()
        if worker_of(loble) in (None, before):
            return False
        try:
            return upgrades(loble.metrics()) >= count
        except NOT_NOW:
            return False
    until(done, lambda: f"the upgrade; log:\n{loble.log}", deadline, every=0.002)
    return time.monotonic() - start
