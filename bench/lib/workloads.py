"""What is measured, as one table: each row gives figures for a proxy, once in each round."""
import dataclasses
import os
import re
import signal
import threading
import time
import urllib.request

from . import cell as cells
from . import peers, process

GB = 1_000_000_000
MIB = 1024 * 1024
CORE = ("loble", "haproxy", "haproxy-64k", "haproxy-splice", "nginx", "nginx-64k", "pen", "direct")
# Also variants whose options are about short sessions and small messages.
TALK = CORE + ("haproxy-smart", "haproxy-edge")
PROXIES = CORE[:-1]
ALL_ROUNDS = 1000
FEW_ROUNDS = 9  # of fewer, only the whole range is an interval of 95 %


@dataclasses.dataclass(frozen=True)
class Metric:
    title: str
    lower: bool = True  # is better
    digits: int = 1


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    title: str
    run: object  # (rig, peer, workload) -> {metric: value}
    metrics: dict
    group: str
    peers: tuple = CORE
    workers: int = 1
    rounds: int = ALL_ROUNDS  # at most; for what hardly varies
    parameters: dict = dataclasses.field(default_factory=dict)


def setup_of(workload, **changes):
    return peers.Setup(**{"backends": cells.backend_addresses(2), "workers": workload.workers,
        **changes})


def done(results):
    return results["done"]


def gigabytes(results):
    return (results["sent"] + results["received"]) / GB


def churn(rig, peer, workload):
    with cells.Cell(rig, peer, setup_of(workload)) as cell:
        options = {"connections": 64, "sources": 100}
        cell.warm("churn", count=500, **options)
        return cell.measure(cell.load("churn", duration_ms=rig.duration_ms, **options), done)


def pingpong(rig, peer, workload):
    with cells.Cell(rig, peer, setup_of(workload)) as cell:
        load = cell.load("pingpong", connections=workload.parameters["sessions"],
            duration_ms=rig.duration_ms)
        return cell.measure(load, done)


def bulk(rig, peer, workload):
    streams = workload.parameters["streams"]
    size = rig.bulk_bytes // streams

    def sizes(length):
        return {"download": {"request": 64, "response": length},
            "upload": {"request": length, "response": 64}}[direction]
    direction = workload.parameters["direction"]
    shared = workload.parameters["shared"]
    with cells.Cell(rig, peer, setup_of(workload), shared=shared) as cell:
        options = {"connections": streams, "count": streams, "duration_ms": 60000}
        cell.warm(direction, **options, **sizes(16 * MIB))
        load = cell.load(direction, **options, **sizes(size))
        figures = cell.measure(load, gigabytes)
        # CPU in ms per GB; the latency is that of a whole transfer, which the rate says already.
        scaled = {name: figures[name] / 1000 for name in ("cpu", "all", "machine")
            if name in figures}
        return {**scaled, **{name: figures[name] for name in ("rate", "others", "stolen")}}


def syscalls(rig, peer, workload):
    """Counted by strace over 1,000 sessions, 20 at a time."""
    count = 1000
    with cells.Cell(rig, peer, setup_of(workload)) as cell:
        cell.warm("churn", connections=20, count=200, sources=100)
        load = cell.load("churn", connections=20, count=count, sources=100, duration_ms=30000)
        pids = cell.proxy_pids()
        words = ["strace", "-f", "-c", "-U", "name,calls", "-o", "syscalls"]
        for pid in pids:
            words += ["-p", pid]
        threads = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)
        tracer = process.Child("strace", words, cell.load_place, cell.directory)
        cell.stack.callback(tracer.stop)
        process.wait_until(lambda: tracer.tail().count("attached") >= min(threads, len(pids)), 5,
            "strace attaches")
        time.sleep(0.1)
        results = load.run()
        time.sleep(cells.SETTLE_SECONDS)
        tracer.popen.send_signal(signal.SIGINT)
        tracer.popen.wait(5)
        if results["done"] != count:
            raise process.Failed(f"only {results['done']} of {count} sessions under strace")
        table = re.findall(r"^(\w+) +(\d+)$", (cell.directory / "syscalls").read_text(),
            re.MULTILINE)
        calls = {name: int(number) / count for name, number in table if name != "total"}
        return {"calls": sum(calls.values()), **{"call:" + name: number
            for name, number in calls.items()}}


