"""What /metrics, /healthz and /readyz say: exact once sessions have ended."""

import collections
import shutil
import subprocess
import time

import promtext
import pytest

from harness import metrics, net, proc
from harness.backends import echo
from harness.net import END
from harness.paths import BULK, TCP, data, every_way
from harness.wait import until

COUNTERS = [
    "loble_listener_connections_total", "loble_listener_received_bytes_total",
    "loble_listener_sent_bytes_total", "loble_listener_connections_rejected_total",
    "loble_backend_connections_total", "loble_backend_connect_failures_total",
    "loble_backend_received_bytes_total", "loble_backend_sent_bytes_total",
    "loble_backend_transitions_total", "loble_backend_checks_total", "loble_pool_retries_total",
    "loble_pool_no_backend_total", "loble_sessions_closed_total",
]
GAUGES = [
    "loble_listener_connections_active", "loble_backend_connections_active",
    "loble_backend_state", "loble_backend_admin_state", "loble_backend_weight",
    "loble_pool_backends", "loble_snapshot_version", "loble_build_info",
    "loble_config_generation", "loble_config_last_reload_successful",
    "loble_config_last_reload_timestamp_seconds",
]


@pytest.mark.asan
@pytest.mark.tsan
@every_way
def test_bytes_and_connections_are_exact_once_sessions_have_ended(bench, way):
    line = bench.line(way)
    up = down = 0
    for number, (sent, answered) in enumerate([(0, 0), (1, 0), (0, 1), (7000, 3), (BULK, BULK)], 1):
        client, backend = line.open()
        sends = [client.sending(data(sent, 1), finish=True),
                 backend.sending(data(answered, 2), finish=True)]
        reads = [client.receiving(), backend.receiving()]
        assert reads[0].result() == (data(answered, 2), END)
        assert reads[1].result() == (data(sent, 1), END)
        for one in sends:
            one.result()
        up, down = up + sent, down + answered
        line.loble.wait_value("loble_listener_connections_active", 0)
        now = line.loble.metrics()
        name = str(line.backend.address)
        assert now("loble_listener_connections_total", listener="default") == number
        assert now("loble_listener_received_bytes_total", listener="default") == up
        assert now("loble_listener_sent_bytes_total", listener="default") == down
        assert now("loble_backend_connections_total", pool="default", backend=name) == number
        assert now("loble_backend_sent_bytes_total", pool="default", backend=name) == up
        assert now("loble_backend_received_bytes_total", pool="default", backend=name) == down
        assert now("loble_backend_connections_active", pool="default", backend=name) == 0
        assert now("loble_sessions_closed_total", reason="end") == number
        assert now("loble_sessions_closed_total") == number
        assert now("loble_session_duration_seconds_count", pool="default") == number
        assert now("loble_backend_connect_duration_seconds_count", backend=name) == number


def test_who_closed_and_why_is_told_apart(bench):
    line = bench.line()

    def closed(by, reason):
        return line.loble.wait_value("loble_sessions_closed_total", 1, by=by, reason=reason)
    client, backend = line.open()
    client.finish()
    assert backend.rest() == (b"", END)
    backend.finish()
    assert client.rest() == (b"", END)
    closed("client", "end")
    client, backend = line.open()
    backend.finish()
    assert client.rest() == (b"", END)
    client.finish()
    assert backend.rest() == (b"", END)
    closed("backend", "end")
    client, backend = line.open()
    client.reset()
    closed("client", "reset")
    client, backend = line.open()
    client.send(b"x")
    assert backend.receive(1) == b"x"
    backend.reset()
    total = closed("backend", "reset")
    assert total("loble_sessions_closed_total") == 4


def test_bytes_are_counted_within_a_second_of_moving_and_not_at_the_end(bench):
    line = bench.line()
    client, backend = line.open()
    client.send(data(5000))
    assert backend.receive(5000) == data(5000)
    start = time.monotonic()
    now = line.loble.wait_value("loble_listener_received_bytes_total", 5000)
    assert time.monotonic() - start < 2
    assert now("loble_backend_sent_bytes_total") == 5000
    assert now("loble_listener_connections_active") == 1
    assert now("loble_backend_connections_active") == 1
    for _ in range(3):  # bulk, too
        upload = client.sending(data(BULK))
        assert backend.receive(BULK) == data(BULK)
        upload.result()
    line.loble.wait_value("loble_backend_sent_bytes_total", 5000 + 3 * BULK)


