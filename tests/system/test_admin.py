"""The admin socket: what it answers, to whom, and what hostile clients of it can do."""

import concurrent.futures
import errno
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from harness import net, proc, toml
from harness.backends import echo
from harness.loble import REPORTS, environment
from harness.net import END
from harness.paths import ABSTRACT, data
from harness.wait import DEADLINE, SLOWNESS, until

USAGE, INVALID, NO_FILE, UNREACHABLE, NOT_PERMITTED, REFUSED = 64, 65, 66, 69, 77, 78
NOBODY = pwd.getpwnam("nobody")

pytestmark = pytest.mark.asan
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


class Local(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path):
        super().__init__("loble", timeout=DEADLINE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(loble, path, method="GET", body=None):
    """Status, headers and body of one request."""
    connection = Local(loble.admin_socket)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def raw(loble):
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(DEADLINE)
    one.connect(str(loble.admin_socket))
    return one


def kill(bench, loble, path):
    """Ends it without a chance to clean up; its worker process follows in a moment."""
    loble.process.kill()
    loble.process.wait()
    bench.lobles.remove(loble)

    def is_stale():
        with socket.socket(socket.AF_UNIX) as one:
            return one.connect_ex(str(path)) == errno.ECONNREFUSED
    until(is_stale, lambda: f"{path} to be stale")


@pytest.fixture
def ctl(binary):
    def command(*words, env=None, user=None):
        done = subprocess.run(
            [str(binary), "ctl", *map(str, words)], capture_output=True, text=True,
            timeout=DEADLINE, env=environment(env), check=False,
            **({"user": user, "group": user, "extra_groups": []} if user else {}))
        for report in REPORTS:
            assert report not in done.stderr, done.stderr
        return done
    return command


# What is told.

@pytest.mark.tsan
def test_status_tells_what_runs(bench):
    line = bench.line()
    client, backend = line.open()
    status = line.loble.asks("status")
    assert status["pid"] == line.loble.pid
    assert re.match(r"^\d+\.\d+\.\d+", status["version"])
    assert status["phase"] == "running"
    assert status["ready"] is True and status["not_ready_because"] is None
    assert 0 < status["uptime_seconds"] < 1000
    assert status["sessions"] == 1
    assert status["config"]["generation"] == 1
    assert status["config"]["last_reload_successful"] is True
    assert re.match(r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$", status["config"]["last_reload"])
    assert status["snapshot"]["version"] >= 1
    assert status["worker"]["restarts"] == 0
    assert proc.alive(status["worker"]["pid"])
    assert status["listeners"] == [{
        "name": "default", "address": str(line.loble.address), "pool": "default", "open": True,
        "leaving": False,
        "active": 1, "max_connections": 0, "connections": 1}]
    assert status["pools"] == [{
        "name": "default", "algorithm": "round_robin", "healthy": 1, "draining": 0,
        "unhealthy": 0, "maintenance": 0, "sessions": 1, "fallback": False,
        "leaving": False}]
    client.finish()
    assert backend.rest() == (b"", END)
    backend.finish()
    assert client.rest() == (b"", END)
    until(lambda: line.loble.asks("status")["sessions"] == 0, lambda: "the session to be gone")


def test_backends_tell_their_state_and_why(bench):
    service = bench.service(echo)
    dead = net.free_tcp4()
    loble = bench.loble({"name": "good", "address": str(service.address), "weight": 7,
                         "max_connections": 5},
                        {"name": "bad", "address": str(dead)},
                        health={"failure_threshold": 2}, balancer={"algorithm": "round_robin"})
    for _ in range(20):
        assert loble.ask(b"x") == (b"x", END)
    loble.wait_health("unhealthy", "bad")
    found = {one["backend"]: one for one in loble.asks("backends")["backends"]}
    good, bad = found["good"], found["bad"]
    assert list(found) == ["good", "bad"]
    assert (good["state"], good["admin"], good["weight"]) == ("healthy", "ready", 7)
    assert good["address"] == str(service.address)
    assert good["max_connections"] == 5
    assert good["connections"] == 20 and good["connect_failures"] == 0
    assert good["received_bytes"] == good["sent_bytes"] == 20
    assert good["since"]["cause"] == "configuration"
    assert (bad["state"], bad["connections"]) == ("unhealthy", 0)
    assert bad["connect_failures"] == bad["connect_failures_by_reason"]["refused"] >= 2
    assert bad["since"]["cause"] == "traffic" and bad["since"]["reason"] == "refused"
    assert 0 <= bad["since"]["seconds"] < 100
    table = loble.ctl("backends").stdout.splitlines()
    assert table[0].split()[:3] == ["POOL", "BACKEND", "STATE"]
    assert [row.split()[1:4] for row in table[1:]] == [
        ["good", "healthy", "ready"], ["bad", "unhealthy", "ready"]]
    assert table[2].endswith("traffic: refused")


@pytest.mark.tsan
def test_sessions_tell_who_is_connected_to_whom(bench):
    line = bench.line()
    client, backend = line.open()
    client.send(data(5000))
    assert backend.receive(5000) == data(5000)
    backend.send(data(3000))
    assert client.receive(3000) == data(3000)
    answer = line.loble.asks("sessions")
    assert answer["shown"] == answer["sessions_now"] == 1
    [session] = answer["sessions"]
    host, port = client.sock.getsockname()
    assert session["client"] == f"{host}:{port}"
    assert (session["listener"], session["pool"]) == ("default", "default")
    assert session["backend"] == str(line.backend.address)
    assert session["state"] == "open"
    assert (session["received_bytes"], session["sent_bytes"]) == (5000, 3000)
    assert 0 <= session["idle_seconds"] <= session["age_seconds"] + 0.01
    time.sleep(0.3)
    [later] = line.loble.asks("sessions")["sessions"]
    assert later["id"] == session["id"]
    assert later["idle_seconds"] >= 0.25
    assert later["age_seconds"] >= session["age_seconds"] + 0.25
    table = line.loble.ctl("sessions").stdout.splitlines()
    assert table[1].split()[:2] == [session["id"], session["client"]]
    assert table[-1] == "1 shown of 1"


def test_a_session_that_has_no_backend_yet_is_connecting(bench):
    loble = bench.loble(bench.blackhole(), timeouts={"connect": "30s", "connect_total": "30s"})
    client = bench.keep(loble.connect())
    until(lambda: loble.asks("sessions")["shown"] == 1, lambda: "the session to be listed")
    [session] = loble.asks("sessions")["sessions"]
    assert session["state"] == "connecting"
    client.reset()


def test_sessions_over_unix_sockets_have_neither_address_nor_idle_time(bench):
    line = bench.line(ABSTRACT)
    line.open()
    [session] = line.loble.asks("sessions")["sessions"]
    assert session["client"] == "unix"
    assert session["idle_seconds"] is None
    assert "unix" in line.loble.ctl("sessions").stdout


def two_pools(bench):
    services = [bench.manual() for _ in range(3)]
    where = {"red": net.free_tcp4(), "blue": net.free_tcp4()}
    config = {
        "server": {"workers": 2},
        "listeners": [{"name": name, "address": str(address), "pool": name}
                      for name, address in where.items()],
        "pools": {
            "red": {"backends": [{"name": "a", "address": str(services[0].address)},
                                 {"name": "b", "address": str(services[1].address)}]},
            "blue": {"backends": [{"name": "a", "address": str(services[2].address)}]},
        },
        "metrics": {"address": str(net.free_tcp4())},
        "timeouts": {"connect": "1s", "connect_total": "1s"},
    }
    loble = bench.raw(config)
    for name, count in (("red", 4), ("blue", 3)):
        for _ in range(count):
            bench.keep(net.connect(where[name]))
    until(lambda: [one["state"] for one in loble.asks("sessions")["sessions"]] == ["open"] * 7,
          lambda: "seven sessions to be open")
    return loble


def test_lists_can_be_narrowed(bench):
    loble = two_pools(bench)

    def sessions(*words):
        answer = loble.asks("sessions", *words)
        assert answer["shown"] == len(answer["sessions"])
        assert answer["sessions_now"] == 7
        return [(one["pool"], one["backend"]) for one in answer["sessions"]]

    def backends(*words):
        return [(one["pool"], one["backend"])
                for one in loble.asks("backends", *words)["backends"]]
    assert sorted(sessions()) == [("blue", "a")] * 3 + [("red", "a")] * 2 + [("red", "b")] * 2
    assert sessions("--pool", "blue") == [("blue", "a")] * 3
    assert sessions("--listener", "blue") == [("blue", "a")] * 3
    assert sorted(sessions("--backend", "a")) == [("blue", "a")] * 3 + [("red", "a")] * 2
    assert sessions("--backend", "red/a") == [("red", "a")] * 2
    assert sessions("--pool", "red", "--backend", "b") == [("red", "b")] * 2
    assert len(sessions("--limit", 5)) == 5
    assert sessions("--backend", "blue/a", "--limit", "2") == [("blue", "a")] * 2
    assert sorted(backends()) == [("blue", "a"), ("red", "a"), ("red", "b")]
    assert backends("--pool", "red") == [("red", "a"), ("red", "b")]
    assert sorted(backends("--backend", "a")) == [("blue", "a"), ("red", "a")]
    assert backends("--backend", "blue/a") == [("blue", "a")]


@pytest.mark.parametrize("command, words, message", [
    ("backends", ["--pool", "rde"], 'there is no pool "rde"; did you mean "red"?'),
    ("backends", ["--pool", "nothing"], 'there is no pool "nothing"; there are "red", "blue"'),
    ("backends", ["--backend", "nothing"],
     'there is no backend "nothing"; there are "red/a", "red/b", "blue/a"'),
    ("backends", ["--pool", "blue", "--backend", "b"],
     'there is no backend "b" in pool "blue"; there is "blue/a"'),
    ("backends", ["--backend", "blue/b"],
     'there is no backend "blue/b"; did you mean "blue/a"?'),
    ("sessions", ["--pool", "nothing"], 'there is no pool "nothing"; there are "red", "blue"'),
    ("sessions", ["--listener", "bleu"], 'there is no listener "bleu"; did you mean "blue"?'),
    ("sessions", ["--backend", "c"],
     'there is no backend "c"; there are "red/a", "red/b", "blue/a"'),
])
def test_a_name_that_nobody_has_is_an_error(bench, command, words, message):
    loble = two_pools(bench)
    done = loble.ctl(command, *words, check=False)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr == f"loble: {message}\n"
    query = "&".join(f"{name[2:]}={value}" for name, value in zip(words[::2], words[1::2]))
    status, _, body = ask(loble, f"/v1/{command}?{query}")
    assert status == 404
    assert json.loads(body) == {"error": message, "reason": "unknown"}


def test_a_name_with_nothing_to_show_is_no_error(bench):
    loble = bench.loble(bench.service(echo))
    for words in (["--pool", "default"], ["--listener", "default"],
                  ["--backend", str(loble.config["backends"][0]["address"])]):
        assert loble.asks("sessions", *words) == {"sessions": [], "shown": 0, "sessions_now": 0}


def test_a_removed_name_is_known_while_it_has_sessions(bench):
    loble = two_pools(bench)
    listeners, pools = loble.config["listeners"], dict(loble.config["pools"])
    del pools["blue"]
    rewrite(loble, listeners=listeners[:1], pools=pools)
    loble.ctl("reload", "--wait")
    until(lambda: [one["name"] for one in loble.asks("status")["pools"]] == ["red"],
          lambda: "the pool to have gone")
    for words in (["--pool", "blue"], ["--listener", "blue"], ["--backend", "blue/a"]):
        assert loble.asks("sessions", *words)["shown"] == 3
    assert loble.asks("backends", "--pool", "blue")["backends"][0]["state"] == "removed"


def test_what_a_reload_has_removed_is_shown_as_leaving_and_then_no_more(bench):
    loble = two_pools(bench)
    pools = dict(loble.config["pools"])
    del pools["blue"]
    rewrite(loble, listeners=loble.config["listeners"][:1], pools=pools)
    loble.ctl("reload", "--wait")
    status = loble.asks("status")
    assert [(one["name"], one["leaving"]) for one in status["pools"]] == [
        ("red", False), ("blue", True)]
    assert [(one["name"], one["leaving"]) for one in status["listeners"]] == [
        ("red", False), ("blue", True)]
    table = [line.split() for line in loble.ctl("status").stdout.splitlines()]
    assert ["blue", "leaving", "round_robin"] in [line[:3] for line in table]
    assert ["blue", "leaving"] in [[line[0], line[3]] for line in table if len(line) == 6]
    assert [(one["pool"], one["state"]) for one in loble.asks("backends")["backends"]] == [
        ("red", "healthy"), ("red", "healthy"), ("blue", "removed")]
    until(lambda: len(loble.asks("status")["pools"]) == 1, lambda: "the pool to have gone")
    assert len(loble.asks("status")["listeners"]) == 1
    [one] = loble.asks("backends", "--pool", "blue")["backends"]
    assert (one["state"], one["sessions"]) == ("removed", 3)


def test_names_are_shown_without_their_control_characters(bench):
    service = bench.service(echo)
    loble = bench.loble({"name": "caf\u00e9 \u009b[31m", "address": str(service.address)},
                        {"name": "a b&c=d/e%20", "address": str(net.free_tcp4())})
    table = loble.ctl("backends").stdout
    assert "caf\u00e9 \\xc2\\x9b[31m" in table and "\u009b" not in table
    [one] = loble.asks("backends", "--backend", "a b&c=d/e%20")["backends"]
    assert one["backend"] == "a b&c=d/e%20"


@pytest.mark.parametrize("count", [3000])
def test_thousands_of_sessions_are_listed_while_traffic_goes_on(bench, count):
    line = bench.line(server={"workers": 2})
    clients = [line.open() for _ in range(count)]
    lap = bench.service(echo)
    other = bench.loble(lap)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        lists = [pool.submit(line.loble.asks, "sessions") for _ in range(3)]
        slowest = 0
        while not all(one.done() for one in lists):
            start = time.monotonic()
            client, backend = clients[0]
            client.send(b"x")
            assert backend.receive(1) == b"x"
            slowest = max(slowest, time.monotonic() - start)
    for one in lists:
        answer = one.result()
        assert answer["shown"] == answer["sessions_now"] == count
        assert len({session["id"] for session in answer["sessions"]}) == count
    assert slowest < 2 * SLOWNESS, f"a byte took {slowest} s"
    assert other.asks("sessions")["shown"] == 0


def test_after_the_worker_process_died_it_is_there_again(bench):
    line = bench.line()
    client, backend = line.open()
    before = line.loble.asks("status")
    [session] = line.loble.asks("sessions")["sessions"]
    os.kill(before["worker"]["pid"], signal.SIGKILL)

    def answers():
        done = line.loble.ctl("status", "--json", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["worker"]["restarts"] == 1
    until(answers, lambda: f"another worker process\n{line.loble.log}")
    after = line.loble.asks("status")
    assert after["pid"] == before["pid"] == line.loble.pid
    assert after["worker"]["pid"] != before["worker"]["pid"]
    assert after["uptime_seconds"] >= before["uptime_seconds"]
    assert after["sessions"] == 1
    [again] = line.loble.asks("sessions")["sessions"]
    assert again["client"] == session["client"] and again["backend"] == session["backend"]
    assert stat.S_IMODE(os.lstat(line.loble.admin_socket).st_mode) == 0o600
    client.send(b"on")
    assert backend.receive(2) == b"on"


def test_a_successor_that_cannot_open_it_serves_all_the_same(bench):
    line = bench.line()
    client, backend = line.open()
    worker = line.loble.asks("status")["worker"]["pid"]
    line.loble.admin_socket.unlink()
    line.loble.admin_socket.write_text("mine")
    os.kill(worker, signal.SIGKILL)
    warning = line.loble.wait_event("admin_socket", level="warn")
    assert str(line.loble.admin_socket) in warning["message"]
    client.send(b"on")
    assert backend.receive(2) == b"on"
    client.finish()
    assert backend.rest() == (b"", END)
    backend.finish()
    assert client.rest() == (b"", END)
    line.loble.finish()
    assert line.loble.admin_socket.read_text() == "mine"


# How it is asked.

def test_the_socket_speaks_http_and_json(bench):
    loble = bench.loble(bench.service(echo))
    for path in ("/v1/status", "/v1/backends", "/v1/sessions", "/v1/sessions?limit=1"):
        status, headers, body = ask(loble, path)
        assert status == 200
        assert headers["Content-Type"] == "application/json"
        assert headers["Cache-Control"] == "no-store"
        assert isinstance(json.loads(body), dict)
    status, _, body = ask(loble, "/v1/status", "HEAD")
    assert (status, body) == (200, b"")
    assert ask(loble, "/readyz")[0] == ask(loble, "/healthz")[0] == 200
    assert b"loble_build_info" in ask(loble, "/metrics")[2]


@pytest.mark.parametrize("method, path, status, word", [
    ("GET", "/v1/nothing", 404, "/v1/status"),
    ("GET", "/v1", 404, "no such path"),
    ("GET", "/v1/../v1/status", 404, "no such path"),
    ("POST", "/v1/status", 405, "GET"),
    ("DELETE", "/v1/sessions", 405, "GET"),
    ("PUT", "/v1/backends", 405, "GET"),
    ("GET", "/v1/sessions?limit=0", 400, "limit"),
    ("GET", "/v1/sessions?limit=-1", 400, "limit"),
    ("GET", "/v1/sessions?limit=1x", 400, "limit"),
    ("GET", "/v1/sessions?limit=99999999999999999999999", 400, "limit"),
    ("GET", "/v1/sessions?limt=1", 400, "limt"),
    ("GET", "/v1/status?pool=a", 400, "pool"),
    ("GET", "/v1/sessions?" + "&".join(f"pool={n}" for n in range(20)), 400, "too many"),
])
def test_what_it_does_not_know_is_refused_as_json(bench, method, path, status, word):
    loble = bench.loble(bench.service(echo))
    found, headers, body = ask(loble, path, method)
    assert found == status
    assert word in json.loads(body)["error"]
    assert headers["Content-Type"] == "application/json"
    if status == 405:
        assert headers["Allow"] == "GET, HEAD"


def test_the_port_of_the_metrics_does_not_serve_it(bench):
    loble = bench.loble(bench.service(echo))
    for path in ("/v1/status", "/v1/backends", "/v1/sessions"):
        assert loble.get(path)[0] == 404
    assert loble.get("/healthz")[0] == 200


def test_it_is_there_without_metrics(bench):
    service = bench.service(echo)
    where = net.free_tcp4()
    loble = bench.raw({"server": {"workers": 1}, "listener": {"address": str(where)},
                       "backends": [{"address": str(service.address)}]}, ready=None)
    until(lambda: loble.admin_socket.exists() and
          loble.ctl("status", check=False).returncode == 0, lambda: f"status\n{loble.log}")
    assert loble.asks("status")["sessions"] == 0
    assert net.exchange(where, b"hello") == (b"hello", END)


@pytest.mark.parametrize("words, near", [
    (["statu"], "ctl status"), (["session"], "ctl sessions"), (["bakends"], "ctl backends"),
    (["xyzzy"], "ctl xyzzy"), (["statu", "more"], "ctl status"), (["xyzzy", "b"], "status,"),
    ([], "needs a command"), (["status", "--limit", "1"], "--limit"),
    (["backends", "--listener", "x"], "--listener"), (["sessions", "--limit", "0"], "--limit"),
    (["sessions", "more"], "more"),
])
def test_wrong_words_are_usage_errors_with_the_nearest_right_one(ctl, words, near):
    done = ctl("--socket", "/nowhere", *words)
    assert done.returncode == USAGE
    assert near in done.stderr and done.stdout == ""


def test_the_help_lists_every_command(ctl):
    done = ctl("--help")
    assert done.returncode == 0
    for command in ("status", "backends", "sessions", "--socket", "--json"):
        assert command in done.stdout


# Where it is, and whose.

def test_only_the_owner_may_use_it_and_its_end_removes_it(bench):
    loble = bench.loble(bench.service(echo))
    mode = os.lstat(loble.admin_socket).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    loble.finish()
    assert not loble.admin_socket.exists()


@needs_root
def test_another_user_is_refused(bench, ctl, directory):
    loble = bench.loble(bench.service(echo))
    directory.chmod(0o755)
    loble.directory.chmod(0o755)
    done = ctl("--socket", loble.admin_socket, "status", user=NOBODY.pw_uid)
    assert done.returncode == NOT_PERMITTED
    assert "ermission denied" in done.stderr


@needs_root
def test_it_belongs_to_the_user_that_the_balancer_becomes(bench, ctl, directory):
    loble = bench.loble(bench.service(echo), server={"user": "nobody", "workers": 1})
    directory.chmod(0o755)
    loble.directory.chmod(0o755)
    assert os.lstat(loble.admin_socket).st_uid == NOBODY.pw_uid
    assert ctl("--socket", loble.admin_socket, "status", user=NOBODY.pw_uid).returncode == 0
    os.chown(loble.directory, NOBODY.pw_uid, -1)
    loble.finish()
    assert not loble.admin_socket.exists()


def test_a_stale_one_is_replaced(bench):
    first = bench.loble(bench.service(echo))
    kill(bench, first, first.admin_socket)
    assert first.admin_socket.exists()
    second = bench.loble(bench.service(echo), admin={"socket": str(first.admin_socket)})
    assert ask(first, "/healthz")[0] == 200  # the same path, another process
    status = json.loads(ask(first, "/v1/status")[2])
    assert status["pid"] == second.pid


@pytest.mark.parametrize("kind", ["live", "no directory", "a file", "a directory"])
def test_a_path_that_cannot_be_made_ends_the_start(bench, directory, kind):
    service = bench.service(echo)
    path = directory / "x.sock"
    if kind == "live":
        path = bench.loble(service).admin_socket
    elif kind == "no directory":
        path = directory / "no" / "x.sock"
    elif kind == "a file":
        path.write_text("mine")
    else:
        path.mkdir()
    loble = bench.loble(service, admin={"socket": str(path)}, options={"ready": None})
    assert loble.wait_exit() == REFUSED
    assert "admin.socket" in loble.log and str(path) in loble.log
    loble.checked = True
    assert path.exists() == (kind != "no directory")


def default_place(bench, home, **options):
    """A Loble of a user of its own place, and what `ctl` needs to find it."""
    service = bench.service(echo)
    where, metrics = net.free_tcp4(), net.free_tcp4()
    config = {"server": {"workers": 1}, "listener": {"address": str(where)},
              "metrics": {"address": str(metrics)}, "admin": {},
              "backends": [{"address": str(service.address)}]}
    return bench.raw(config, env={"XDG_RUNTIME_DIR": str(home)},
                     wrapper=("setpriv", "--reuid", str(NOBODY.pw_uid), "--clear-groups"),
                     **options)


@pytest.fixture
def home(directory):
    directory.chmod(0o755)
    place = directory / "home"
    place.mkdir()
    os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
    return place


@needs_root
def test_the_default_place_is_made_found_and_left(bench, ctl, home):
    env = {"XDG_RUNTIME_DIR": str(home)}
    loble = default_place(bench, home)
    path = home / "loble" / "admin.sock"
    assert stat.S_IMODE(os.lstat(path.parent).st_mode) == 0o700
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
    assert loble.wait_event("started")["admin_socket"] == str(path)
    done = ctl("status", "--json", env=env, user=NOBODY.pw_uid)
    assert json.loads(done.stdout)["pid"] == loble.pid
    loble.finish()
    assert not path.exists()
    done = ctl("status", env=env, user=NOBODY.pw_uid)  # the machine may run one of root's
    assert done.returncode in (UNREACHABLE, NOT_PERMITTED)
    assert str(home) not in done.stderr


@needs_root
def test_several_in_the_default_place_must_be_told_apart(bench, ctl, home):
    env = {"XDG_RUNTIME_DIR": str(home)}
    first, second = default_place(bench, home), default_place(bench, home)
    beside = home / "loble" / f"{second.pid}.sock"
    warning = second.wait_event("admin_socket", level="warn")
    assert str(beside) in warning["message"]
    done = ctl("status", env=env, user=NOBODY.pw_uid)
    assert done.returncode == UNREACHABLE and "--socket" in done.stderr
    for path in (home / "loble" / "admin.sock", beside):
        assert str(path) in done.stderr
    done = ctl("status", "--json", env=env, user=NOBODY.pw_uid)
    # A build for coverage writes there, too, as a user who may not write its files.
    said = [line for line in done.stderr.splitlines() if not line.startswith("profiling:")]
    assert (done.returncode, said) == (UNREACHABLE, [])
    assert str(beside) in json.loads(done.stdout)["error"]
    done = ctl("status", "--json", "--socket", beside, user=NOBODY.pw_uid)
    assert json.loads(done.stdout)["pid"] == second.pid
    # What it leaves behind is not live, and goes with the next start.
    kill(bench, first, home / "loble" / "admin.sock")
    done = ctl("status", "--json", env=env, user=NOBODY.pw_uid)
    assert json.loads(done.stdout)["pid"] == second.pid
    third = default_place(bench, home)
    assert third.wait_event("started")["admin_socket"].endswith("/admin.sock")


@needs_root
def test_a_default_place_that_cannot_be_made_is_a_warning(bench, home):
    home.chmod(0o500)
    loble = default_place(bench, home)
    assert "there is no admin socket" in loble.wait_event("admin_socket", level="warn")["message"]
    assert "admin_socket" not in loble.wait_event("started")


def test_nobody_at_home_is_unreachable(ctl, directory):
    for path in (directory / "none.sock", directory):
        done = ctl("status", "--socket", path)
        assert done.returncode == UNREACHABLE and str(path) in done.stderr
        done = ctl("status", "--json", "--socket", path)
        assert (done.returncode, done.stderr) == (UNREACHABLE, "")
        assert str(path) in json.loads(done.stdout)["error"]
    stale = directory / "stale.sock"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(stale))
        one.listen()
    assert ctl("status", "--socket", stale).returncode == UNREACHABLE
    assert ctl("status", "--socket", "/" + "x" * 200).returncode == UNREACHABLE


@pytest.mark.parametrize("answer", [
    b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
])
@pytest.mark.parametrize("words", [[], ["--json"]], ids=["text", "json"])
def test_what_is_no_balancer_is_said_so(ctl, directory, answer, words):
    path = directory / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        listener.bind(str(path))
        listener.listen()

        def serve():
            one, _ = listener.accept()
            with one:
                one.recv(65536)
                one.sendall(answer)
        served = pool.submit(serve)
        done = ctl("status", "--socket", path, *words)
        served.result()
    assert done.returncode == UNREACHABLE
    said, silent = (done.stdout, done.stderr) if words else (done.stderr, done.stdout)
    assert said.strip() and silent == ""
    assert not words or json.loads(said)["error"]


# Those who mean no good.

@pytest.mark.tsan
def test_hostile_clients_do_not_keep_others_out(bench):
    service = bench.service(echo)
    loble = bench.loble(service)
    idle = proc.sockets(loble.pid)
    dribblers = [raw(loble) for _ in range(100)]
    for number, one in enumerate(dribblers):
        one.send(b"GET /v1/status HTTP/1.1\r\nHost: x"[:number % 30 + 1])
    huge = raw(loble)
    with pytest.raises(OSError):
        for _ in range(2000):
            huge.send(b"X-Long: " + b"y" * 10000 + b"\r\n")
        raise OSError
    flood = [raw(loble) for _ in range(20)]
    for one in flood:
        one.send(b"GET /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n" * 50)  # and never reads
    assert loble.ask(b"through") == (b"through", END)
    assert loble.asks("status")["sessions"] == 0  # after a second one of them gives way
    for one in [huge, *dribblers, *flood]:
        one.close()
    until(lambda: proc.sockets(loble.pid) <= idle, lambda: "the connections to be gone")
    assert loble.asks("status")["phase"] == "running"


def test_noise_is_refused_and_costs_nothing(bench):
    loble = bench.loble(bench.service(echo))
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 4000, b"GET\r\n\r\n",
                  b"GET /v1/status HTTP/9.9\r\n\r\n", b"POST /v1/status HTTP/1.1\r\n"
                  b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"):
        one = raw(loble)
        one.sendall(noise)
        one.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := one.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        one.close()
        assert b" 200 " not in answer.split(b"\r\n")[0]
    assert loble.asks("status")["phase"] == "running"
    before = proc.cpu_seconds(loble.pid)
    time.sleep(0.5)
    assert proc.cpu_seconds(loble.pid) - before < 0.1 * SLOWNESS


# What changes something.

def rewrite(loble, **tables):
    loble.config = {**loble.config, **tables}
    loble.file.write_text(toml.dumps(loble.config))


@pytest.mark.tsan
def test_a_reload_is_waited_for_or_not(bench):
    line = bench.line()
    client, backend = line.open()
    second = bench.service(echo)
    rewrite(line.loble, backends=[*line.loble.config["backends"],
                                  {"name": "new", "address": str(second.address)}])
    done = line.loble.ctl("reload", "--wait")
    assert done.stdout.splitlines()[0] == "done"
    status = line.loble.asks("status")
    assert status["config"]["generation"] == 2
    assert status["config"]["last_reload_successful"] is True
    assert [one["backend"] for one in line.loble.asks("backends")["backends"]][1] == "new"
    rewrite(line.loble, backends=line.loble.config["backends"][:1])
    assert line.loble.ctl("reload").stdout == "accepted\n"
    until(lambda: line.loble.asks("status")["config"]["generation"] == 3,
          lambda: f"the reload to be over\n{line.loble.log}")
    answer = line.loble.asks("reload", "--wait")
    assert answer["accepted"] is True and answer["done"] is True
    client.send(b"still here")
    assert backend.receive(10) == b"still here"


def test_a_reload_that_fails_says_every_mistake(bench):
    loble = bench.loble(bench.service(echo))
    good = loble.file.read_text()
    loble.file.write_text(good + "\n[timeouts]\nidle = 5\nconect = \"1s\"\n")
    done = loble.ctl("reload", "--wait", check=False)
    assert done.returncode == INVALID and done.stdout == ""
    assert "loble.toml:" in done.stderr and "conect" in done.stderr and "idle" in done.stderr
    assert "^" in done.stderr
    done = loble.ctl("reload", "--wait", "--json", check=False)
    assert (done.returncode, done.stderr) == (INVALID, "")
    assert "conect" in json.loads(done.stdout)["error"]
    status, _, body = ask(loble, "/v1/reload?wait=true", "POST")
    assert status == 422 and "conect" in json.loads(body)["error"]
    config = loble.asks("status")["config"]
    assert config["last_reload_successful"] is False and config["generation"] == 1
    assert "refused" in loble.ctl("status").stdout
    loble.file.write_text(good)
    assert loble.ctl("reload", "--wait").returncode == 0


@pytest.mark.parametrize("kind, code, reason", [
    ("missing", NO_FILE, "no_file"),
    ("a directory", INVALID, "invalid"),
    ("forbidden", NOT_PERMITTED, "not_permitted"),
])
def test_a_file_that_cannot_be_read_has_the_exit_code_that_it_has_elsewhere(
        bench, kind, code, reason):
    wrapper = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    loble = bench.loble(bench.service(echo), options={"wrapper": wrapper})
    good = loble.file.read_text()
    if kind == "forbidden":
        loble.file.chmod(0)
    else:
        loble.file.unlink()
    if kind == "a directory":
        loble.file.mkdir()
    done = loble.ctl("reload", "--wait", check=False)
    assert done.returncode == code, done
    assert "loble.toml" in done.stderr
    done = loble.ctl("reload", "--wait", "--json", check=False)
    assert done.returncode == code and json.loads(done.stdout)["reason"] == reason
    assert ask(loble, "/v1/reload?wait=true", "POST")[0] == 422
    if kind == "a directory":
        loble.file.rmdir()
    else:
        loble.file.unlink(missing_ok=True)
    loble.file.write_text(good)
    assert loble.ctl("reload", "--wait").returncode == 0


def test_a_reload_that_cannot_be_is_refused(bench):
    loble = bench.loble(bench.service(echo))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        rewrite(loble, listener={"address": f"127.0.0.1:{taken.getsockname()[1]}"})
        done = loble.ctl("reload", "--wait", check=False)
    assert done.returncode == REFUSED, done
    assert "in use" in done.stderr
    assert loble.ask(b"x") == (b"x", END)


def test_many_reloads_at_once_are_all_answered(bench):
    loble = bench.loble(bench.service(echo))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, loble, "/v1/reload?wait=true", "POST") for _ in range(40)]
    for one in answers:
        assert one.result()[0] in (200, 503)
    assert sum(one.result()[0] == 200 for one in answers) >= 16
    assert loble.asks("status")["config"]["last_reload_successful"] is True


