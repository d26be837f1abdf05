"""A reload changes what it is told to, and no client notices: nothing is refused, reset or lost."""

import copy
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from harness import net, proc, toml
from harness.backends import echo
from harness.net import END, RESET, connect
from harness.survival import scrape, worker_of
from harness.torture import Torture, assert_nothing_wrong, program
from harness.wait import SLOWNESS, until


def full(bench, listeners, pools, **tables):
    """A configuration of the full form. A pool is a list of backends, by name and address."""
    idle = [(f"for {name}", net.free_address("abstract"), name) for name in pools
            if name not in [pool for _, _, pool in listeners]]
    return {
        "server": {"workers": 2},
        "metrics": {"address": str(net.free_tcp4())},
        "admin": {"socket": str(bench.directory / "admin.sock")},
        "listeners": [{"name": name, "address": str(where), "pool": pool}
                      for name, where, pool in [*listeners, *idle]],
        "pools": {name: {"backends": [{"name": one, "address": str(where)} for one, where in
                                      backends]} for name, backends in pools.items()},
        **tables,
    }


class Reloader:
    """A Loble whose configuration a test changes while it runs."""

    def __init__(self, loble):
        self.loble = loble
        self.config = copy.deepcopy(loble.config)

    def write(self, text=None):
        """As an operator should: never half a file."""
        new = self.loble.file.with_suffix(".new")
        new.write_text(text if text is not None else toml.dumps(self.config))
        os.replace(new, self.loble.file)

    def ended(self):
        return len(self.loble.events("config_loaded")) + len(self.loble.events("config_refused"))

    def signal(self, text=None):
        """Reloads and returns the event that says what became of it."""
        before = self.ended()
        self.write(text)
        self.loble.send_signal(signal.SIGHUP)
        until(lambda: self.ended() > before, lambda: f"a reload to end\n{self.loble.log}")
        events = self.loble.events("config_loaded") + self.loble.events("config_refused")
        return max(events, key=lambda event: event["time"])

    def apply(self, detail=None):
        event = self.signal()
        assert event["event"] == "config_loaded", event
        assert detail is None or event["detail"] == detail, event
        if self.config["metrics"] != self.loble.config["metrics"]:
            self.loble.config = copy.deepcopy(self.config)
            self.loble.wait_ready("/healthz")
        self.loble.config = copy.deepcopy(self.config)
        return event

    def refuse(self, text=None):
        event = self.signal(text)
        assert event["event"] == "config_refused", event
        self.config = copy.deepcopy(self.loble.config)
        return event


@pytest.fixture
def reloader(bench):
    def make(listeners, pools, **tables):
        return Reloader(bench.raw(full(bench, listeners, pools, **tables)))
    return make


def two_pools(bench, reloader, **tables):
    one, two = bench.greeter("one"), bench.greeter("two")
    where = net.free_tcp4()
    return reloader([("in", where, "one")],
                    {"one": [("a", one.address)], "two": [("a", two.address)]}, **tables), where


def closed(address):
    """Whether nobody listens there; a SYN that is dropped does not count."""
    try:
        connect(address, deadline=0.3).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False


@pytest.mark.asan
@pytest.mark.tsan
def test_a_listener_goes_to_another_pool_and_a_running_session_stays(bench, reloader):
    service, other = bench.service(echo), bench.greeter("other")
    where = net.free_tcp4()
    loble = reloader([("in", where, "a")],
                     {"a": [("x", service.address)], "b": [("x", other.address)]})
    client = bench.keep(connect(where))
    client.send(b"before")
    assert client.receive(6) == b"before"
    loble.config["listeners"][0]["pool"] = "b"
    loble.apply("listeners +0 -0 ~1")
    assert net.exchange(where, b"") == (b"other", END)
    client.send(b"after")
    assert client.receive(5) == b"after"
    client.finish()
    assert client.rest() == (b"", END)


