#!/usr/bin/env python3
"""Unit tests of what a measurement does when something goes wrong in it."""
import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import run  # noqa: E402
from lib import cell, peers, process  # noqa: E402

PLACE = process.Place(frozenset(os.sched_getaffinity(0)))


class Processes(unittest.TestCase):
    """Of a proxy: a shell that starts a process for each line it reads."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.cell = cell.Cell(None, peers.PEERS["loble"], peers.Setup(()))
        self.proxy = process.Child("proxy", ["sh", "-c", "while read -r _; do sleep 60 & done"],
            PLACE, directory.name, stdin=subprocess.PIPE)
        self.addCleanup(self.proxy.stop)
        self.fork(2)
        self.cell.proxy = self.proxy

    def fork(self, count):
        wanted = len(self.proxy.pids()) + count
        self.proxy.popen.stdin.write(b"\n" * count)
        self.proxy.popen.stdin.flush()
        process.wait_until(lambda: len(self.proxy.pids()) == wanted, 5, "it forks")

    def end_one(self):
        pid = max(set(self.proxy.pids()) - {self.proxy.pid})
        os.kill(pid, signal.SIGKILL)
        process.wait_until(lambda: pid not in self.proxy.pids(), 5, "it ends")

    def test_they_may_change_before_the_first_look_and_grow_after_it(self):
        self.end_one()
        self.assertEqual(2, len(self.cell.proxy_pids()))
        self.fork(1)
        self.assertEqual(3, len(self.cell.proxy_pids()))

    def test_one_that_ends_fails_the_measurement(self):
        self.cell.proxy_pids()
        self.end_one()
        with self.assertRaisesRegex(process.Failed, "a process of the proxy has ended"):
            self.cell.proxy_pids()

    def test_one_that_is_replaced_fails_the_measurement(self):
        self.cell.proxy_pids()
        self.end_one()
        self.fork(1)
        with self.assertRaisesRegex(process.Failed, "a process of the proxy has ended"):
            self.cell.check()


class Rounds(unittest.TestCase):
    def run_cell(self, error):
        def fail(*_):
            raise error
        results = {"failed": {}, "figures": {"churn": {"loble": []}}}
        with contextlib.redirect_stderr(io.StringIO()):
            run.run_cell(None, results, types.SimpleNamespace(name="churn", run=fail), "loble")
        self.assertEqual([None], results["figures"]["churn"]["loble"])
        return results["failed"]["churn"]["loble"]

    def test_a_mishap_is_a_failed_round(self):
        self.assertEqual(["lost a byte"], self.run_cell(process.Failed("lost a byte")))
        self.assertEqual(["BrokenPipeError: gone"], self.run_cell(BrokenPipeError("gone")))
        self.assertEqual(["KeyError: 'done'"], self.run_cell(KeyError("done")))
        with self.assertRaises(json.JSONDecodeError) as caught:
            json.loads("{")
        self.assertIn("JSONDecodeError: ", self.run_cell(caught.exception)[0])
        self.assertIn("TimeoutExpired: ", self.run_cell(subprocess.TimeoutExpired("load", 10))[0])

    def test_an_interrupt_is_none(self):
        with self.assertRaises(KeyboardInterrupt):
            self.run_cell(KeyboardInterrupt())


if __name__ == "__main__":
    unittest.main()