def test_active_counts_connections_that_are_being_made(bench):
    hole = bench.blackhole()
    loble = bench.loble(hole, timeouts={"connect": "30s", "connect_total": "30s"})
    client = bench.keep(loble.connect())
    now = loble.wait_value("loble_backend_connections_active", 1)
    assert now("loble_backend_connections_total") == 0
    client.reset()
    loble.wait_value("loble_backend_connections_active", 0)


def test_every_series_that_a_dashboard_needs_is_there_from_the_start(bench):
    loble = bench.loble(net.free_tcp4(), {"name": "named", "address": str(net.free_tcp4()),
                                         "weight": 7})
    now = loble.metrics()
    for name in COUNTERS:
        assert now(name) == 0, name
    for name in GAUGES:
        assert now.matching(name), name
    assert now("loble_backend_weight", backend="named") == 7
    assert now("loble_pool_backends", pool="default", state="healthy") == 2
    assert now("loble_build_info") == 1
    assert now("loble_config_last_reload_successful") == 1
    edges = {(dict(key)["from"], dict(key)["to"])
             for key in now.matching("loble_backend_transitions_total", backend="named")}
    assert edges == {("healthy", "draining"), ("healthy", "unhealthy"), ("draining", "unhealthy"),
                     ("draining", "healthy"), ("unhealthy", "healthy")}
    for reason in ("refused", "timeout", "unreachable", "reset", "resource"):
        assert now("loble_backend_connect_failures_total", backend="named", reason=reason) == 0
    for result in ("success", "refused", "timeout", "error"):
        assert now("loble_backend_checks_total", backend="named", result=result) == 0
    for reason in ("limit", "descriptors", "memory"):
        assert now("loble_listener_connections_rejected_total", reason=reason) == 0
    for needed in ("process_cpu_seconds_total", "process_resident_memory_bytes",
                   "process_open_fds", "process_max_fds", "process_start_time_seconds"):
        assert now(needed) > 0, needed


def test_histograms_are_cumulative_and_have_the_promised_bounds(bench):
    service = bench.service(echo)
    loble = bench.loble(service)
    for _ in range(5):
        loble.ask(b"x")
    loble.wait_value("loble_session_duration_seconds_count", 5)
    now = loble.metrics()
    for name, bounds in (
            ("loble_backend_connect_duration_seconds",
             [scale * 10.0 ** power for power in range(-4, 1) for scale in (1, 2.5, 5)] + [10]),
            ("loble_session_duration_seconds",
             [10.0 ** power for power in range(-3, 5)] + [86400])):
        found = {dict(key)["le"]: value for key, value in now.matching(f"{name}_bucket").items()}
        limits = sorted(float(le) for le in found)
        assert limits[:-1] == pytest.approx(bounds)
        values = [found[le] for le in sorted(found, key=float)]
        assert values == sorted(values)
        assert values[-1] == now(f"{name}_count") == 5
        assert now(f"{name}_sum") > 0


def test_counters_never_go_back(bench):
    service = bench.service(echo)
    loble = bench.loble(service, server={"workers": 2})
    last = loble.metrics()
    for _ in range(25):
        loble.ask(b"x")
        now = loble.metrics()
        promtext.check_monotonic(last.families, now.families)
        last = now