def idle(rig, peer, workload):
    """Memory that sessions take while nothing moves; they must still be good afterwards."""
    sessions = workload.parameters["sessions"]
    with cells.Cell(rig, peer, setup_of(workload)) as cell:
        cell.warm("churn", connections=64, count=200)
        before = cell.memory()
        load = cell.load("idle", connections=sessions)
        time.sleep(1)
        after = cell.memory()
        results = load.run()
        if results["done"] != sessions:
            raise process.Failed(f"{results['done']} of {sessions} sessions lived: "
                f"{results['failures']}")
        return {"bytes": (after - before) / sessions, "total": after / MIB}


def latency(rig, peer, workload):
    """An open loop: what a proxy adds to the latency of a request while it is not overloaded."""
    with cells.Cell(rig, peer, setup_of(workload), real_time=True) as cell:
        load = cell.load("rate", connections=64, rate=workload.parameters["rate"],
            duration_ms=6 * rig.duration_ms, seed=rig.next_seed())
        return cell.measure(load, done)


def early(rig, peer, workload):
    """The backend answers 50,000 bytes and closes while the client is still sending."""
    tries, size = 20, 50000
    with cells.Cell(rig, peer, setup_of(workload)) as cell:
        results = cell.load("early", connections=1, count=tries, request=1000 * MIB, response=size,
            duration_ms=10000, timeout_ms=15000).run()
        if results["failures"]["corrupt"]:
            raise process.Failed("a byte was changed")
        return {"complete": results["complete"] / tries * 100,
            "bytes": results["received"] / tries / size * 100}


def stalled(rig, peer, workload):
    """Sessions whose reader does not read. The kernel's buffers are small, so that what a proxy
    keeps is seen; all bytes must arrive once the reader reads."""
    sessions, size = 200, 8 * MIB
    direction = workload.parameters["direction"]
    small = {"net/ipv4/tcp_rmem": "4096 131072 262144", "net/ipv4/tcp_wmem": "4096 16384 262144"}
    with cells.Cell(rig, peer, setup_of(workload), small) as cell:
        cell.warm("churn", connections=64, count=200)
        before = cell.memory()
        sizes = {"request": size, "response": 64} if direction == "upload" else \
            {"request": 64, "response": size}
        load = cell.load("stall-write" if direction == "upload" else "stall-read",
            connections=sessions, settle_ms=1500, **sizes)
        clock = process.cpu_ns(cell.proxy_pids())
        time.sleep(0.5)
        spent = (process.cpu_ns(cell.proxy_pids()) - clock) / 0.5 / 1e9 * 100
        after = cell.memory()
        if direction == "upload":
            cell.signal_backend(signal.SIGUSR1)
        results = load.run()
        if results["done"] != sessions:
            raise process.Failed(f"{results['done']} of {sessions} came through: "
                f"{results['failures']}")
        return {"bytes": (after - before) / sessions, "spent": spent}


def broken(rig, peer, workload):
    """One of three backends refuses connections, or does not answer at all."""
    backends = cells.backend_addresses(2) + (workload.parameters["address"],)
    setup = setup_of(workload, backends=backends, checks=True, connect_ms=1000)
    with cells.Cell(rig, peer, setup) as cell:
        load = cell.load("rate", connections=4000, rate=1000, fresh=1, sources=100,
            duration_ms=max(4000, 2 * rig.duration_ms), seed=rig.next_seed())
        return cell.measure(load, done, may_fail=True)


def churn_cpu(cell, rig):
    options = {"connections": 64, "sources": 100}
    cell.warm("churn", count=500, **options)
    return cell.measure(cell.load("churn", duration_ms=rig.duration_ms, **options), done)["cpu"]


def backends(rig, peer, workload):
    """Churn with few and with many backends, in random order."""
    algorithm = workload.parameters["algorithm"]
    figures = {}
    for count in rig.shuffled((2, 50, 1000)):
        setup = setup_of(workload, backends=cells.backend_addresses(count), algorithm=algorithm)
        with cells.Cell(rig, peer, setup) as cell:
            figures[f"cpu_{count}"] = churn_cpu(cell, rig)
    figures["growth"] = figures["cpu_1000"] / figures["cpu_2"]
    return figures


def sessions(rig, peer, workload):
    """Churn while few or many other sessions are open and silent, in random order."""
    figures = {}
    for count in rig.shuffled((10, 1000, 9000)):
        with cells.Cell(rig, peer, setup_of(workload)) as cell:
            parked = cell.load("idle", connections=count)
            figures[f"cpu_{count}"] = churn_cpu(cell, rig)
            results = parked.run()
            if results["done"] != count:
                raise process.Failed(f"{results['done']} of {count} silent sessions lived")
    figures["growth"] = figures["cpu_9000"] / figures["cpu_10"]
    return figures


