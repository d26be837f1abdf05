"""The results as tables of text."""
from . import bars, process, stats, workloads

DISTURBED = 5  # per cent of the machine, from which on it is said


def number(value, digits):
    return f"{value:,.{digits}f}" if value is not None else "-"


def spread(summary, digits):
    """The median, and how far its interval reaches, in per cent of it."""
    if summary is None:
        return "-"
    median = summary["median"]
    if summary["rounds"] == 1 or not median:
        return number(median, digits)
    reach = max(summary["high"] - median, median - summary["low"]) / abs(median) * 100
    return f"{number(median, digits)} ±{reach:.0f}%"


def shown(summary, digits):
    if summary is None:
        return "-"
    if summary["rounds"] == 1:
        return number(summary["median"], digits)
    return (f"{number(summary['median'], digits)} "
        f"[{number(summary['low'], digits)}, {number(summary['high'], digits)}]")


def lay_out(rows):
    """Columns as wide as they must be; the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))).rstrip()


def disturbance(results, name):
    """What part of the machine, in per cent, other programs took during a workload; None when it
    was not looked at."""
    found = stats.summary([figures["others"] for rounds in results["figures"][name].values()
        for figures in rounds if figures and "others" in figures])
    return found and found["median"]


def warning(results):
    """A sentence when the machine was not ours; else nothing."""
    found = [disturbance(results, name) for name in results["figures"]]
    worst = max((share for share in found if share is not None), default=0)
    if worst < DISTURBED:
        return ""
    return (f"Other programs took up to {worst:.0f} % of the machine: rates and latencies tell "
        "little, CPU per unit and ratios less than on a quiet one.")


def caution(results):
    """A sentence when there were too few rounds for what is said; else nothing."""
    if results["rounds"] >= 6:
        return ""
    return ("Fewer than 6 rounds: intervals are the whole range, which is less than 95 %, and "
        "verdicts rough.")


def heading(results):
    """What a reader must know of any figure."""
    machine = results["machine"]
    versions = [version for name, version in machine["versions"].items() if name != "commit"]
    yield f"{results['started']}, commit {machine['versions']['commit']}: {'; '.join(versions)}"
    yield (f"{machine['cpus']} CPUs, {machine['cpu']}{', virtual' * machine['virtual']}; Linux "
        f"{machine['kernel']}; congestion control {machine['congestion_control']}")
    yield f"{results['rounds']} rounds, seed {results['seed']}, {results['seconds']:,} s"
    yield ""


def of_workload(results, name):
    workload = workloads.WORKLOADS[name]
    columns = results["figures"][name]
    metrics = {key: metric for key, metric in workload.metrics.items()
        if any(figures and key in figures for rounds in columns.values() for figures in rounds)}
    yield f"{name}: {workload.title}"
    rows = [["", *(metric.title for metric in metrics.values())]]
    for peer in columns:
        rows.append([peer, *(spread(stats.summary(bars.column(columns, peer, key)), metric.digits)
            for key, metric in metrics.items())])
    for against in ("best", "best of each round", "haproxy", "haproxy-best", "haproxy-edge", "nginx-best", "pen",
            "alone", "bare"):
        row = [shown(bars.ratio(results, name, key, against), 2) for key in metrics]
        if any(cell != "-" for cell in row):
            rows.append([f"loble / {against}", *row])
    for ours, against in (("loble-sleep", "best"), ("loble-busy", "best, busy polling")):
        row = [shown(bars.ratio(results, name, key, against, ours), 2) for key in metrics]
        if any(cell != "-" for cell in row):
            rows.append([f"{ours} / {against}", *row])
    yield from lay_out(rows)
    for peer, reasons in results["failed"].get(name, {}).items():
        yield f"  {peer}: failed in {len(reasons)} of the rounds: {process.telling(reasons[0])}"
    share = disturbance(results, name)
    if share is not None and share >= DISTURBED:
        yield f"  other programs took {share:.0f} % of the machine meanwhile"
    yield ""


def of_bars(judged):
    if not judged:
        return
    yield "what Loble wants to reach"
    rows = [["", "result", "limit", "aim", ""]]
    for bar in judged:
        sign = "<=" if bar["lower"] else ">="
        digits = 1 if bar["limit"] > 10 else 3
        rows.append([bar["title"], shown(bar["result"], digits), f"{sign} {bar['limit']:g}",
            f"{bar['aim']:g}" if bar["aim"] else "", bar["verdict"]])
    yield from lay_out(rows)


def of_all(results):
    yield from heading(results)
    for name in results["figures"]:
        yield from of_workload(results, name)
    yield from of_bars(results["bars"])
    for sentence in (warning(results), caution(results)):
        if sentence:
            yield ""
            yield sentence