@pytest.mark.asan
@pytest.mark.tsan
@pytest.mark.parametrize("kind", ["tcp4", "unix"])
def test_listeners_come_and_go(bench, reloader, kind):
    loble, where = two_pools(bench, reloader)
    more = net.free_address(kind)
    loble.config["listeners"].append({"name": "more", "address": str(more), "pool": "two"})
    loble.apply("listeners +1 -0 ~0")
    assert net.exchange(more, b"") == (b"two", END)
    assert net.exchange(where, b"") == (b"one", END)
    assert loble.loble.get("/readyz")[0] == 200
    loble.config["listeners"].pop()
    loble.apply("listeners +0 -1 ~0")
    until(lambda: closed(more), "the listener to close")
    if kind == "unix":
        until(lambda: not Path(more.sockaddr).exists(), "the file to be removed")
    assert net.exchange(where, b"") == (b"one", END)
    assert loble.loble.get("/readyz")[0] == 200
    loble.config["listeners"].append({"name": "more", "address": str(more), "pool": "one"})
    loble.apply()
    assert net.exchange(more, b"") == (b"one", END)
    loble.config["listeners"].pop()
    loble.apply()


@pytest.mark.asan
@pytest.mark.parametrize("change", ["nothing", "the pool"])
def test_a_unix_socket_whose_file_was_deleted_is_made_again(bench, reloader, change):
    service, other = bench.service(echo), bench.greeter("other")
    where = net.free_address("unix")
    loble = reloader([("in", where, "a")],
                     {"a": [("x", service.address)], "b": [("x", other.address)]})
    client = bench.keep(connect(where))
    client.send(b"before")
    assert client.receive(6) == b"before"
    sockets = proc.sockets(loble.loble.pid)
    worker = worker_of(loble.loble)
    os.kill(worker, signal.SIGSTOP)  # what connects now waits in the queue of the old socket
    try:
        queued = [bench.keep(connect(where)) for _ in range(5)]
        Path(where.sockaddr).unlink()
        loble.write()
        loble.loble.send_signal(signal.SIGHUP)
    finally:
        os.kill(worker, signal.SIGCONT)
    until(lambda: Path(where.sockaddr).exists(), "the file to be there again")
    assert net.exchange(where, b"new") == (b"new", END)
    for one in queued:
        one.send(b"queued")
        assert one.receive(6) == b"queued"
        one.finish()
        assert one.rest() == (b"", END)
    client.send(b"after")
    assert client.receive(5) == b"after"
    assert len(loble.loble.events("listener_remade", level="warn")) == 1
    before = loble.loble.value("loble_listener_connections_total", listener="in")
    if change == "the pool":
        loble.config["listeners"][0]["pool"] = "b"
        loble.apply("listeners +0 -0 ~1")
        assert net.exchange(where, b"") == (b"other", END)
        before += 1
    until(lambda: proc.sockets(loble.loble.pid) <= sockets, "the old one to be closed")
    assert Path(where.sockaddr).exists()
    # Nobody has connected to find out whether it lives.
    assert loble.loble.value("loble_listener_connections_total", listener="in") == before
    loble.apply("nothing has changed")
    assert len(loble.loble.events("listener_remade")) == 1


@pytest.mark.parametrize("kind", ["a file", "a live socket", "no directory"])
def test_what_has_taken_the_place_of_a_unix_socket_stays(bench, reloader, directory, kind):
    service = bench.greeter("one")
    place = directory / "place"
    place.mkdir()
    where, tcp = net.unix(str(place / "in.sock")), net.free_tcp4()
    loble = reloader([("in", where, "a"), ("tcp", tcp, "a")], {"a": [("x", service.address)]})
    path = place / "in.sock"
    path.unlink()
    taken = socket.socket(socket.AF_UNIX)
    if kind == "a file":
        path.write_text("mine")
    elif kind == "a live socket":
        taken.bind(str(path))
        taken.listen()
    else:
        place.rmdir()
    loble.config["pools"]["a"]["backends"][0]["weight"] = 7
    loble.apply("backends +0 -0 ~1")
    assert net.exchange(tcp, b"") == (b"one", END)
    if kind == "a file":
        assert path.read_text() == "mine"
    elif kind == "a live socket":
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        client.close()
    else:
        assert "No such file" in loble.loble.wait_event("listener_lost")["message"]
        place.mkdir()
        loble.apply("nothing has changed")
        assert net.exchange(where, b"") == (b"one", END)
    taken.close()


