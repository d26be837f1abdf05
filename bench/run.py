#!/usr/bin/env python3
"""Measures Loble beside other proxies: bench/run.py --help

`make bench` builds what is needed and runs it. bench/README.md says how to read what it prints.
"""
import argparse
import http.client
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import bars, cell, machine, namespace, peers, process, report  # noqa: E402
from lib import table, workloads  # noqa: E402

QUICK = ("churn", "pingpong", "bulk", "download-8-shared", "upload-8-shared", "syscalls", "idle",
    "early")

# What may go wrong in a measurement, besides what it looks out for itself: a program that has just
# gone, a line that is cut off. The other measurements are as good as before.
MISHAPS = (OSError, ValueError, TypeError, LookupError, ArithmeticError,
    subprocess.SubprocessError, http.client.HTTPException)


class Rig:
    """What all measurements of a run have in common."""

    def __init__(self, options):
        self.programs = options.build / "bench"
        self.loble = str(options.loble or options.build / "src/main/loble")
        self.bare = str(options.bare / "src/main/loble")
        self.duration_ms = options.duration_ms
        self.bulk_bytes = options.bulk_mib * 1024 * 1024
        self.source = random.Random(options.seed)
        self.quick = options.quick
        self.seed = 0
        self.algorithms = peers.loble_algorithms(self.loble)

    def rounds_of(self, workload):
        """What hardly varies is not measured in every round, and but once in a rough run."""
        return 1 if self.quick and workload.rounds < workloads.ALL_ROUNDS else workload.rounds

    def shuffled(self, values):
        return self.source.sample(values, len(values))

    def next_seed(self):
        """Of the arrivals: the same for all proxies of a round."""
        return self.seed

    def binary(self, peer):
        if peer.name == "loble-bare":
            return self.bare
        return self.loble if peer.product == "loble" else shutil.which(peer.binary)


def parse_arguments():
    parser = argparse.ArgumentParser(description="Measures Loble beside other proxies.")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build-bench"),
        help="the build directory: build-bench")
    parser.add_argument("--bare", type=pathlib.Path, default=pathlib.Path("build-bare"),
        help="the build directory of the peer loble-bare")
    parser.add_argument("--show", type=pathlib.Path, metavar="RESULTS.JSON",
        help="measure nothing: table and report of an earlier run, beside the file")
    parser.add_argument("--loble", type=pathlib.Path, help="another binary of Loble")
    parser.add_argument("--rounds", type=int, help="18, or 3 with --quick")
    parser.add_argument("--workloads", help="names or groups, with commas between")
    parser.add_argument("--peers", help="names, with commas between")
    parser.add_argument("--quick", action="store_true", help="under 3 minutes, and rough")
    parser.add_argument("--duration-ms", type=int, help="of each measurement by time: 400")
    parser.add_argument("--bulk-mib", type=int, help="that each bulk measurement moves: 512")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000,
        help="of all that is random; another one each time")
    parser.add_argument("--output", type=pathlib.Path, help="a folder; else results/ of the build, or that of the file that is shown")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.bare = options.bare.resolve()
    options.output = options.output or (
        options.show.parent if options.show else options.build / "results")
    options.rounds = options.rounds or (3 if options.quick else 18)
    options.duration_ms = options.duration_ms or 400
    options.bulk_mib = options.bulk_mib or 512
    return options


def split(text):
    return [word for word in text.replace(" ", ",").split(",") if word]


def choose_peers(options):
    names = split(options.peers) if options.peers else [
        name for name, peer in peers.PEERS.items() if not peer.like]
    for name in names:
        if name not in peers.PEERS:
            sys.exit(f"bench: no peer '{name}'; there are: {', '.join(peers.PEERS)}")
    missing = [name for name in names if not peers.PEERS[name].installed()]
    if missing:
        print(f"not installed, left out: {', '.join(missing)}", file=sys.stderr)
    return [name for name in names if name not in missing]


def run_cell(rig, results, workload, name):
    """One proxy, one workload, one round. A proxy that fails gets no figures, and a mark."""
    try:
        figures = workload.run(rig, peers.PEERS[name], workload)
    except (process.Failed, *MISHAPS) as error:
        figures = None
        reason = str(error)
        if not isinstance(error, process.Failed):
            reason = f"{type(error).__name__}: {reason}"
        print(f"  {workload.name}, {name}: {process.telling(reason)}", file=sys.stderr)
        results["failed"].setdefault(workload.name, {}).setdefault(name, []).append(reason)
    results["figures"][workload.name][name].append(figures)