@pytest.mark.asan
def test_promtool_finds_nothing_to_say(bench):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    service = bench.service(echo)
    loble = bench.loble(service)
    loble.ask(b"x")
    _, text = loble.get("/metrics")
    done = subprocess.run([promtool, "check", "metrics"], input=text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_names_with_odd_characters_are_escaped(bench):
    greeter = bench.greeter("odd")
    name = 'a "quoted" \\ back'
    loble = bench.raw({
        "listener": {"address": str(net.free_tcp4())},
        "metrics": {"address": str(net.free_tcp4())},
        "backends": [{"name": name, "address": str(greeter.address)}]}, ready=None)
    try:
        loble.wait_ready()
    except AssertionError:  # a name with such characters may be refused, but then as a mistake
        assert loble.wait_exit() == 65
        loble.checked = True
        return
    assert loble.value("loble_backend_weight", backend=name) == 1


# Health of the process.

def test_healthz_and_readyz_say_yes_and_other_paths_are_not_found(bench):
    loble = bench.loble(bench.service(echo))
    assert loble.get("/healthz")[0] == 200
    assert loble.get("/readyz")[0] == 200
    assert loble.get("/metrics")[0] == 200
    assert loble.get("/nothing")[0] == 404
    assert loble.get("/metrics/../etc/passwd")[0] in (400, 404)


def raw_request(address, request):
    with net.connect(address) as client:
        client.send(request)
        client.finish()
        return client.rest().data


def test_head_and_wrong_methods_are_answered_as_http_wants(bench):
    loble = bench.loble(bench.service(echo))
    where = loble.metrics_address
    head = raw_request(where, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert head.split(b"\r\n\r\n", 1)[1] == b""
    posted = raw_request(where, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                                b"Connection: close\r\n\r\n")
    assert posted.startswith(b"HTTP/1.1 405")


def test_the_content_type_is_that_of_the_text_format(bench):
    loble = bench.loble(bench.service(echo))
    got = raw_request(loble.metrics_address,
                      b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head = got.split(b"\r\n\r\n", 1)[0].lower()
    assert b"content-type: text/plain; version=0.0.4" in head


@pytest.mark.asan
@pytest.mark.parametrize("garbage", [
    b"\0" * 1000, b"GET\r\n\r\n", b"GET " + b"/" * 100_000, b"\r\n" * 5000,
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
], ids=["nulls", "no-path", "long-path", "newlines", "many-headers", "tls", "length"])
def test_hostile_requests_hurt_nobody(bench, garbage):
    service = bench.service(echo)
    loble = bench.loble(service)
    for _ in range(5):
        with net.connect(loble.metrics_address) as client:
            try:
                client.send(garbage)
                client.finish()
                client.sock.settimeout(0.5)
                client.rest()
            except OSError:
                pass
    assert loble.get("/healthz")[0] == 200
    assert loble.ask(b"x") == (b"x", END)


@pytest.mark.asan
def test_clients_of_the_metrics_port_that_dribble_or_flood_do_not_touch_traffic(bench):
    service = bench.service(echo)
    loble = bench.loble(service)
    slow = [bench.keep(net.connect(loble.metrics_address)) for _ in range(200)]
    for number in range(8):
        for client in slow:
            try:
                client.send(b"GET /metrics HTTP/1.1\r\n"[number:number + 1])
            except OSError:
                continue
        start = time.monotonic()
        assert loble.ask(b"ping") == (b"ping", END)
        assert time.monotonic() - start < 2
    greedy = []
    for _ in range(50):  # ask and never read
        client = bench.keep(net.connect(loble.metrics_address, receive_buffer=2048))
        try:
            client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        except OSError:
            continue
        greedy.append(client)
    assert loble.ask(b"ping") == (b"ping", END)
    for client in slow + greedy:
        client.close()
    until(lambda: answers(loble), "a scrape after the attack")
    loble.wait_sessions_gone()


def answers(loble):
    try:
        return metrics.get(loble.metrics_address, "/metrics", timeout=2)[0] == 200
    except OSError:
        return False


def test_slow_clients_of_the_metrics_port_are_let_go_in_the_end(bench):
    loble = bench.loble(bench.service(echo))
    client = bench.keep(net.connect(loble.metrics_address))
    client.send(b"GET /met")
    client.sock.settimeout(90)
    assert client.rest().data[:9] in (b"", b"HTTP/1.1 ", b"HTTP/1.0 ")


def test_without_a_metrics_table_nothing_else_listens(bench):
    service = bench.service(echo)
    listener = net.free_tcp4()
    loble = bench.raw({"listener": {"address": str(listener)},
                       "backends": [{"address": str(service.address)}]}, ready=None)
    until(lambda: connects(listener), "the listener")
    assert net.exchange(listener, b"x") == (b"x", END)
    inodes = {target for target in proc.descriptors(loble.pid).values()
              if target.startswith("socket:")}
    listening = collections.Counter()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for entry in list(table)[1:]:
            fields = entry.split()
            if f"socket:[{fields[9]}]" in inodes and fields[3] == "0A":
                listening[int(fields[1].split(":")[1], 16)] += 1
    assert set(listening) == {listener.port}


def connects(address):
    try:
        net.connect(address).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("way", [TCP], ids=str)
def test_a_scrape_amid_traffic_adds_up(bench, way):
    """Whatever moment it is: no more connections at backends than at listeners, and so on."""
    service = bench.service(echo)
    loble = bench.loble(service, way=way, server={"workers": 2})
    tasks = [net.Background(lambda: [loble.ask(b"x" * 100) for _ in range(60)]) for _ in range(3)]
    while any(task.running for task in tasks):
        now = loble.metrics()
        assert now("loble_listener_connections_active") >= 0
        assert now("loble_backend_connections_active") >= 0
        assert now("loble_sessions_closed_total") <= now("loble_listener_connections_total") + 8
    for task in tasks:
        assert all(got == (b"x" * 100, END) for got in task.result())
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_listener_connections_total") == 180
    assert done("loble_sessions_closed_total") == 180
    assert done("loble_listener_received_bytes_total") == 18_000
