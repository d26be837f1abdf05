"""What the kernel says about a process and its children."""

import ctypes
import os
import resource
import time
from pathlib import Path


GONE = (FileNotFoundError, ProcessLookupError)


def children(pid, task):
    try:
        text = Path(f"/proc/{pid}/task/{task}/children").read_text()
    except GONE:  # a thread may end, and the process goes on
        return []
    return [int(child) for child in text.split()]


def tree(pid):
    """The process and all below it."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        try:
            tasks = os.listdir(f"/proc/{one}/task")
        except GONE:
            continue
        for task in tasks:
            queue += children(one, task)
        found.append(one)
    return found


def alive(pid):
    """Whether the process runs; one that has ended and that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except GONE:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def descriptors(pid):
    """{number: target} of a process's descriptors."""
    found = {}
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(entry)] = os.readlink(f"/proc/{pid}/fd/{entry}")
        except FileNotFoundError:
            continue
    return found


def sockets(pid):
    return sum(1 for target in descriptors(pid).values() if target.startswith("socket:"))


def pipes(pid):
    return sum(1 for target in descriptors(pid).values() if target.startswith("pipe:"))


def cpu_seconds(pid):
    """CPU time of all threads of the process and its children, to the nanosecond."""
    total = 0
    for one in tree(pid):
        try:
            tasks = os.listdir(f"/proc/{one}/task")
        except FileNotFoundError:
            continue
        for task in tasks:
            try:
                total += int(Path(f"/proc/{one}/task/{task}/schedstat").read_text().split()[0])
            except GONE:
                continue
    return total / 1e9


def cpu_share(pid, seconds):
    """The share of one core that is used while the test does nothing for so long."""
    start, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.monotonic() - start)


def pss_bytes(pid):
    """Proportional set size of the process and its children: shared pages count once.

    Without the pages of files: how many others map the same libraries is not our doing.
    """
    total = 0
    for one in tree(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


def threads(pid):
    return sum(len(os.listdir(f"/proc/{one}/task")) for one in tree(pid))


def limit_descriptors(pid, soft):
    """Sets the soft limit of open files of a running process and its children."""
    for one in tree(pid):
        _, hard = resource.prlimit(one, resource.RLIMIT_NOFILE)
        resource.prlimit(one, resource.RLIMIT_NOFILE, (soft, hard))


PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000


class Frozen:
    """One thread of a process, of that name, which does nothing from now on: a hung one.

    Whoever has frozen it has to take notice of its end, or nobody can wait for the process.
    """

    def __init__(self, pid, name):
        self.thread = next(int(task) for one in tree(pid) for task in os.listdir(f"/proc/{one}/task")
                           if Path(f"/proc/{one}/task/{task}/comm").read_text().strip() == name)
        self._trace(PTRACE_SEIZE)
        self._trace(PTRACE_INTERRUPT)
        os.waitpid(self.thread, WALL)

    def _trace(self, request):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(request, self.thread, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def wait_end(self, seconds):
        """Waits until the thread has ended with its process; whether it did in time."""
        end = time.monotonic() + seconds
        while os.waitpid(self.thread, WALL | os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True