def test_an_address_goes_on_under_another_name(bench, reloader):
    loble, where = two_pools(bench, reloader)
    outcomes, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            outcomes.append(net.exchange(where, b""))
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for name in ("renamed", "again", "in"):
            loble.config["listeners"][0]["name"] = name
            loble.apply("listeners +1 -1 ~0")
            time.sleep(0.1)
    finally:
        stop.set()
        thread.join()
    assert len(outcomes) > 10
    assert all(outcome == (b"one", END) for outcome in outcomes)
    metrics = loble.loble.metrics()
    assert sum(metrics.get("loble_listener_connections_total", listener=name)
               for name in ("in", "renamed", "again")) == len(outcomes)


def test_a_listener_moves_to_another_address_and_back_at_once(bench, reloader):
    loble, first = two_pools(bench, reloader)
    second = net.free_tcp4()
    for where, old in ((second, first), (first, second)) * 3:
        loble.config["listeners"][0]["address"] = str(where)
        loble.apply("listeners +0 -0 ~1")
        assert net.exchange(where, b"") == (b"one", END)
    until(lambda: closed(second), "the other address to close")


def test_a_wildcard_becomes_an_address_of_its_own(bench, reloader):
    where = net.tcp4(net.own_host(), net.free_shared_port())
    loble = reloader([("in", where, "one")], {"one": [("a", bench.greeter("one").address)]})
    for host in ("0.0.0.0", where.host, "", where.host):
        loble.config["listeners"][0]["address"] = f"{host}:{where.port}"
        loble.apply("listeners +0 -0 ~1")
        assert net.exchange(where, b"") == (b"one", END)


@pytest.mark.asan
def test_what_is_wrong_is_said_with_its_place_and_changes_nothing(bench, reloader):
    loble, where = two_pools(bench, reloader)
    generation = loble.loble.value("loble_config_generation")
    event = loble.refuse(toml.dumps(loble.config) + "\nmistake = 1\n")
    line = toml.dumps(loble.config).count("\n") + 2
    assert f"loble.toml:{line}:1: error: unknown key 'mistake'" in event["detail"]
    assert any(f":{line}:1: error:" in one["message"]
               for one in loble.loble.events("config_problem"))
    metrics = loble.loble.metrics()
    assert metrics.get("loble_config_last_reload_successful") == 0
    assert metrics.get("loble_config_generation") == generation
    assert net.exchange(where, b"") == (b"one", END)
    loble.apply("nothing has changed")
    assert loble.loble.value("loble_config_last_reload_successful") == 1
    assert loble.loble.value("loble_config_generation") == generation


def test_what_takes_a_restart_is_refused_by_name(bench, reloader):
    loble, where = two_pools(bench, reloader)
    loble.config["server"] = {"workers": 3, "max_sessions": 77, "watchdog": "9s"}
    loble.config["pools"]["one"]["backends"][0]["weight"] = 9
    event = loble.refuse()
    for name in ("server.workers", "server.max_sessions", "server.watchdog", "restart"):
        assert name in event["detail"]
    assert loble.loble.value("loble_backend_weight", pool="one", backend="a") == 1
    assert net.exchange(where, b"") == (b"one", END)


def test_the_values_of_what_takes_a_restart_are_said(bench, reloader):
    loble, _ = two_pools(bench, reloader)
    loble.config["server"] = {"workers": 3}
    loble.config["logging"] = {"file": str(bench.directory / ("x" * 100))}
    loble.write()
    done = loble.loble.ctl("reload", "--wait", check=False)
    assert done.returncode == 78
    assert "server.workers (2 -> 3), logging.file (unset -> \"/" in done.stderr
    [event] = loble.loble.events("config_refused")
    assert event["detail"] == "a change of server.workers, logging.file takes a restart"
    assert any("(2 -> 3)" in one["message"] for one in loble.loble.events("config_problem"))
    loble.config["logging"] = {}
    loble.write()
    loble.loble.ctl("reload", "--wait", check=False)
    event = loble.loble.events("config_refused")[-1]
    assert event["detail"] == "a change of server.workers (2 -> 3) takes a restart"


