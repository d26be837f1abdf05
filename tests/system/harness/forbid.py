"""Runs a program that may not make some system calls: `forbid.py NUMBER[,NUMBER...] COMMAND...`.

A call that is forbidden fails with EPERM, as it does in a container whose seccomp profile lacks it.
"""

import ctypes
import os
import struct
import sys

IO_URING_SETUP = 425  # the same on all architectures

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL_EPERM = 0x7FFF0000, 0x00050000 | 1


def wrapper(*numbers):
    """The words to put before a command."""
    return (sys.executable, __file__, ",".join(map(str, numbers)))


def forbid(numbers):
    rows = [(LOAD, 0, 0, 0)]  # the number of the call
    for number in numbers:
        rows += [(EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL_EPERM)]
    rows.append((RETURN, 0, 0, ALLOW))
    code = b"".join(struct.pack("=HBBI", *row) for row in rows)
    kept = ctypes.create_string_buffer(code, len(code))  # has to live until the call
    program = struct.pack("@HP", len(rows), ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, *arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, FILTER, program)):
        if libc.prctl(option, *arguments, 0, 0) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    forbid([int(word) for word in sys.argv[1].split(",")])
    os.execv(sys.argv[2], sys.argv[2:])
