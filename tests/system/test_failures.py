"""Each call that can fail does so once: at the start, which is clean or tells why, and at run time."""

import contextlib
import copy
import errno
import json
import os
import signal
import subprocess
import time

import pytest

from harness import net, proc, toml
from harness.backends import echo
from harness.failures import Failures
from harness.loble import REPORTS, environment
from harness.net import END, Background
from harness.paths import TCP, UNIX_BACKEND, data
from harness.wait import SLOWNESS, settled, until

LIMIT, IO, PERMISSION, REFUSED = 71, 74, 77, 78

# What a start calls. Each call of that name fails, one per start.
SYSTEM_CALLS = ["mmap", "memfd_create", "ftruncate", "fcntl", "socket", "setsockopt", "getsockopt",
                "bind", "listen", "getsockname", "epoll_create1", "epoll_ctl", "eventfd",
                "signalfd", "pipe2", "dup", "open", "fopen", "fstat", "chmod", "pthread_create",
                "getrandom", "read", "ioctl", "open_memstream", "sched_getaffinity", "madvise"]
ALLOCATIONS = ["malloc", "calloc", "strdup", "realloc", "aligned_alloc"]


@pytest.fixture
def failures(binary, directory, bench):
    shim = binary.parents[2] / "tests/shim/fail.so"
    if not shim.exists():
        pytest.skip(f"{shim} is not built")
    return bench.keep(Failures(shim, directory / "plan"))


def shimmed(failures):
    """The environment of a program; the shim comes before the sanitizer, which wants to be first."""
    asan = environment()["ASAN_OPTIONS"]
    return dict(failures.environment, ASAN_OPTIONS=f"{asan}:verify_asan_link_order=0")