def test_only_a_post_reloads(bench):
    loble = bench.loble(bench.service(echo))
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        status, headers, _ = ask(loble, "/v1/reload", method)
        assert (status, headers["Allow"]) == (405, "POST")
    assert ask(loble, "/v1/reload?wait=maybe", "POST")[0] == 400
    assert ask(loble, "/v1/reload?now=true", "POST")[0] == 400
    assert loble.asks("status")["config"]["generation"] == 1
    assert ask(loble, "/v1/reload?wait=true", "POST", body=b"x" * 100000)[0] == 200


def test_who_leaves_before_the_answer_does_no_harm(bench):
    loble = bench.loble(bench.service(echo))
    for _ in range(100):
        one = raw(loble)
        one.sendall(b"POST /v1/reload?wait=true HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        one.close()
    assert loble.ctl("reload", "--wait").returncode == 0
    assert loble.ask(b"x") == (b"x", END)


@pytest.fixture
def own_binary(bench, directory):
    """A program file that the test may replace."""
    path = directory / "bin" / "loble"
    path.parent.mkdir()
    shutil.copy2(bench.binary, path)
    bench.binary = path
    return path


def test_an_upgrade_is_waited_for(bench, own_binary):
    line = bench.line()
    client, backend = line.open()
    before = line.loble.asks("status")
    assert before["upgrade"] == {"attempts": 0, "state": "none", "reason": None, "upgrades": 0}
    done = line.loble.ctl("upgrade", "--wait")
    assert done.stdout == f"done: version {before['version']}\n"
    after = line.loble.asks("status")
    assert after["upgrade"] == {"attempts": 1, "state": "done", "reason": None, "upgrades": 1}
    assert after["pid"] == before["pid"]
    assert after["worker"]["pid"] != before["worker"]["pid"]
    assert after["sessions"] == 1
    client.send(b"still here")
    assert backend.receive(10) == b"still here"
    answer = line.loble.asks("upgrade", "--wait")
    assert answer["attempt"] == answer["upgrade"]["attempts"] == 2
    assert answer["upgrade"]["state"] == "done"
    assert line.loble.asks("upgrade")["attempt"] == 3
    until(lambda: "3 done" in line.loble.ctl("status", check=False).stdout,
          lambda: f"the third upgrade\n{line.loble.log}")
    backend.send(b"and back")
    assert client.receive(8) == b"and back"


@pytest.mark.parametrize("kind", ["no program", "another program", "nothing"])
def test_an_upgrade_that_cannot_be_is_refused_with_the_reason(bench, own_binary, kind):
    line = bench.line()
    client, backend = line.open()
    good = own_binary.with_name("good")
    own_binary.rename(good)
    if kind == "no program":
        own_binary.write_bytes(b"this is no program\n")
        own_binary.chmod(0o755)
    elif kind == "another program":
        shutil.copy2("/bin/true", own_binary)
    line.loble.binary = good
    done = line.loble.ctl("upgrade", "--wait", check=False)
    assert done.returncode == REFUSED, done
    assert re.search(r"the upgrade was refused: \w+", done.stderr), done.stderr
    done = line.loble.ctl("upgrade", "--wait", "--json", check=False)
    assert done.returncode == REFUSED
    outcome = json.loads(done.stdout)
    assert outcome["upgrade"]["state"] == "refused" and outcome["upgrade"]["reason"]
    assert outcome["upgrade"]["reason"] in outcome["error"] and done.stderr == ""
    assert outcome["attempt"] == 2
    client.send(b"still here")
    assert backend.receive(10) == b"still here"
    if own_binary.exists():
        own_binary.unlink()
    shutil.copy2(good, own_binary)
    assert line.loble.ctl("upgrade", "--wait").returncode == 0


def test_without_a_supervisor_there_is_no_upgrade(bench):
    loble = bench.loble(bench.service(echo), server={"supervise": False, "workers": 1})
    done = loble.ctl("upgrade", "--wait", check=False)
    assert done.returncode == REFUSED and "supervise" in done.stderr
    done = loble.ctl("upgrade", "--json", check=False)
    assert (done.returncode, done.stderr) == (REFUSED, "")
    assert "supervise" in json.loads(done.stdout)["error"]
    status, headers, _ = ask(loble, "/v1/upgrade")
    assert (status, headers["Allow"]) == (405, "POST")
    assert loble.asks("status")["upgrade"]["attempts"] == 0