METRICS_ADDRESS = "127.0.0.1:9090"
FLAPPING = tuple(f"127.3.0.{number}:{cells.FLAP_PORT}" for number in range(1, 5))
PUBLISHING = ("[health]", "failure_threshold = 1", "success_threshold = 1",
    'probe_interval = "100ms"', 'flap_window = "1ms"', 'hold_down_max = "1s"',
    "[metrics]", f'address = "{METRICS_ADDRESS}"')


def snapshot_version():
    with urllib.request.urlopen(f"http://{METRICS_ADDRESS}/metrics", timeout=5) as page:
        return int(re.search(r"^loble_snapshot_version (\d+)", page.read().decode(),
            re.MULTILINE)[1])


def publish(rig, peer, workload):
    """Churn over 50 backends while four more go down and come back, and for each of them a new
    snapshot is published; and the same without that, in random order."""
    figures = {}
    for flapping in rig.shuffled((False, True)):
        setup = setup_of(workload, loble=PUBLISHING,
            backends=cells.backend_addresses(50) + FLAPPING)
        with cells.Cell(rig, peer, setup) as cell:
            stop = threading.Event()

            def flap():
                while not stop.wait(0.1):
                    cell.signal_backend(signal.SIGUSR2)
            thread = threading.Thread(target=flap)
            options = {"connections": 64, "sources": 100}
            cell.warm("churn", count=500, **options)
            load = cell.load("churn", duration_ms=2 * rig.duration_ms, **options)
            before, begin = snapshot_version(), time.monotonic()
            if flapping:
                thread.start()
            try:
                found = cell.measure(load, done, may_fail=True)
                seconds = time.monotonic() - begin
            finally:
                stop.set()
                if flapping:
                    thread.join()
            figures["cpu_flapping" if flapping else "cpu_quiet"] = found["cpu"]
            if flapping:
                figures["published"] = (snapshot_version() - before) / seconds
                figures["failed"] = found["failed"]
    figures["growth"] = figures["cpu_flapping"] / figures["cpu_quiet"]
    return figures


CPU_TIMES = {
    "rate": Metric("per second", lower=False, digits=0),
    "cpu": Metric("CPU us, proxy"),
    "all": Metric("CPU us, all"),
    "machine": Metric("CPU us, machine"),
}
LATENCIES = {"p50": Metric("p50 us"), "p99": Metric("p99 us"), "p999": Metric("p99.9 us")}
ADDED = {"added_" + name: Metric("added " + metric.title) for name, metric in LATENCIES.items()}
ALGORITHMS = ("round_robin", "random", "least_connections", "two_choices", "peak_ewma", "maglev",
    "source_hash")
BULK = {
    "rate": Metric("GB/s", lower=False, digits=2),
    "cpu": Metric("CPU ms/GB, proxy", digits=0),
    "all": Metric("CPU ms/GB, all", digits=0),
    "machine": Metric("CPU ms/GB, machine", digits=0),
}


def request_rows(workers):
    suffix = "" if workers == 1 else f"-{workers}w"
    words = "" if workers == 1 else f", {workers} workers"
    yield Workload("churn" + suffix, "a session for each 64-byte request, 64 at a time" + words,
        churn, CPU_TIMES, "churn", peers=TALK, workers=workers)
    for sessions in (64, 1000):
        yield Workload(f"pingpong-{sessions}{suffix}",
            f"64-byte requests on {sessions:,} open sessions" + words, pingpong,
            {**CPU_TIMES, "p50": LATENCIES["p50"], "p99": LATENCIES["p99"]}, "pingpong",
            peers=TALK + ("loble-prompt",), workers=workers, parameters={"sessions": sessions})


def bulk_rows(workers, shared=False):
    suffix = "-shared" if shared else "" if workers == 1 else f"-{workers}w"
    words = ", load on both CPUs" if shared else "" if workers == 1 else f", {workers} workers"
    for direction in ("download", "upload"):
        for streams in (1, 8):
            yield Workload(f"{direction}-{streams}{suffix}",
                f"bulk {direction}, {streams} stream{'s' * (streams > 1)}{words}", bulk, BULK,
                "shared" if shared else "bulk", workers=workers,
                parameters={"direction": direction, "streams": streams, "shared": shared})