class Start:
    """One start with a call that fails: `code` is how it ended, None if it runs."""

    def __init__(self, binary, directory, failures, config):
        file = directory / "loble.toml"
        file.write_text(toml.dumps(config))
        env = environment(shimmed(failures))
        self.lines = []
        self.process = subprocess.Popen(
            [str(binary), "-config", str(file)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=directory, env=env)
        self.code = None
        self._read_until_started()

    def _read_until_started(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
            if '"event":"started"' in self.lines[-1]:
                return
        self.code = self.process.wait(10)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=20 * SLOWNESS)
        self.lines += rest.decode(errors="backslashreplace").splitlines()
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def check_log(self):
        """No sanitizer's report; all but one line of an error are events."""
        for line in self.lines:
            assert not any(report in line for report in REPORTS), self.lines
        plain = [line for line in self.lines if not line.startswith("{")]
        for line in self.lines:
            if line not in plain:
                json.loads(line)
        return plain


def whole_config(directory, backend):
    """Something of everything that a start can set up."""
    return {
        "server": {"workers": 2},
        "listeners": [
            {"name": "tcp", "address": str(net.free_tcp4()), "pool": "p", "max_buffered": "1MiB"},
            {"name": "any", "address": f":{net.free_shared_port()}", "pool": "p"},
            {"name": "local", "address": f"unix:{net.short_path('fail')}", "pool": "p"},
        ],
        "pools": {"p": {"backends": [{"address": str(backend)},
                                     {"address": f"localhost:{backend.port}", "weight": 0}]}},
        "metrics": {"address": str(net.free_tcp4())},
        "admin": {"socket": str(directory / "admin.sock")},
        "access_log": {"enabled": True, "file": str(directory / "access.log")},
    }


def says_why(plain):
    """One line of the program, or what it says of a configuration with the count below."""
    if len(plain) == 2 and plain[1] == "1 error, 0 warnings":
        plain.pop()
    return len(plain) == 1 and (plain[0].startswith("loble: ") or "error: " in plain[0])


def is_served(config):
    host, port = config["listeners"][0]["address"].rsplit(":", 1)
    return net.exchange(net.tcp4(host, int(port)), b"ping") == (b"ping", END)


def start_once(binary, directory, failures, config, call, number):
    """Returns whether the number-th call was reached. It failed, or the start did, and both well."""
    failures.arm(call, number)
    start = Start(binary, directory, failures, config)
    hits = failures.disarm()
    where = f"{call} number {number}: {start.lines}"
    try:
        plain = start.check_log()
        if start.code is None:
            assert is_served(config), where
            assert start.stop() == 0, where
            assert not start.check_log(), where
        else:
            assert hits == 1, where
            assert start.code in (LIMIT, IO, PERMISSION, REFUSED), (start.code, where)
            assert says_why(plain), where
    finally:
        start.kill()
    return hits == 1


def sweep(bench, directory, failures, call):
    """Each call of that name fails, until a start has fewer of them."""
    backend = bench.service(echo)
    config = whole_config(directory, backend.address)
    number = 1
    while start_once(bench.binary, directory, failures, config, call, number):
        number += 1


@pytest.mark.asan
@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_a_start_copes_with_each_system_call_that_fails(bench, directory, failures, call):
    sweep(bench, directory, failures, call)


@pytest.mark.asan
@pytest.mark.parametrize("call", ALLOCATIONS)
def test_a_start_copes_with_each_allocation_that_fails(bench, directory, failures, call):
    sweep(bench, directory, failures, call)


# At run time: (call, errnos, how many sessions one failure may cost). EPIPE of send() is left out: it
# says that the socket is dead, and these are alive.
AT_RUN_TIME = [
    ("accept4", ["EMFILE", "ECONNABORTED", "EINTR", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO",
                 "EPERM", "ENETDOWN"], 0),
    ("socket", ["EMFILE", "ENOBUFS"], 0),
    ("setsockopt", ["ENOBUFS", "EINVAL"], 0),
    ("connect", ["ECONNREFUSED", "EADDRNOTAVAIL", "ENETUNREACH", "EACCES"], 0),
    ("getsockopt", ["ENOBUFS"], 0),
    ("epoll_ctl", ["ENOSPC", "ENOMEM"], 1),
    ("epoll_wait", ["EINTR"], 0),
    ("pipe2", ["EMFILE", "ENFILE"], 0),
    ("fcntl", ["EPERM", "ENOMEM"], 0),
    ("splice", ["EINTR"], 0),
    ("splice", ["ENOMEM", "EINVAL"], 1),
    ("recv", ["EINTR"], 0),
    ("recv", ["ENOMEM", "ECONNRESET"], 1),
    ("send", ["EINTR"], 0),
    ("send", ["ENOBUFS", "ECONNRESET"], 1),
    ("madvise", ["EAGAIN"], 0),
]
A_SECOND_EACH = ("socket", "setsockopt", "connect", "epoll_ctl")  # until the next try


def echoed(loble, size):
    with contextlib.suppress(OSError), loble.connect() as client:
        sending = client.sending(data(size), finish=True)
        got = client.rest()
        with contextlib.suppress(OSError):
            sending.result()
        return got == (data(size), END)
    return False


def lost_in_a_round(loble):
    """Small sessions one by one, and two of bulk at once; returns how many were not served."""
    served = [echoed(loble, 100) for _ in range(4)]
    bulk = [Background(echoed, loble, 4 << 20) for _ in range(2)]
    served += [one.result() for one in bulk]
    return served.count(False)


def each_fails_once(bench, failures, way, call, errors, cost, times):
    """The first, the second ... call of that name fails, each in a round of its own."""
    service = bench.service(echo, way)
    loble = bench.loble(service, way=way, options={"env": shimmed(failures)})
    before = len(proc.descriptors(loble.pid))
    for error in errors:
        for number in range(1, times + 1):
            failures.arm(call, number, error=getattr(errno, error))
            lost = lost_in_a_round(loble)
            if failures.disarm() == 0:
                assert lost == 0
                break
            assert lost <= cost, f"{call} number {number}, {error}: {lost} sessions lost"
            loble.must_run()
    assert lost_in_a_round(loble) == 0
    until(lambda: len(proc.descriptors(loble.pid)) <= before,
          lambda: f"{before} descriptors, not {proc.descriptors(loble.pid)}")
    loble.wait_value("loble_listener_connections_active", 0)
    loble.wait_value("loble_backend_connections_active", 0)


@pytest.mark.parametrize("error", ["EPERM", "EACCES", "EIO", "ECONNABORTED"])
def test_an_accept_that_keeps_failing_leaves_the_sessions_alone(bench, failures, error):
    service = bench.service(echo)
    loble = bench.loble(service, server={"workers": 1}, options={"env": shimmed(failures)})
    with loble.connect() as session:
        session.send(b"a")
        assert session.receive(1) == b"a"
        failures.arm("accept4", times=1 << 31, error=getattr(errno, error))
        with loble.connect() as waiting:
            until(lambda: failures.hits > 0, "a failure")
            for _ in range(10):
                session.send(b"b")
                assert session.receive(1) == b"b"
                time.sleep(0.05)
            failures.disarm()
            if error != "ECONNABORTED":  # which is one client's own: the next one is asked for at once
                assert failures.hits < 50
            waiting.send(b"c")
            assert waiting.receive(1) == b"c"


run_time_ways = pytest.mark.parametrize("way", [TCP, UNIX_BACKEND], ids=str)
run_time_calls = pytest.mark.parametrize(
    "call, errors, cost", AT_RUN_TIME, ids=[f"{row[0]}-{'-'.join(row[1])}" for row in AT_RUN_TIME])


@pytest.mark.asan
@run_time_calls
def test_a_call_that_fails_costs_at_most_its_session(bench, failures, call, errors, cost):
    slow = call in A_SECOND_EACH
    each_fails_once(bench, failures, TCP, call, errors[:1 if slow else 3], cost, 1 if slow else 4)


@pytest.mark.long
@run_time_ways
@run_time_calls
def test_each_call_that_fails_costs_at_most_its_session(bench, failures, way, call, errors, cost):
    each_fails_once(bench, failures, way, call, errors, cost, 12)


@pytest.mark.asan
@pytest.mark.parametrize("call", ["malloc", "calloc", "realloc", "socket", "connect", "epoll_ctl",
                                  "getsockopt", "epoll_wait", "write"])
def test_a_call_that_fails_in_the_control_plane_only_delays(bench, failures, call):
    """A backend goes and comes back; whatever fails meanwhile, its state is right in the end."""
    greeter = bench.greeter("back")
    loble = bench.loble(greeter, bench.greeter("other"), options={"env": shimmed(failures)},
                        health={"failure_threshold": 1, "success_threshold": 1,
                                "probe_interval": "100ms", "flap_window": "1ms"})
    for number in (1, 2):
        greeter.stop()
        failures.arm(call, number)
        for _ in range(4):
            with contextlib.suppress(OSError):
                loble.ask()
        failures.disarm()
        loble.wait_health("unhealthy", greeter.address)
        failures.arm(call, number)
        greeter.start()
        time.sleep(0.15)
        failures.disarm()
        loble.wait_health("healthy", greeter.address)
    assert {loble.ask().data for _ in range(4)} == {b"back", b"other"}


@pytest.mark.asan
@pytest.mark.parametrize("call", ["malloc", "calloc", "realloc", "accept4", "recv", "send",
                                  "setsockopt", "epoll_ctl"])
def test_a_call_that_fails_in_the_admin_thread_costs_at_most_its_answer(bench, failures, call):
    loble = bench.loble(bench.service(echo), options={"env": shimmed(failures)})
    for number in range(1, 30):
        failures.arm(call, number)
        with contextlib.suppress(OSError):
            loble.get("/metrics")
        if failures.disarm() == 0:
            break
        loble.must_run()
        assert loble.get("/metrics")[0] == 200
    assert lost_in_a_round(loble) == 0


@pytest.mark.parametrize("error", ["EINTR", "EAGAIN", "EIO"])
def test_a_signal_is_not_lost_by_a_read_that_fails(bench, failures, error):
    loble = bench.loble(bench.service(echo), options={"env": shimmed(failures)})
    failures.arm("read", error=getattr(errno, error))
    loble.stop()
    assert failures.hits == 1


# What takes something that may be lacking. Whoever goes on with sessions also asks much about what is
# there, and an answer cannot be lacking.
RESTART_CALLS = ["malloc", "calloc", "realloc", "aligned_alloc", "strdup", "open_memstream", "mmap",
                 "madvise", "eventfd", "epoll_create1", "epoll_ctl", "signalfd", "pthread_create",
                 "open", "socket", "setsockopt", "bind", "listen", "getrandom", "read"]


def worker_process(loble):
    (child,) = [pid for pid in proc.tree(loble.pid) if pid != loble.pid]
    return child


def say(clients, token):
    for client in clients:
        client.send(token)
    for client in clients:
        assert client.receive(len(token)) == token


def restarts_cope(bench, directory, failures, call, numbers):
    """Whatever the next worker process lacks, the sessions go on: with it, or with the one after."""
    loble = bench.loble(bench.service(echo), server={"workers": 2},
                        options={"env": shimmed(failures)},
                        access_log={"enabled": True, "file": str(directory / "access.log")})
    before = len(proc.descriptors(loble.pid))
    clients = [bench.keep(loble.connect()) for _ in range(8)]
    say(clients, b"hello")
    for restarts, number in enumerate(numbers, 1):
        failures.arm(call, number)
        os.kill(worker_process(loble), signal.SIGKILL)
        loble.wait_event("worker_restarted", restarts, deadline=20 * SLOWNESS)
        hits = failures.disarm()
        loble.wait_ready()
        say(clients, b"still here")
        assert echoed(loble, 100)
        if hits == 0:
            break
    for client in clients:
        client.close()
    loble.wait_value("loble_listener_connections_active", 0)
    loble.wait_value("loble_backend_connections_active", 0)
    until(lambda: len(proc.descriptors(loble.pid)) <= before,
          lambda: f"{before} descriptors, not {proc.descriptors(loble.pid)}")
    # A process that could not go on has said why.
    plain = [line for line in loble.lines if not line.startswith("{")]
    assert not any("damaged" in line for line in plain), plain
    loble.lines[:] = [line for line in loble.lines if line not in plain]


restart_calls = pytest.mark.parametrize("call", RESTART_CALLS)


@pytest.mark.asan
@restart_calls
def test_a_restart_copes_with_a_call_that_fails(bench, directory, failures, call):
    restarts_cope(bench, directory, failures, call, [1, 2, 5, 13, 34, 89])


@pytest.mark.long
@restart_calls
def test_a_restart_copes_with_each_call_that_fails(bench, directory, failures, call):
    restarts_cope(bench, directory, failures, call, range(1, 1000))


RELOAD_CALLS = ["malloc", "calloc", "realloc", "aligned_alloc", "strdup", "open_memstream", "mmap",
                "socket", "setsockopt", "bind", "listen", "epoll_ctl", "dup", "open", "fstat",
                "read", "pthread_create", "getrandom"]


def reload(loble, config):
    """Returns whether it was taken."""
    def ended():
        return loble.events("config_loaded") + loble.events("config_refused")
    before = len(ended())
    new = loble.file.with_suffix(".new")
    new.write_text(toml.dumps(config))
    os.replace(new, loble.file)
    loble.send_signal(signal.SIGHUP)
    until(lambda: len(ended()) > before, lambda: f"a reload to end\n{loble.log}")
    return max(ended(), key=lambda event: event["time"])["event"] == "config_loaded"


def reloads_cope(bench, directory, failures, call, numbers):
    """Each reload adds listeners of every kind, and a call fails; then they are taken away again."""
    backend = bench.service(echo)
    more = whole_config(directory, backend.address)
    less = copy.deepcopy(more)
    del less["listeners"][1:]
    del less["pools"]["p"]["backends"][1:]
    loble = bench.raw(less, env=shimmed(failures))
    worker = worker_process(loble)
    host, port = less["listeners"][0]["address"].rsplit(":", 1)
    first = net.tcp4(host, int(port))
    assert reload(loble, more) and reload(loble, less)
    client = bench.keep(net.connect(first))
    say([client], b"hello")
    before = settled(lambda: len(proc.descriptors(loble.pid)), seconds=0.3)
    for number in numbers:
        failures.arm(call, number)
        taken = reload(loble, more)
        hits = failures.disarm()
        where = f"{call} number {number}\n{loble.log}"
        loble.must_run()
        say([client], b"still here")
        assert is_served(more), where
        assert taken or hits == 1, where
        assert taken or reload(loble, more), where
        local = net.unix(more["listeners"][2]["address"].removeprefix("unix:"))
        assert net.exchange(local, b"ping") == (b"ping", END), where
        assert reload(loble, less), where
        assert worker_process(loble) == worker, where
        if hits == 0:
            break
    until(lambda: len(proc.descriptors(loble.pid)) <= before,
          lambda: f"{before} descriptors, not {proc.descriptors(loble.pid)}")
    client.close()


reload_calls = pytest.mark.parametrize("call", RELOAD_CALLS)


@pytest.mark.asan
@reload_calls
def test_a_reload_copes_with_a_call_that_fails(bench, directory, failures, call):
    reloads_cope(bench, directory, failures, call, [1, 2, 5, 21, 89])


@pytest.mark.long
@reload_calls
def test_a_reload_copes_with_each_call_that_fails(bench, directory, failures, call):
    reloads_cope(bench, directory, failures, call, range(1, 1000))


UPGRADE_CALLS = ["malloc", "calloc", "realloc", "aligned_alloc", "strdup", "open_memstream", "mmap",
                 "memfd_create", "ftruncate", "eventfd", "epoll_create1", "epoll_ctl", "signalfd",
                 "pthread_create", "open", "socket", "setsockopt", "bind", "listen", "pipe2",
                 "getrandom", "read"]


def upgrade(loble):
    """Upgrades to the same binary. Returns whether it was taken."""
    def ended():
        return loble.events("upgraded") + loble.events("upgrade_refused")
    before = len(ended())
    loble.send_signal(signal.SIGUSR2)
    until(lambda: len(ended()) > before, lambda: f"an upgrade to end\n{loble.log}")
    return max(ended(), key=lambda event: event["time"])["event"] == "upgraded"


def upgrades_cope(bench, directory, failures, call, numbers):
    """Taken, or refused, or taken back: no session notices."""
    loble = bench.loble(bench.service(echo), server={"workers": 2},
                        options={"env": shimmed(failures)},
                        access_log={"enabled": True, "file": str(directory / "access.log")})
    clients = [bench.keep(loble.connect()) for _ in range(8)]
    say(clients, b"hello")
    for number in numbers:
        failures.arm(call, number)
        taken = upgrade(loble)
        hits = failures.disarm()
        loble.wait_ready()
        say(clients, b"still here")
        assert echoed(loble, 100)
        assert taken or hits == 1, f"{call} number {number}\n{loble.log}"
        if hits == 0:
            break
    assert upgrade(loble)
    say(clients, b"to the last")
    plain = [line for line in loble.lines if not line.startswith("{")]
    loble.lines[:] = [line for line in loble.lines if line not in plain]


upgrade_calls = pytest.mark.parametrize("call", UPGRADE_CALLS)


@pytest.mark.asan
@upgrade_calls
def test_an_upgrade_copes_with_a_call_that_fails(bench, directory, failures, call):
    upgrades_cope(bench, directory, failures, call, [1, 2, 8, 34])


@pytest.mark.long
@upgrade_calls
def test_an_upgrade_copes_with_each_call_that_fails(bench, directory, failures, call):
    upgrades_cope(bench, directory, failures, call, range(1, 1000))