def test_an_address_that_is_taken_refuses_all_of_it(bench, reloader):
    loble, where = two_pools(bench, reloader)
    fresh, taken = net.free_tcp4(), bench.manual()
    sockets = proc.sockets(loble.loble.pid)
    loble.config["pools"]["one"]["backends"][0]["weight"] = 9
    for name, address in (("fresh", fresh), ("taken", taken.address)):
        loble.config["listeners"].append({"name": name, "address": str(address), "pool": "one"})
    event = loble.refuse()
    assert 'listener "taken"' in event["detail"]
    assert closed(fresh)
    assert loble.loble.value("loble_backend_weight", pool="one", backend="a") == 1
    assert net.exchange(where, b"") == (b"one", END)
    until(lambda: proc.sockets(loble.loble.pid) == sockets, "all to be closed again")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
def test_a_low_port_after_the_rights_were_given_up_is_refused(bench, reloader):
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 900:
        pytest.skip("low ports are for everyone here")
    service, where = bench.greeter("one"), net.free_tcp4()
    os.chmod(bench.directory, 0o755)
    loble = reloader([("in", where, "p")], {"p": [("a", service.address)]},
                     server={"workers": 2, "user": "nobody"})
    loble.config["listeners"].append({"name": "low", "address": f"{net.own_host()}:899"})
    event = loble.refuse()
    assert 'listener "low"' in event["detail"]
    assert "CAP_NET_BIND_SERVICE" in loble.loble.events("config_problem")[-1]["message"]
    assert net.exchange(where, b"") == (b"one", END)
    loble.config["listeners"].append({"name": "high", "address": str(net.free_tcp4())})
    loble.apply("listeners +1 -0 ~0")
    loble.config["listeners"].pop()
    loble.apply("listeners +0 -1 ~0")


def test_nothing_is_published_when_nothing_has_changed(bench, reloader):
    loble, _ = two_pools(bench, reloader)
    version = loble.loble.value("loble_snapshot_version")
    for _ in range(3):
        loble.apply("nothing has changed")
    assert loble.loble.value("loble_snapshot_version") == version


def test_backends_come_go_and_change_their_weight(bench, reloader):
    greeters = [bench.greeter(name) for name in "abc"]
    where = net.free_tcp4()
    loble = reloader([("in", where, "p")], {"p": [("a", greeters[0].address)]})
    pool = loble.config["pools"]["p"]["backends"]

    def shares(count):
        heard = [net.exchange(where, b"").data.decode() for _ in range(count)]
        return {name: heard.count(name) for name in set(heard)}
    assert shares(4) == {"a": 4}
    pool.append({"name": "b", "address": str(greeters[1].address), "weight": 3})
    loble.apply("backends +1 -0 ~0")
    assert shares(8) == {"a": 2, "b": 6}
    pool[0]["weight"] = 3
    pool.append({"name": "c", "address": str(greeters[2].address)})
    loble.apply("backends +1 -0 ~1")
    assert shares(14) == {"a": 6, "b": 6, "c": 2}
    before = loble.loble.metrics()
    assert before.get("loble_backend_connections_total", pool="p", backend="a") == 4 + 2 + 6
    pool.pop(0)
    loble.apply("backends +0 -1 ~0")
    assert shares(8) == {"b": 6, "c": 2}
    after = loble.loble.metrics()
    assert not after.matching("loble_backend_connections_total", pool="p", backend="a")
    assert after.get("loble_pool_backends", pool="p", state="healthy") == 2


def test_a_removed_backend_is_shown_until_its_last_session_ends(bench, reloader):
    service, other = bench.service(echo), bench.greeter("other")
    where = net.free_tcp4()
    loble = reloader([("in", where, "p")],
                     {"p": [("a", service.address), ("b", other.address)]})
    loble.config["pools"]["p"]["backends"][1]["weight"] = 0
    loble.apply()
    client = bench.keep(connect(where))
    client.send(b"x")
    assert client.receive(1) == b"x"
    loble.config["pools"]["p"]["backends"] = [{"name": "b", "address": str(other.address)}]
    loble.apply()
    assert net.exchange(where, b"") == (b"other", END)
    assert loble.loble.value("loble_backend_connections_active", pool="p", backend="a") == 1
    client.send(b"y")
    assert client.receive(1) == b"y"
    client.finish()
    assert client.rest() == (b"", END)
    until(lambda: not loble.loble.metrics().matching(
        "loble_backend_connections_active", pool="p", backend="a"), "its series to end")


