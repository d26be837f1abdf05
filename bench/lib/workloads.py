"""What is measured, as one table: each row gives figures for a proxy, once in each round."""
import dataclasses
import os
import re
import signal
import time

from . import cell as cells
from . import peers, process

GB = 1_000_000_000
MIB = 1024 * 1024
CORE = ("loble", "haproxy", "haproxy-64k", "haproxy-splice", "nginx", "nginx-64k", "pen", "direct")
PROXIES = CORE[:-1]


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
    rounds: int = 1000  # at most; for what hardly varies
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
    with cells.Cell(rig, peer, setup_of(workload)) as cell:
        options = {"connections": streams, "count": streams, "duration_ms": 60000}
        cell.warm(direction, **options, **sizes(16 * MIB))
        load = cell.load(direction, **options, **sizes(size))
        figures = cell.measure(load, gigabytes)
        # CPU in ms per GB; the latency is that of a whole transfer, which the rate says already.
        return {name: value / 1000 if name in ("cpu", "all", "machine", "steal") else value
            for name, value in figures.items() if name in ("rate", "cpu", "all", "machine", "steal")}


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
        tracer = process.Child("strace", words, {1}, cell.directory)
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


CPU_TIMES = {
    "rate": Metric("per second", lower=False, digits=0),
    "cpu": Metric("CPU us, proxy"),
    "all": Metric("CPU us, all"),
    "machine": Metric("CPU us, machine"),
}
LATENCIES = {"p50": Metric("p50 us"), "p99": Metric("p99 us"), "p999": Metric("p99.9 us")}
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
        churn, CPU_TIMES, "churn", workers=workers)
    for sessions in (64, 1000):
        yield Workload(f"pingpong-{sessions}{suffix}",
            f"64-byte requests on {sessions:,} open sessions" + words, pingpong,
            {**CPU_TIMES, "p50": LATENCIES["p50"], "p99": LATENCIES["p99"]}, "pingpong",
            workers=workers, parameters={"sessions": sessions})


def bulk_rows(workers):
    suffix = "" if workers == 1 else f"-{workers}w"
    words = "" if workers == 1 else f", {workers} workers"
    for direction in ("download", "upload"):
        for streams in (1, 8):
            yield Workload(f"{direction}-{streams}{suffix}",
                f"bulk {direction}, {streams} stream{'s' * (streams > 1)}{words}", bulk, BULK,
                "bulk", workers=workers,
                parameters={"direction": direction, "streams": streams})


def rows():
    yield from request_rows(1)
    yield from bulk_rows(1)
    yield Workload("syscalls", "system calls per short session, 20 at a time", syscalls,
        {"calls": Metric("calls")}, "syscalls", peers=PROXIES, rounds=3)
    yield Workload("idle", "user memory of an idle session, 9,000 of them", idle,
        {"bytes": Metric("bytes/session", digits=0), "total": Metric("MiB in all")}, "idle",
        peers=PROXIES, rounds=3, parameters={"sessions": 9000})
    yield from request_rows(2)
    yield from bulk_rows(2)


WORKLOADS = {workload.name: workload for workload in rows()}


def chosen(words):
    """The rows that these words name: by name or by group; "two" is all with two workers."""
    found = {}
    for word in words:
        matches = [row for row in WORKLOADS.values() if word == row.name or word == "all" or
            (word == row.group and row.workers == 1) or (word == "two" and row.workers == 2)]
        if not matches:
            groups = sorted({row.group for row in WORKLOADS.values()})
            raise SystemExit(f"bench: no workload '{word}'; there are: all, two, "
                f"{', '.join(groups)}, {', '.join(WORKLOADS)}")
        found.update((row.name, row) for row in matches)
    return list(found.values())
