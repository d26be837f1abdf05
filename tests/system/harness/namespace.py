"""A network namespace, for routes that fail as no route of the machine may."""

import ctypes
import os
import pathlib
import subprocess
import threading

import pytest

CLONE_NEWNET = 0x40000000


def _check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """Lives as long as its descriptor. Needs CAP_SYS_ADMIN."""

    def __init__(self):
        self._libc = ctypes.CDLL(None, use_errno=True)
        if os.geteuid() != 0:
            pytest.skip("a network namespace needs root")
        made = {}

        def make():
            try:
                _check(self._libc.unshare(CLONE_NEWNET))
                made["fd"] = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net",
                                     os.O_RDONLY | os.O_CLOEXEC)
                self._commands(["ip", "link", "set", "lo", "up"])
            except OSError as error:
                made["error"] = error
        self._thread(make)
        if "error" in made:
            pytest.skip(f"no network namespace here: {made['error']}")
        self.fd = made["fd"]

    @staticmethod
    def _thread(function):
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()

    @staticmethod
    def _commands(*commands):
        for command in commands:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def enter(self):
        """Moves the calling thread (or a child before exec) into the namespace."""
        _check(self._libc.setns(self.fd, CLONE_NEWNET))

    def run(self, function, *arguments, **options):
        """Calls a function on a thread inside; sockets that it makes stay inside."""
        outcome = {}

        def inside():
            try:
                self.enter()
                outcome["value"] = function(*arguments, **options)
            except BaseException as error:  # raised again below
                outcome["error"] = error
        self._thread(inside)
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    def ip(self, *words):
        self.run(self._commands, ["ip", *words])

    def local_ports(self, first, last):
        """Connects choose their own ports from these."""
        file = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
        self.run(file.write_text, f"{first} {last}", encoding="ascii")

    def close(self):
        os.close(self.fd)