def run_round(rig, results, number, rows):
    """Workloads in random order; within each, the proxies one after the other, in random order."""
    rig.seed = rig.source.randrange(1 << 32)
    for workload in rig.shuffled([row for row in rows if number < rig.rounds_of(row)]):
        columns = results["figures"][workload.name]
        for name in rig.shuffled(list(columns)):
            run_cell(rig, results, workload, name)
        if workload.group == "latency":
            workloads.add_over_direct(columns, number)


def measure(rig, options, rows, names):
    """All rounds; the text of the results. They are kept after each round, so that whatever ends
    the run takes no more than one with it."""
    results = {
        "seed": options.seed,
        "rounds": 0,
        "quick": options.quick,
        "started": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "machine": machine.facts(rig.loble),
        "figures": {row.name: {name: [] for name in names
            if workloads.supported(row, name, rig.algorithms)} for row in rows},
        "failed": {},
    }
    begin = time.monotonic()
    text = ""
    try:
        for number in range(options.rounds):
            run_round(rig, results, number, rows)
            took = time.monotonic() - begin
            left = took / (number + 1) * (options.rounds - number - 1)
            print(f"round {number + 1} of {options.rounds}, {took:.0f} s, {left:.0f} s left",
                file=sys.stderr)
            results["rounds"] = number + 1
            text = conclude(results, begin, options.output)
    except KeyboardInterrupt:
        print("stopped: what is there is shown", file=sys.stderr)
        text = conclude(results, begin, options.output)
    return text


def conclude(results, begin, folder):
    """Judges what is there, and keeps it; the text."""
    results["load_average_at_end"] = machine.read("/proc/loadavg")
    results["seconds"] = round(time.monotonic() - begin)
    results["bars"] = bars.judge(results)
    return keep(results, folder)


STOPPING = (signal.SIGINT, signal.SIGTERM)


def stop(_number, _frame):
    """Once, and what was measured is kept."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def keep(results, folder):
    """Writes all forms of the results, each whole or not at all; the text."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(table.of_all(results)) + "\n"
    for name, content in (("results.json", json.dumps(results, indent=1)), ("results.txt", text),
            ("report.html", report.of_all(results))):
        new = folder / (name + ".new")
        new.write_text(content, encoding="utf-8")
        new.replace(folder / name)
    return text


def show(path, folder):
    """Makes table and report of earlier results again."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        results["bars"] = bars.judge(results)
        text = keep(results, folder)
    except OSError as error:
        sys.exit(f"bench: {error.filename}: {error.strerror}")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        sys.exit(f"bench: {path} holds no results: {type(error).__name__}: {error}")
    print(text)
    print(f"kept in {folder}/: report.html, results.json, results.txt")


def main():
    options = parse_arguments()
    if options.show:
        show(options.show, options.output)
        return 0
    for program in (options.loble or options.build / "src/main/loble", options.build / "bench/load"):
        if not program.exists():
            sys.exit(f"bench: there is no {program}: 'make bench' builds it")
    namespace.become_root(sys.argv)
    words = split(options.workloads) if options.workloads else (QUICK if options.quick else ["all"])
    rig = Rig(options)
    names = choose_peers(options)
    if "loble-bare" in names and not pathlib.Path(rig.bare).exists():
        sys.exit(f"bench: there is no {rig.bare}: meson setup {options.bare.name} "
            "--buildtype=release -Dtests=disabled -Dbare=true, and ninja")
    rows = [row for row in workloads.chosen(words)
        if any(workloads.supported(row, name, rig.algorithms) for name in names)]
    if len(cell.PROXY_CPUS[2]) > (machine.facts(rig.loble)["cpus"] or 1):
        sys.exit("bench: two CPUs are needed")
    # Also where SIGINT is ignored, as it is in what a script has put into the background.
    for number in STOPPING:
        signal.signal(number, stop)
    print(measure(rig, options, rows, names))
    print(f"kept in {options.output}/: report.html, results.json, results.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
