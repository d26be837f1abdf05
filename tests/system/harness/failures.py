"""Calls of the C library that fail on purpose: what tests/shim/fail.c does, from the test's side."""

import mmap
import struct

# struct plan: armed, first, times, error, calls, hits, call.
PLAN = struct.Struct("=6I40s")
CALLS, HITS = 16, 20


class Failures:
    """The plan that a program reads while it runs under the shim."""

    def __init__(self, shim, path):
        self.environment = {"LD_PRELOAD": str(shim), "FAIL_FILE": str(path)}
        path.write_bytes(bytes(PLAN.size))
        self._file = open(path, "r+b")
        self._plan = mmap.mmap(self._file.fileno(), PLAN.size)

    def arm(self, call, first=1, times=1, error=0):
        """From now on the first-th call of that name fails, and times - 1 after it."""
        self.disarm()
        PLAN.pack_into(self._plan, 0, 0, first, times, error, 0, 0, call.encode())
        self._plan[0:4] = struct.pack("=I", 1)

    def disarm(self):
        """Nothing fails from now on; returns how many have failed."""
        self._plan[0:4] = bytes(4)
        return self.hits

    def _word(self, offset):
        return struct.unpack_from("=I", self._plan, offset)[0]

    @property
    def calls(self):
        """How many calls of that name there were while it was armed."""
        return self._word(CALLS)

    @property
    def hits(self):
        return self._word(HITS)

    def close(self):
        self._plan.close()
        self._file.close()
