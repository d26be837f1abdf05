"""The page for people: one HTML file with all in it, which needs no network."""
import collections
import html

from . import bars, charts, process, stats, table, workloads

STYLE = """
:root { --ink: #1c2330; --soft: #5c6675; --line: #d5dae2; --paper: #ffffff; --panel: #f5f7fa;
  --ours: #1f6feb; --other: #a9b3c1; --direct: #d3d9e1; --good: #1a7f4b; --fair: #b07a00;
  --poor: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #97a1b0; --line: #343c49;
  --paper: #14181f; --panel: #1c222b; --ours: #58a6ff; --other: #56616f; --direct: #39424e;
  --good: #4cc38a; --fair: #e0b050; --poor: #f07167; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1010px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p.soft, figcaption, .soft { color: var(--soft); } p { max-width: 46rem; }
.panel { background: var(--panel); border-radius: 8px; padding: 1rem; overflow-x: auto; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(470px, 1fr)); gap: .6rem; }
table { border-collapse: collapse; font-size: .88rem; } td, th { padding: .2rem .7rem;
  border-bottom: 1px solid var(--line); text-align: right; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; } .poor-text { color: var(--poor); }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .axis { fill: var(--soft); } svg .label { fill: var(--soft); } svg .value { fill: var(--soft); }
svg .ours.label, svg .ours.value { fill: var(--ink); font-weight: 600; }
svg .bar { fill: var(--other); } svg .bar.ours { fill: var(--ours); }
svg .bar.direct { fill: var(--direct); } svg .failed { fill: var(--poor); }
svg .whisker { stroke: var(--ink); stroke-width: 1.2; opacity: .65; }
svg .grid { stroke: var(--line); } svg .limit { stroke: var(--ink); stroke-dasharray: 3 3; }
svg .interval { stroke-width: 3; opacity: .5; } svg .verdict { font-weight: 600; }
svg .dot.good, svg .verdict.good { fill: var(--good); } svg .interval.good { stroke: var(--good); }
svg .dot.fair, svg .verdict.fair { fill: var(--fair); } svg .interval.fair { stroke: var(--fair); }
svg .dot.poor, svg .verdict.poor { fill: var(--poor); } svg .interval.poor { stroke: var(--poor); }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
.tile { background: var(--panel); border-radius: 8px; padding: .6rem 1rem; min-width: 8rem; }
.tile b { display: block; font-size: 1.5rem; font-weight: 600; }
"""

GROUPS = {
    "churn": "Short sessions", "pingpong": "Small requests on open sessions",
    "bulk": "Bulk transfers", "shared": "Bulk transfers, load on both CPUs",
    "latency": "Latency of an open loop",
    "syscalls": "System calls", "idle": "Memory of idle sessions",
    "stalled": "Stalled readers", "early": "Early answers", "broken": "Broken backends",
    "size": "Cost against size",
}


def tag(name, content, **attributes):
    words = "".join(f' {key.rstrip("_")}="{html.escape(value)}"'
        for key, value in attributes.items())
    return f"<{name}{words}>{content}</{name}>"


def rows_of(cells, head=True):
    for number, row in enumerate(cells):
        kind = "th" if head and number == 0 else "td"
        yield tag("tr", "".join(tag(kind, html.escape(str(cell))) for cell in row))


def kind_of(peer):
    return {"loble": "ours", "direct": "direct"}.get(peer, "")


def tiles(results):
    """The figures of the first glance."""
    wanted = (("churn", "cpu", "best", "CPU per short session"),
        ("pingpong-1000", "cpu", "best", "CPU per request, 1,000 sessions"),
        ("download-8", "cpu", "haproxy", "CPU per GB, HAProxy defaults"),
        ("idle", "bytes", "best", "memory per idle session"))
    found = []
    for workload, metric, against, title in wanted:
        ratio = bars.ratio(results, workload, metric, against)
        if ratio:
            name = "HAProxy" if against == "haproxy" else "the best peer"
            found.append(tag("div", f"<b>{ratio['median']:.2f}</b>{html.escape(title)}"
                f'<br><span class="soft">Loble / {name}</span>', class_="tile"))
    verdicts = collections.Counter(bar["verdict"] for bar in results["bars"])
    if verdicts:
        found.append(tag("div", f"<b>{verdicts['met']} of {verdicts.total()}</b>limits met<br>"
            f'<span class="soft">{verdicts["met (interval)"]} more reached by the interval, '
            f'{verdicts["met (wide interval)"]} by a wide one</span>', class_="tile"))
    return tag("div", "".join(found), class_="tiles")