def test_health_and_counters_stay_where_the_names_stay(bench, reloader):
    dead, alive = net.free_tcp4(), bench.greeter("alive")
    where = net.free_tcp4()
    loble = reloader([("in", where, "p")], {"p": [("dead", dead), ("alive", alive.address)]},
                     health={"failure_threshold": 1, "probe_interval": "1h", "flap_window": "1h"})
    for _ in range(4):
        assert net.exchange(where, b"") == (b"alive", END)
    loble.loble.wait_health("unhealthy", "dead", "p")
    failures = loble.loble.value("loble_backend_connect_failures_total", pool="p", backend="dead",
                                 reason="refused")
    loble.config["pools"]["p"]["retries"] = 1
    loble.apply("pools +0 -0 ~1")
    assert loble.loble.health("dead", "p") == "unhealthy"
    for _ in range(4):
        assert net.exchange(where, b"") == (b"alive", END)
    assert loble.loble.value("loble_backend_connect_failures_total", pool="p", backend="dead",
                             reason="refused") == failures
    loble.config["pools"]["p"]["backends"][0]["address"] = str(bench.greeter("new").address)
    loble.apply("backends +0 -0 ~1")
    assert loble.loble.health("dead", "p") == "healthy"
    assert {net.exchange(where, b"").data for _ in range(4)} == {b"new", b"alive"}


def test_an_unhealthy_backend_comes_back_after_a_reload(bench, reloader):
    backend, alive = bench.greeter("back"), bench.greeter("alive")
    where = net.free_tcp4()
    loble = reloader([("in", where, "p")],
                     {"p": [("back", backend.address), ("alive", alive.address)]},
                     health={"failure_threshold": 1, "success_threshold": 1,
                             "probe_interval": "100ms"})
    backend.stop()
    for _ in range(4):
        assert net.exchange(where, b"") == (b"alive", END)
    loble.loble.wait_health("unhealthy", "back", "p")
    loble.config["timeouts"] = {"drain": "10s"}
    loble.apply("1 option")
    backend.start()
    loble.loble.wait_health("healthy", "back", "p")


def test_reloads_do_not_keep_probes_from_being_sent(bench, reloader):
    backend, alive = bench.greeter("back"), bench.greeter("alive")
    where = net.free_tcp4()
    loble = reloader([("in", where, "p")],
                     {"p": [("back", backend.address), ("alive", alive.address)]},
                     health={"failure_threshold": 1, "success_threshold": 2,
                             "probe_interval": "500ms"})
    backend.stop()
    for _ in range(4):
        assert net.exchange(where, b"") == (b"alive", END)
    loble.loble.wait_health("unhealthy", "back", "p")
    backend.start()
    end = time.monotonic() + 10 * SLOWNESS
    number = 0
    while loble.loble.health("back", "p") != "healthy":
        assert time.monotonic() < end
        number += 1
        loble.config["timeouts"] = {"drain": f"{20 + number}s"}
        loble.apply("1 option")
        time.sleep(0.1)
    assert number > 3


@pytest.mark.parametrize("count", [2, 5])
def test_signals_in_quick_succession(bench, reloader, count):
    loble, where = two_pools(bench, reloader)
    loble.config["pools"]["one"]["backends"][0]["weight"] = 7
    loble.write()
    for _ in range(count):
        loble.loble.send_signal(signal.SIGHUP)
    until(lambda: loble.loble.value("loble_backend_weight", pool="one", backend="a") == 7,
          "the last word to hold")
    loble.loble.config = copy.deepcopy(loble.config)
    assert net.exchange(where, b"") == (b"one", END)


def test_while_it_stops_a_reload_is_refused(bench, reloader):
    service = bench.service(echo)
    where = net.free_tcp4()
    loble = reloader([("in", where, "p")], {"p": [("a", service.address)]})
    client = bench.keep(connect(where))
    client.send(b"x")
    assert client.receive(1) == b"x"
    loble.loble.send_signal(signal.SIGTERM)
    loble.loble.wait_event("process_stopping")
    loble.loble.send_signal(signal.SIGHUP)
    assert "stopping" in loble.loble.wait_event("config_refused")["detail"]
    client.send(b"y")
    assert client.receive(1) == b"y"
    client.finish()
    assert client.rest() == (b"", END)
    assert loble.loble.wait_exit() == 0
    loble.loble.check_log()


