"""What Loble wants to reach, as one table, and whether it did."""
import dataclasses

from . import peers, stats, workloads

# Whom a ratio is against: the best of a run of ..., by the median of the metric.
RIVALS = [peer.name for peer in peers.PEERS.values()
    if peer.product in peers.RIVALS and peer.name not in peers.UNSAFE]
SLEEPING = [name for name in RIVALS if name not in peers.BUSY]
AGAINST = {
    "best": SLEEPING,
    "best of each round": SLEEPING,
    "best, busy polling": RIVALS,
    "haproxy": ["haproxy"],
    "haproxy-best": [name for name in SLEEPING if peers.PEERS[name].product == "haproxy"],
    "haproxy-edge": ["haproxy-edge"],
    "nginx-best": [name for name in SLEEPING if peers.PEERS[name].product == "nginx"],
    "pen": ["pen"],
    "alone": ["loble-alone"],
    "bare": ["loble-bare"],
    "direct": ["direct"],
}


@dataclasses.dataclass(frozen=True)
class Bar:
    title: str
    workload: str
    metric: str
    against: str  # a key of AGAINST, or "" for the figure itself
    limit: float
    aim: float = None
    lower: bool = True
    ours: str = "loble"


def rows():
    yield Bar("churn: CPU per session", "churn", "cpu", "best", 0.88, 0.80)
    yield Bar("churn: what survival costs", "churn", "cpu", "bare", 1.02)
    yield Bar("ping-pong, 64: CPU per request", "pingpong-64", "cpu", "best", 0.88)
    yield Bar("ping-pong, 1,000: CPU per request", "pingpong-1000", "cpu", "best", 0.83)
    for direction in ("download", "upload"):
        for streams in (1, 8):
            name = f"{direction}-{streams}"
            yield Bar(f"{name}: rate, HAProxy defaults", name + "-shared", "rate", "haproxy", 1.6,
                lower=False)
            yield Bar(f"{name}: CPU/GB, HAProxy defaults", name, "cpu", "haproxy", 0.35)
            yield Bar(f"{name}: CPU/GB, HAProxy at its best", name, "cpu", "haproxy-best", 1.0,
                0.90)
            yield Bar(f"{name}: what survival costs", name, "cpu", "bare", 1.0)
    for rate in ("latency-10k", "latency-40k"):
        for key, name in (("added_p50", "p50"), ("added_p99", "p99")):
            yield Bar(f"{rate}: {name} over direct", rate, key, "best", 0.9)
        # Not p99: without real-time priority it is that of the other programs of the machine.
        yield Bar(f"{rate}: p50 over direct, busy_poll = 1000", rate, "added_p50", "best", 0.9,
            ours="loble-busy")
        yield Bar(f"{rate}: p50, both polling busily", rate, "added_p50", "best, busy polling",
            0.9, ours="loble-busy")
    yield Bar("memory per idle session", "idle", "bytes", "best", 0.075)
    yield Bar("memory per idle session, bytes", "idle", "bytes", "", 256)
    yield Bar("system calls per short session", "syscalls", "calls", "", 14)
    for algorithm in workloads.ALGORITHMS:
        yield Bar(f"1,000 backends over 2, {algorithm}", f"backends-{algorithm}", "growth", "",
            1.05)
    yield Bar("snapshots published per second", "publish", "published", "", 10, lower=False)
    yield Bar("sessions that failed meanwhile", "publish", "failed", "", 0)
    yield Bar("early answers, of those direct", "early", "bytes", "direct", 1.0, lower=False)
    for direction in ("download", "upload"):
        yield Bar(f"memory per stalled {direction}, bytes", f"stalled-{direction}", "bytes", "",
            256 + 64 * 1024)


BARS = tuple(rows())


def ratio(results, workload, metric, against, name="loble"):
    """Loble, or a variant of it, over the best of `against`, round by round, summed up; None
    without data. The smallest of several figures that vary is smaller than any of them is, so the
    best of each round is looked for only where that is asked for."""
    columns = results["figures"].get(workload, {})
    ours = column(columns, name, metric)
    if ours is None:
        return None
    if not against:
        return stats.summary(ours)
    lower = workloads.WORKLOADS[workload].metrics[metric].lower
    theirs = [column(columns, name, metric) for name in AGAINST[against] if name in columns]
    theirs = [values for values in theirs if values is not None]
    best = stats.best_of(theirs, lower) if against == "best of each round" \
        else stats.best_in_median(theirs, lower)
    return stats.summary(stats.ratios(ours, best)) if best else None


def column(columns, peer, metric):
    """One value for each round, None where the round failed."""
    rounds = columns.get(peer)
    if rounds is None:
        return None
    return [figures.get(metric) if figures else None for figures in rounds]


def judge(results):
    """Each bar with its result, those whose workload was not run left out."""
    judged = []
    for bar in BARS:
        if bar.workload not in results["figures"]:
            continue
        columns = results["figures"][bar.workload]
        rivals = set(AGAINST.get(bar.against, ()))
        if bar.ours not in columns or rivals and not rivals & set(columns):
            continue
        found = ratio(results, bar.workload, bar.metric, bar.against, bar.ours)
        failed = results["failed"].get(bar.workload, {}).get(bar.ours)
        verdict = "not met" if failed else stats.verdict(found, bar.limit, bar.lower)
        left_out = rivals & set(workloads.WORKLOADS[bar.workload].peers) - set(columns)
        title = bar.title + " (peers left out)" * bool(left_out)
        judged.append({"title": title, "limit": bar.limit, "aim": bar.aim,
            "lower": bar.lower, "against": bar.against, "result": found, "verdict": verdict,
            "workload": bar.workload, "metric": bar.metric})
    return judged