def of_workload(results, name):
    workload = workloads.WORKLOADS[name]
    columns = results["figures"][name]
    yield tag("h3", f'{html.escape(name)} <span class="soft">{html.escape(workload.title)}</span>')
    figures = []
    for key, metric in workload.metrics.items():
        rows = [(peer, stats.summary(bars.column(columns, peer, key)), kind_of(peer))
            for peer in columns]
        # A proxy without this figure at all (direct has no CPU of a proxy) is not a failed one.
        rows = [row for row in rows if row[1] or row[0] in results["failed"].get(name, {})]
        better = "less is better" if metric.lower else "more is better"
        figures.append(charts.bars(f"{metric.title} ({better})", rows, metric.digits))
    yield tag("div", "".join(figures), class_="panel grid")
    for peer, reasons in results["failed"].get(name, {}).items():
        yield tag("p", html.escape(f"{peer} failed in {len(reasons)} rounds: "
            f"{process.telling(reasons[0])}"), class_="poor-text")


def syscalls(results):
    """Calls by name: what the total is made of."""
    columns = results["figures"].get("syscalls")
    if not columns:
        return
    found = {peer: next((figures for figures in rounds if figures), {})
        for peer, rounds in columns.items()}
    names = sorted({key for figures in found.values() for key in figures
        if key.startswith("call:") and figures[key] >= 0.05})
    cells = [["per session", *found]]
    for key in names:
        cells.append([key[5:], *(f"{figures.get(key, 0):.2f}" for figures in found.values())])
    yield tag("div", tag("table", "".join(rows_of(cells))), class_="panel")


def stolen(results):
    """The largest part of the machine, in per cent, that its host took from any measurement."""
    return max((figures.get("stolen", 0) for columns in results["figures"].values()
        for rounds in columns.values() for figures in rounds if figures), default=0)


def machine_table(results):
    machine = results["machine"]
    cells = [["processor", f"{machine['cpu']}, {machine['cpus']} CPUs"
        + (", virtual" if machine["virtual"] else "")],
        ["memory", f"{machine['memory_mib']:,} MiB"], ["kernel", machine["kernel"]],
        ["load average at the start, the end",
            f"{machine['load_average_at_start']}; {results['load_average_at_end']}"],
        ["transparent huge pages", machine["transparent_hugepages"]],
        *([name.replace("/", "."), value] for name, value in machine["network"].items()),
        ["scheduling of the workloads about latency",
            "real time" if machine["real_time"] else "as the others: real time is not permitted"],
        ["CPU that the host took, at most of any measurement", f"{stolen(results):.1f} %"],
        ["mitigations", ", ".join(machine["mitigations"]) or "none"],
        *([name, version] for name, version in machine["versions"].items()),
        ["rounds, seed, duration",
            f"{results['rounds']}, {results['seed']}, {results['seconds']:,} s"]]
    return tag("div", tag("table", "".join(rows_of(cells, head=False))), class_="panel")


def of_all(results):
    """The whole page."""
    parts = [tag("h1", "Loble beside other proxies"), tag("p", html.escape(
        f"{results['started']}, {results['machine']['versions']['loble']}, commit "
        f"{results['machine']['versions']['commit']}; {results['rounds']} rounds"
        + (", a quick and rough run" if results["quick"] else "")), class_="soft"),
        tag("p", table.warning(results), class_="poor-text"), tiles(results)]
    if results["bars"]:
        parts += [tag("h2", "What Loble wants to reach"),
            tag("div", charts.scoreboard(results["bars"]), class_="panel"),
            tag("p", "Each dot is the median over the rounds, its line the 95 % interval, both "
                "against the limit: right of the dashed line is better than the limit. A median of "
                "0 or less has no place there, and no dot. Ratios are against the best variant of "
                "HAProxy and nginx of the run, unless the row says otherwise. A limit is met when "
                "all of the interval is on its good side, and \u201cmet (interval)\u201d when the "
                "interval reaches it; the ends of a wide one are further apart than a factor of 2."
                + " " + table.caution(results), class_="soft")]
    groups = {}
    for name in results["figures"]:
        groups.setdefault(workloads.WORKLOADS[name].group, []).append(name)
    for group, names in groups.items():
        parts.append(tag("h2", GROUPS[group]))
        for name in names:
            parts += of_workload(results, name)
        if group == "syscalls":
            parts += syscalls(results)
    parts += [tag("h2", "The machine"), machine_table(results), tag("p",
        "Loopback only: no network card, no loss. With two CPUs, load generator and backend share "
        "one and often limit the rate; CPU per unit is what to trust. bench/README.md says more.",
        class_="soft")]
    return ('<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Loble beside other proxies</title><style>{STYLE}</style><body>"
        + "".join(parts) + "</body></html>\n")