def size_rows():
    growth = Metric("last / first", digits=3)
    for algorithm in ALGORITHMS:
        yield Workload(f"backends-{algorithm}", f"churn over 2, 50 and 1,000 backends, {algorithm}",
            backends, {**{f"cpu_{count}": Metric(f"CPU us, {count:,}") for count in (2, 50, 1000)},
                "growth": growth}, "size", peers=("loble", "haproxy", "nginx"),
            parameters={"algorithm": algorithm})
    yield Workload("sessions", "churn while 10, 1,000 and 9,000 other sessions are open", sessions,
        {**{f"cpu_{count}": Metric(f"CPU us, {count:,}") for count in (10, 1000, 9000)},
            "growth": growth}, "size", peers=("loble", "haproxy", "nginx", "pen"))
    yield Workload("publish", "churn while a backend flaps and snapshots are published", publish,
        {"cpu_quiet": Metric("CPU us, quiet"), "cpu_flapping": Metric("CPU us, flapping"),
            "growth": growth, "published": Metric("snapshots/s", lower=False),
            "failed": Metric("failed", digits=0)}, "size", peers=("loble",))


def trouble_rows():
    yield Workload("early", "an answer of 50,000 bytes while the client still sends", early,
        {"complete": Metric("complete, %", lower=False), "bytes": Metric("bytes, %", lower=False)},
        "early", rounds=FEW_ROUNDS)
    for direction in ("download", "upload"):
        yield Workload(f"stalled-{direction}",
            f"user memory of a stalled {direction}, 200 of them", stalled,
            {"bytes": Metric("bytes/session", digits=0), "spent": Metric("CPU % while stalled")},
            "stalled", peers=PROXIES, rounds=FEW_ROUNDS, parameters={"direction": direction})
    for name, address in (("dead", f"127.2.0.3:{cells.DEAD_PORT}"), ("blackholed", cells.HOLE)):
        yield Workload(name, f"1,000 sessions/s, one of three backends {name}", broken,
            {"failed": Metric("failed", digits=0), "slow": Metric("over 100 ms", digits=0),
                "p50": LATENCIES["p50"], "p99": LATENCIES["p99"], "max": Metric("max us")},
            "broken", peers=("loble", "haproxy", "nginx", "pen"), rounds=FEW_ROUNDS,
            parameters={"address": address})


def rows():
    yield from request_rows(1)
    yield from bulk_rows(1)
    yield from bulk_rows(1, shared=True)
    yield Workload("syscalls", "system calls per short session, 20 at a time", syscalls,
        {"calls": Metric("calls")}, "syscalls", rounds=FEW_ROUNDS,
        peers=PROXIES + ("haproxy-smart", "haproxy-edge", "loble-calls"))
    yield Workload("idle", "user memory of an idle session, 9,000 of them", idle,
        {"bytes": Metric("bytes/session", digits=0), "total": Metric("MiB in all")}, "idle",
        peers=PROXIES, rounds=FEW_ROUNDS, parameters={"sessions": 9000})
    for rate in (10000, 40000):
        yield Workload(f"latency-{rate // 1000}k",
            f"open loop, {rate:,} requests/s on 64 sessions", latency,
            {**LATENCIES, **ADDED, "cpu": CPU_TIMES["cpu"]}, "latency",
            peers=TALK + ("loble-sleep",) + peers.BUSY, parameters={"rate": rate})
    yield from size_rows()
    yield from trouble_rows()
    yield from request_rows(2)
    yield from bulk_rows(2)


WORKLOADS = {workload.name: workload for workload in rows()}


def supported(workload, name, algorithms):
    """Whether a proxy has what the workload is about. What Loble has not is compared with nobody."""
    wanted = workload.parameters.get("algorithm")
    if (peers.PEERS[name].like or name) not in workload.peers:
        return False
    if wanted is None:
        return True
    known = {"haproxy": peers.HAPROXY_ALGORITHMS, "nginx": peers.NGINX_ALGORITHMS}
    return wanted in algorithms and wanted in known.get(name, algorithms)


def add_over_direct(columns, number):
    """Where latencies are those of an open loop: what each proxy adds to the direct ones."""
    direct = columns.get("direct", [None] * (number + 1))[number]
    for name, rounds in columns.items():
        if direct and name != "direct" and rounds[number]:
            rounds[number].update(("added_" + key, rounds[number][key] - direct[key])
                for key in LATENCIES)


def chosen(words):
    """The rows that these words name: by name or by group; "two" is all with two workers."""
    found = {}
    for word in words:
        matches = [row for row in WORKLOADS.values() if word == row.name or word == "all" or
            (word == row.group and row.workers == 1) or (word == "two" and row.workers == 2)]
        if not matches:
            groups = sorted({row.group for row in WORKLOADS.values()} - set(WORKLOADS))
            raise SystemExit(f"bench: no workload '{word}'; there are: all, two, "
                f"{', '.join(groups)}, {', '.join(WORKLOADS)}")
        found.update((row.name, row) for row in matches)
    return list(found.values())
