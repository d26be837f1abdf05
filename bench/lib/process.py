"""Child processes with a fixed place on the CPUs, and what they have used.

A child leads a session of its own, by which its own children are found: also those that a
supervisor has replaced.
"""
import ctypes
import dataclasses
import os
import pathlib
import re
import resource
import signal
import subprocess
import time

STOP_SECONDS = 5
NICE = -15  # proxies, load and backend alike, before whatever else the machine does


class Failed(Exception):
    """A program did not do what it should: what, and the end of its output."""


def telling(reason):
    """Of the reason of a failure, the line that says most."""
    lines = reason.splitlines()
    return next((line for line in lines if re.search("alert|emerg|error|cannot", line, re.I)),
        lines[0])


@dataclasses.dataclass(frozen=True)
class Place:
    """Where and how a program runs. Real time keeps others from counting as latency; a loop that
    fills its CPU must not have it."""
    cpus: frozenset
    real_time: bool = False


def may_have_real_time():
    """Whether Place.real_time is more than a wish: not in a user namespace."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def prepare(place):
    def in_child():
        # Should the benchmark be killed, nothing that it started stays.
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, place.cpus)
        try:
            if place.real_time:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            else:
                os.nice(NICE)
        except PermissionError:
            pass  # in a user namespace: then other programs disturb more
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return in_child


class Child:
    """Started by us, ended by us; its output goes to a file of the cell's directory."""

    def __init__(self, name, command, place, directory, **options):
        self.name = name
        self.log = pathlib.Path(directory, name + ".log")
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen([str(word) for word in command],
                start_new_session=True, preexec_fn=prepare(place), stderr=log, cwd=directory,
                **{"stdin": subprocess.DEVNULL, "stdout": log, **options})
        self.pid = self.popen.pid

    def tail(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-1000:]

    def check(self):
        if self.popen.poll() is not None:
            raise Failed(f"{self.name} ended with {self.popen.returncode}: {self.tail()}")

    def pids(self):
        """All living processes of its session."""
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                fields = stat_fields(entry.name)
                if fields and int(fields[3]) == self.pid and fields[0] not in "ZX":
                    found.append(int(entry.name))
        return found

    def stop(self, number=signal.SIGTERM):
        """Ends it and what it has started; waits a bounded time, then kills."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
            try:
                self.popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                stream.close()


def stat_fields(pid):
    """What follows the name in /proc/PID/stat: state, parent, group, session, ...; or None."""
    try:
        text = pathlib.Path("/proc", str(pid), "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def cpu_ns(pids):
    """CPU time that all threads of these processes have used, work of the network in their name
    included."""
    total = 0
    for pid in pids:
        for task in pathlib.Path("/proc", str(pid), "task").glob("*/schedstat"):
            try:
                total += int(task.read_text(encoding="ascii").split()[0])
            except OSError:
                pass  # this thread has just ended
    return total


def softirqd_ns():
    """CPU time of the kernel's threads for network work that nobody else did."""
    pids = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if entry.read_text(encoding="ascii", errors="replace").startswith("ksoftirqd"):
                pids.append(entry.parent.name)
        except OSError:
            pass
    return cpu_ns(pids)


def memory_bytes(pids):
    """User memory of these processes: what is their own, in proportion to how many map it, and
    memory that is shared through a descriptor, whole and once, mapped or not. Pages of files, which
    is code, are left out: their share depends on who else runs the same library, and sessions add
    none."""
    own = 0
    mapped = 0
    shared = {}
    for pid in pids:
        rollup = pathlib.Path("/proc", str(pid), "smaps_rollup").read_text(encoding="ascii")
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024
            for line in rollup.splitlines()[1:]}
        own += sizes["Pss_Anon"] + sizes.get("SwapPss", 0)
        mapped += sizes["Pss_Shmem"]
        for fd in pathlib.Path("/proc", str(pid), "fd").iterdir():
            try:
                if os.readlink(fd).startswith(("/memfd:", "/dev/shm/")):
                    status = os.stat(fd)
                    shared[status.st_dev, status.st_ino] = status.st_blocks * 512
            except OSError:
                pass  # closed meanwhile
    return own + max(mapped, sum(shared.values()))


def machine_ns():
    """CPU time that all programs on this machine have used, and what others took from it."""
    fields = pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(word) for word in fields[1:9])
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) * tick, steal * tick


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.005)
