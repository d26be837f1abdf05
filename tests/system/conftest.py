"""Fixtures and options of the system tests: `pytest tests/system`, LOBLE names the binary."""

import itertools
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def find_binary():
    named = os.environ.get("LOBLE")
    return Path(named).resolve() if named else ROOT / "build/src/main/loble"


def instrumented(binary):
    text = binary.read_bytes()
    return b"__asan_init" in text or b"__tsan_init" in text


BINARY = find_binary()
if BINARY.exists() and instrumented(BINARY):
    os.environ.setdefault("LOBLE_TEST_SLOWNESS", "4")

# A shell without job control ignores them in what it starts in the background, and so would Loble.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

from harness import backends, net, paths  # noqa: E402  (after the slowness is known)
from harness.loble import Loble, simple  # noqa: E402
from harness.namespace import Namespace  # noqa: E402
from harness.wait import SLOWNESS  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the long tests, too")


def pytest_configure(config):
    for line in ("long: takes minutes; runs with --all",
                 "asan: of use under the address sanitizer",
                 "tsan: of use under the thread sanitizer"):
        config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(config, items):
    for item in items:
        limit = 1800 if item.get_closest_marker("long") else 180
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(limit * SLOWNESS))
        if item.get_closest_marker("long") and not config.getoption("--all"):
            item.add_marker(pytest.mark.skip(reason="long: runs with --all"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.passed = report.passed
        if report.failed:
            for number, one in enumerate(getattr(item, "lobles", [])):
                report.sections.append((f"log of Loble {number}", one.log[-8000:]))


@pytest.fixture(scope="session")
def binary():
    if not BINARY.exists():
        assert "LOBLE" not in os.environ, f"LOBLE={BINARY} does not exist"
        pytest.skip(f"{BINARY} is not built")
    return BINARY


@pytest.fixture
def directory():
    path = Path(tempfile.mkdtemp(prefix="loble-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Bench:
    """Makes what a test needs, and at its end takes it apart and checks it."""

    def __init__(self, binary, directory, node):
        self.binary, self.directory, self.node = binary, directory, node
        self.lobles = node.lobles = []
        self.closing = []
        self._numbers = itertools.count()

    def raw(self, config, **options):
        """A Loble from a whole configuration, a dictionary or text."""
        one = Loble.__new__(Loble)
        self.lobles.append(one)
        try:
            one.__init__(options.pop("binary", self.binary),
                         self.directory / f"loble{next(self._numbers)}", config, **options)
        except BaseException:
            if not hasattr(one, "process"):
                self.lobles.remove(one)
            raise
        return one

    def loble(self, *served, way=paths.TCP, listener=None, options=None, **tables):
        """A Loble of the short form in front of backends, addresses or tables.

        `listener` is an address, or a table without one, which is then made up.
        """
        if isinstance(listener, dict):
            tables["listener"], listener = listener, None
        listener = listener or net.free_address(way.listener)
        tables.setdefault("server", {}).setdefault("workers", way.workers)
        addresses = [getattr(one, "address", one) for one in served]
        config = simple(listener, addresses, net.free_tcp4(), **tables)
        one = self.raw(config, **(options or {}))
        one.config_address = listener
        return one

    def manual(self, way=paths.TCP, **options):
        return self.keep(backends.Manual(kind=way.backend, **options))

    def service(self, handler, way=paths.TCP, **options):
        return self.keep(backends.Service(handler, kind=way.backend, **options))

    def greeter(self, name, **options):
        return self.keep(backends.Greeter(name, **options))

    def blackhole(self, **options):
        return self.keep(backends.Blackhole(**options))

    def namespace(self):
        return self.keep(Namespace())

    def keep(self, thing):
        self.closing.append(thing)
        return thing

    def line(self, way=paths.TCP, receive_buffer=None, **tables):
        """A Loble in front of one backend that the test plays by hand."""
        backend = self.manual(way, receive_buffer=receive_buffer)
        return Line(self, self.loble(backend, way=way, **tables), backend)

    def end(self, passed):
        try:
            for thing in reversed(self.closing):
                thing.close()
            if passed:
                for one in self.lobles:
                    one.finish()
                for thing in self.closing:
                    if hasattr(thing, "check"):
                        thing.check()
        finally:
            for one in self.lobles:
                one.kill()


class Line:
    """A Loble and its only backend; open() makes one session and hands over both ends."""

    def __init__(self, bench, loble, backend):
        self.bench, self.loble, self.backend = bench, loble, backend

    def open(self, **options):
        client = self.bench.keep(self.loble.connect(**options))
        return client, self.backend.accept()


@pytest.fixture
def bench(binary, directory, request):
    one = Bench(binary, directory, request.node)
    request.node.passed = False
    yield one
    one.end(request.node.passed)