def test_without_a_file_there_is_nothing_to_reload(bench):
    backend, where = bench.greeter("only"), net.free_tcp4()
    loble = bench.raw("", arguments=["--listen", str(where), "--backend", str(backend.address)],
                      ready=None)
    until(lambda: not closed(where), "the listener to open")
    loble.send_signal(signal.SIGHUP)
    until(lambda: any("config_refused" in line for line in loble.lines), "the answer")
    assert any("no configuration file" in line for line in loble.lines)
    assert net.exchange(where, b"") == (b"only", END)


def test_metrics_move(bench, reloader):
    loble, _ = two_pools(bench, reloader)
    old = loble.loble.metrics_address
    loble.config["metrics"] = {"address": str(net.free_tcp4())}
    loble.apply("1 option")
    until(lambda: closed(old), "the old address to close")
    assert loble.loble.value("loble_config_generation") == 2
    taken = bench.manual()
    loble.config["metrics"] = {"address": str(taken.address)}
    loble.refuse()
    assert loble.loble.value("loble_config_generation") == 2


def test_the_log_level_and_the_access_log_change(bench, reloader):
    loble, where = two_pools(bench, reloader)
    net.exchange(where, b"")
    loble.config["access_log"] = {"enabled": True}
    loble.apply("1 option")
    net.exchange(where, b"")
    loble.loble.wait_event("session")
    assert len(loble.loble.events("session")) == 1
    loble.config["access_log"] = {"enabled": False}
    loble.apply()
    net.exchange(where, b"")
    loble.config["logging"] = {"level": "error"}
    loble.write()
    loble.loble.send_signal(signal.SIGHUP)
    until(lambda: loble.loble.value("loble_config_generation") == 4, "the reload")
    assert len(loble.loble.events("session")) == 1
    lines = len(loble.loble.lines)
    loble.loble.send_signal(signal.SIGHUP)
    time.sleep(0.3 * SLOWNESS)
    assert len(loble.loble.lines) == lines


@pytest.mark.parametrize("before,after", [("1h", "500ms"), ("off", "500ms")])
def test_a_shorter_idle_timeout_reaches_sessions_that_run(bench, reloader, before, after):
    service, where = bench.service(echo), net.free_tcp4()
    loble = reloader([("in", where, "p")], {"p": [("a", service.address)]},
                     timeouts={"idle": before})
    client = bench.keep(connect(where))
    client.send(b"x")
    assert client.receive(1) == b"x"
    time.sleep(1.2)
    loble.config["timeouts"] = {"idle": after}
    loble.apply("listeners +0 -0 ~1")
    assert client.rest() == (b"", END)


def test_sessions_of_a_removed_listener_keep_its_idle_timeout(bench, reloader):
    service, where, other = bench.service(echo), net.free_tcp4(), net.free_tcp4()
    loble = reloader([("in", where, "p"), ("gone", other, "p")], {"p": [("a", service.address)]})
    loble.config["listeners"][1]["idle"] = "2s"
    loble.apply()
    client = bench.keep(connect(other))
    client.send(b"x")
    assert client.receive(1) == b"x"
    loble.config["listeners"].pop()
    loble.apply("listeners +0 -1 ~0")
    start = time.monotonic()
    assert client.rest() == (b"", END)
    assert time.monotonic() - start > 1.0


def test_a_listeners_limit_counts_who_came_before_it_was_set(bench, reloader):
    service, where = bench.service(echo), net.free_tcp4()
    loble = reloader([("in", where, "p")], {"p": [("a", service.address)]})
    clients = [bench.keep(connect(where)) for _ in range(2)]
    for client in clients:
        client.send(b"x")
        assert client.receive(1) == b"x"
    loble.config["listeners"][0]["max_connections"] = 2
    loble.apply("listeners +0 -0 ~1")
    refused = bench.keep(connect(where))
    assert refused.rest() == (b"", RESET)
    loble.config["listeners"][0]["max_connections"] = 3
    loble.apply()
    assert net.exchange(where, b"y") == (b"y", END)


