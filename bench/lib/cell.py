"""One measurement: a network, a backend, a proxy and a load generator, all new, all ended with it."""
import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time

from . import namespace, peers, process

PORT = 9100      # of all backends: one program listens on every address of the machine
DEAD_PORT = 9109  # nobody listens
HOLE = "127.0.9.9:9300"
FLAP_PORT = 9301
PROXY_CPUS = {1: frozenset((0,)), 2: frozenset((0, 1))}  # by workers
LOAD_CPUS = {1: frozenset((1,)), 2: frozenset((0, 1))}
ALL_CPUS = frozenset((0, 1))
SETTLE_SECONDS = 0.05  # for the proxy to end the last sessions before it is looked at


def backend_addresses(count):
    """So many backends, each an address of its own."""
    return tuple(f"127.2.{number // 250}.{number % 250 + 1}:{PORT}" for number in range(count))


class Load:
    """A load generator that is told when to begin, and leaves its sessions open until closed."""

    def __init__(self, cell, mode, timeout_ms=30000, **options):
        address = cell.target
        words = [cell.rig.programs / "load", mode, "--address", address,
            "--timeout-ms", timeout_ms]
        for name, value in options.items():
            words += ["--" + name.replace("_", "-"), value]
        self.limit = timeout_ms / 1000 * 2 + options.get("duration_ms", 1000) / 1000 + 10
        self.child = process.Child("load", words, cell.load_place, cell.directory,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cell.stack.callback(self.child.stop)
        self.line("ready")

    def line(self, what):
        """The next line it prints."""
        stream = self.child.popen.stdout
        ready, _, _ = select.select([stream], [], [], self.limit)
        text = stream.readline() if ready else b""
        if not text:
            self.child.stop()
            raise process.Failed(f"load: no line '{what}': {self.child.tail()}")
        return text

    def send(self):
        self.child.popen.stdin.write(b"\n")
        self.child.popen.stdin.flush()

    def run(self):
        """Lets it work; what it has found, as a dictionary."""
        self.send()
        return json.loads(self.line("results"))

    def close(self):
        self.child.popen.stdin.close()
        self.child.popen.wait(10)


class Cell:
    """With its `with` block, all that it has started ends."""

    def __init__(self, rig, peer, setup, settings=None, real_time=False, shared=False):
        self.rig = rig
        self.peer = peer
        self.setup = setup
        self.settings = settings
        load_cpus = ALL_CPUS if shared else LOAD_CPUS[setup.workers]
        self.load_place = process.Place(load_cpus, real_time)
        self.proxy_place = process.Place(PROXY_CPUS[setup.workers],
            real_time and peer.name not in peers.BUSY)
        self.stack = contextlib.ExitStack()
        self.proxy = None
        self.seen = frozenset()  # processes of the proxy, since it was first looked at
        self.backend = None
        self.directory = None
        self.target = "%s:%d" % peers.LISTENER

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stack.close()
            raise
        return self

    def start(self):
        self.directory = pathlib.Path(
            self.stack.enter_context(tempfile.TemporaryDirectory(prefix="loble-bench-")))
        namespace.enter(self.settings)
        self.backend = process.Child("backend", [self.rig.programs / "backend",
            "--listen", f"0.0.0.0:{PORT}", "--hole", HOLE,
            "--flap", f"0.0.0.0:{FLAP_PORT}"], self.load_place, self.directory,
            stdout=subprocess.PIPE)
        self.stack.callback(self.backend.stop)
        if self.backend.popen.stdout.readline() != b"ready\n":
            raise process.Failed(f"backend: {self.backend.tail()}")
        if self.peer.command is None:
            self.target = self.setup.backends[0]
            return
        self.proxy = peers.start(self.peer, self.setup, self.directory, self.proxy_place,
            self.rig.binary(self.peer))
        self.stack.callback(self.proxy.stop)

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.check()
        finally:
            self.stack.close()

    def check(self):
        """The proxy still runs, and the backend has seen no wrong byte."""
        self.proxy_pids()
        self.backend.popen.send_signal(signal.SIGTERM)
        results = json.loads(self.backend.popen.stdout.readline())
        if results["corrupt"]:
            raise process.Failed(f"{results['corrupt']} sessions with wrong bytes at the backend")

    def proxy_pids(self):
        """All processes of the proxy. More may come, but from the first look on, which is when
        something begins to be measured, none may end: what it has used would be missing in the
        next sum, and where sessions survive the end of a process, nothing else would tell."""
        if not self.proxy:
            return []
        self.proxy.check()
        pids = self.proxy.pids()
        if not self.seen <= set(pids):
            raise process.Failed("a process of the proxy has ended meanwhile")
        self.seen = frozenset(pids)
        return pids

    def memory(self):
        return process.memory_bytes(self.proxy_pids())

    def load(self, mode, **options):
        return Load(self, mode, **options)

    def warm(self, mode, **options):
        """A little of the same first: code paged in, pools filled."""
        load = self.load(mode, **options)
        load.run()
        load.close()
        time.sleep(SETTLE_SECONDS)

    def measure(self, load, unit, may_fail=False):
        """Runs the load, with the clocks of all programs read before and after. `unit` says how
        many units of work the results stand for. Failed sessions are a figure only of those
        workloads where they may happen."""
        before = self.clocks(load)
        results = load.run()
        time.sleep(SETTLE_SECONDS)
        after = self.clocks(load)
        failed = {name: count for name, count in results["failures"].items() if count}
        if failed and not may_fail:
            raise process.Failed(f"sessions failed: {failed} of {results['done']} done")
        units = unit(results)
        if units == 0 or results["seconds"] <= 0:
            raise process.Failed("nothing was done")
        used = {name: (after[name] - before[name]) / 1000 / units for name in before}
        ours = used["proxy"] + used["load"] + used["backend"] + used["softirqd"]
        figures = {
            "rate": units / results["seconds"],
            "machine": used["machine"],
            "all": ours,
            "others": max(0.0, used["machine"] - ours) / used["wall"] / os.cpu_count() * 100,
            "stolen": used["steal"] / used["wall"] / os.cpu_count() * 100,
            "failed": sum(failed.values()),
            "slow": results["slow"],
        }
        if self.proxy:
            figures["cpu"] = used["proxy"]
        figures.update({name: results["latency_us"][name]
            for name in ("p50", "p99", "p999", "max")})
        return figures

    def clocks(self, load):
        machine, steal = process.machine_ns()
        return {
            "wall": time.monotonic_ns(),
            "machine": machine,
            "steal": steal,
            "proxy": process.cpu_ns(self.proxy_pids()),
            "load": process.cpu_ns([load.child.pid]),
            "backend": process.cpu_ns([self.backend.pid]),
            "softirqd": process.softirqd_ns(),
        }

    def signal_backend(self, number):
        os.kill(self.backend.pid, number)