@pytest.mark.parametrize("drain", ["off", "1s"])
def test_sessions_of_a_removed_backend_end_only_with_backend_drain(bench, reloader, drain):
    service, other, where = bench.service(echo), bench.greeter("other"), net.free_tcp4()
    loble = reloader([("in", where, "p")], {"p": [("a", service.address)]},
                     timeouts={"backend_drain": drain})
    client = bench.keep(connect(where))
    client.send(b"x")
    assert client.receive(1) == b"x"
    loble.config["pools"]["p"]["backends"] = [{"name": "b", "address": str(other.address)}]
    start = time.monotonic()
    loble.apply("backends +1 -1 ~0")
    if drain == "off":
        time.sleep(1.5)
        client.send(b"y")
        assert client.receive(1) == b"y"
        return
    assert client.rest() == (b"", RESET)
    assert 0.7 < time.monotonic() - start < 1.6 * SLOWNESS
    assert loble.loble.value("loble_sessions_closed_total", pool="p", by="proxy",
                             reason="drain") == 1


def test_what_waits_in_the_queue_of_a_removed_listener_is_served(bench, reloader):
    greeter, where, gone = bench.greeter("served"), net.free_tcp4(), net.free_tcp4()
    loble = reloader([("in", where, "p"), ("gone", gone, "q")],
                     {"p": [("a", greeter.address)], "q": [("a", greeter.address)]})
    before = loble.ended()
    del loble.config["listeners"][1]
    del loble.config["pools"]["q"]
    loble.write()
    loble.loble.pause()
    clients = [bench.keep(connect(gone)) for _ in range(50)]
    loble.loble.send_signal(signal.SIGHUP)
    loble.loble.resume()
    until(lambda: loble.ended() > before, "the reload")
    loble.loble.config = copy.deepcopy(loble.config)
    for client in clients:
        client.finish()
        assert client.rest() == (b"served", END)


def change(config, number, spares):
    """Another configuration, each time another kind of change."""
    backends = config["pools"]["p"]["backends"]
    kind = number % 8
    if kind == 0:
        backends[0]["weight"] = 1 + number % 5
    elif kind == 1:
        backends.append({"name": f"spare{number}", "address": str(spares[0])})
    elif kind == 2:
        backends.pop()
    elif kind == 3:
        config["listeners"][0]["name"] = f"in{number}"
    elif kind == 4:
        config["listeners"].append(
            {"name": f"more{number}", "address": str(spares[1]), "pool": "p"})
    elif kind == 5:
        config["listeners"].pop()
    elif kind == 6:
        config["pools"]["p"]["algorithm"] = "random" if number % 16 == 6 else "round_robin"
        config["timeouts"] = {"connect": f"{3 + number % 3}s", "drain": f"{20 + number}s"}
    else:
        pool = config["listeners"][0]["pool"]
        config["pools"]["p" if pool == "q" else "q"] = copy.deepcopy(config["pools"][pool])
        config["listeners"][0]["pool"] = "q" if pool == "p" else "p"
        if pool == "q":
            del config["pools"]["q"]


def run_reloads(bench, reloader, binary, count, rate, gap):
    """Reloads under load; what was open, and how much memory, before and after."""
    if not program(binary).exists():
        pytest.skip("the torture is not built")
    behind = [net.free_tcp4() for _ in range(3)]
    where, spares = net.free_tcp4(), [behind[2], net.free_tcp4()]
    loble = reloader([("in", where, "p")], {"p": [("a", behind[0]), ("b", behind[1])]})
    sockets = proc.sockets(loble.loble.pid)
    torture = bench.keep(Torture(binary, [where], behind, sessions=200, rate=rate, life=2000))
    time.sleep(1.5)
    for number in range(count):
        if number == count // 5:
            memory = proc.pss_bytes(loble.loble.pid)
        change(loble.config, number, spares)
        loble.apply()
        time.sleep(gap)
    grown = proc.pss_bytes(loble.loble.pid) - memory
    report = torture.stop()
    assert_nothing_wrong(report, torture.errors)
    assert report["client"]["classes"]["short"] > rate * gap * count * 0.5 / SLOWNESS
    # With listeners and pools kept for a while, and what the allocator keeps of its own. A
    # sanitizer keeps all that was freed.
    assert SLOWNESS > 1 or grown < 8 << 20, grown
    until(lambda: proc.sockets(loble.loble.pid) <= sockets,
          lambda: f"{proc.sockets(loble.loble.pid)} sockets to become {sockets}")
    return loble


def test_reloads_under_load(bench, reloader, binary):
    run_reloads(bench, reloader, binary, count=40, rate=2000, gap=0.15)


@pytest.mark.long
def test_a_hundred_reloads_under_load(bench, reloader, binary):
    run_reloads(bench, reloader, binary, count=100, rate=2000, gap=1.0)


def test_who_dies_after_a_reload_is_followed_by_what_was_reloaded(bench, reloader):
    loble, where = two_pools(bench, reloader)
    more = net.free_tcp4()
    loble.config["listeners"].append({"name": "more", "address": str(more), "pool": "two"})
    loble.config["pools"]["one"]["backends"][0]["weight"] = 9
    loble.apply("listeners +1 -0 ~0, backends +0 -0 ~1")
    before = loble.loble.worker
    loble.loble.file.write_text("not a configuration")
    os.kill(before, signal.SIGKILL)
    until(lambda: loble.loble.worker not in (before, loble.loble.pid), "another worker process")
    loble.loble.wait_ready()
    assert net.exchange(more, b"") == (b"two", END)
    assert net.exchange(where, b"") == (b"one", END)
    metrics = loble.loble.metrics()
    assert metrics.get("loble_backend_weight", pool="one", backend="a") == 9
    assert metrics.get("loble_config_generation") == 2
    assert metrics.get("loble_worker_restarts_total") == 1
    loble.config["listeners"].pop()
    loble.apply("listeners +0 -1 ~0")
    until(lambda: closed(more), "the listener to close")
    assert net.exchange(where, b"") == (b"one", END)


def test_an_order_to_reload_is_not_lost_with_a_worker_process_that_dies(bench, reloader):
    loble, _ = two_pools(bench, reloader)
    one = loble.loble
    for attempt in range(1, 17):
        loble.config["pools"]["one"]["backends"][0]["weight"] = 1 + attempt
        one.file.write_text(toml.dumps(loble.config))
        os.kill(until(lambda: worker_of(one), "a worker process"), signal.SIGKILL)
        time.sleep(0.0005 * (attempt % 8))
        one.send_signal(signal.SIGHUP)
        one.wait_event("config_loaded", count=attempt + 1)
    assert scrape(one).get("loble_backend_weight", pool="one", backend="a") == 17
    assert not one.events("config_refused")


def test_who_dies_while_a_listener_closes_is_followed_by_who_closes_it(bench, reloader):
    loble, where = two_pools(bench, reloader)
    more = net.free_tcp4()
    for _ in range(3):
        loble.config["listeners"].append({"name": "more", "address": str(more), "pool": "two"})
        loble.apply("listeners +1 -0 ~0")
        assert net.exchange(more, b"") == (b"two", END)
        loble.config["listeners"].pop()
        before = loble.loble.worker
        loble.apply("listeners +0 -1 ~0")
        os.kill(before, signal.SIGKILL)
        until(lambda: loble.loble.worker not in (before, loble.loble.pid), "the next one")
        loble.loble.wait_ready()
        until(lambda: closed(more), "the listener to close")
        assert net.exchange(where, b"") == (b"one", END)


def test_reloads_and_deaths_under_load(bench, reloader, binary):
    if not program(binary).exists():
        pytest.skip("the torture is not built")
    behind = [net.free_tcp4() for _ in range(3)]
    where, spares = net.free_tcp4(), [behind[2], net.free_tcp4()]
    loble = reloader([("in", where, "p")], {"p": [("a", behind[0]), ("b", behind[1])]})
    torture = bench.keep(Torture(binary, [where], behind, sessions=100, rate=300, life=2000))
    time.sleep(1)
    for number in range(16):
        change(loble.config, number, spares)
        loble.apply()
        if number % 4 == 3:
            before = loble.loble.worker
            os.kill(before, signal.SIGKILL)
            until(lambda: loble.loble.worker not in (before, loble.loble.pid), "the next one")
            loble.loble.wait_ready()
        time.sleep(0.1)
    report = torture.stop()
    assert_nothing_wrong(report, torture.errors)
