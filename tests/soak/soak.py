#!/usr/bin/env python3
"""The long proof that nothing is dropped; see scripts/soak.sh.

Each part prints one line of a table and ends with a status of its own: 0, the proof holds; 1, it
does not.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from harness.loble import Loble  # noqa: E402
from harness.survival import (DEATHS, FAILING, REFUSED, Replaceable, Stand,  # noqa: E402
                              restarts, scrape, survive, upgrade, upgrade_in_vain, wait_worker,
                              worker_of)
from harness.torture import ERRORS, sums  # noqa: E402
from harness.wait import until  # noqa: E402

# Light enough for two cores that Loble, clients and backends share.
LOAD = {"probes": 20, "think": 1500, "every": 2000, "burst": 262144, "life": 30000, "hold": 8000,
        "ramp": 1500, "grace": 30000, "stall": 20000,
        "mix": "ping=330,bulk_up=8,bulk_down=8,bulk_both=8,slow_client=20,slow_backend=20,"
               "half_up=60,half_down=60,idle=340,silent=50,abort=30,aborted=30"}


class Bench:
    """What tests/system/conftest.py gives to tests, for a program."""

    def __init__(self, binary, directory):
        self.binary, self.directory = Path(binary).resolve(), Path(directory)
        self.things = []

    def raw(self, config, **options):
        loble = Loble(options.pop("binary", self.binary), self.directory / "loble", config,
                      **options)
        self.things.append(loble.kill)
        return loble

    def keep(self, thing):
        self.things.append(thing.close)
        return thing

    def close(self):
        for end in reversed(self.things):
            end()


class Row:
    """One part's line of the table."""

    TITLES = ("part", "rounds", "sessions", "new", "GiB", "errors", "calm ms", "median ms",
              "worst ms", "continued", "verdict")
    WIDTHS = (16, 6, 8, 8, 6, 6, 8, 9, 8, 10, 0)

    def __init__(self, part):
        self.values = {"part": part}
        self.failures = []

    @classmethod
    def title(cls):
        return " ".join(f"{one:>{width}}" for one, width in zip(cls.TITLES, cls.WIDTHS))

    def __str__(self):
        verdict = "; ".join(self.failures) or "holds"
        cells = [*(self.values.get(one, "-") for one in self.TITLES[:-1]), verdict]
        return " ".join(f"{one!s:>{width}}" for one, width in zip(cells, self.WIDTHS))

    def need(self, condition, what):
        if not condition:
            self.failures.append(what)


def start(bench, options, **load):
    stand = Stand(bench, kinds=[("tcp4", "tcp4")] * 3)
    stand.start()
    stand.load(sessions=options.sessions, rate=options.rate, seed=options.seed, **{**LOAD, **load})
    return stand


def note_load(row, stand):
    report = stand.torture.stop()
    for error in stand.torture.errors[:20]:
        print(json.dumps(error))
    client = report["client"]
    row.values.update({
        "sessions": client["opened"] - client["classes"]["short"],
        "new": client["classes"]["short"],
        "GiB": f"{(client['checked_bytes'] + client['sent_bytes']) / 2**30:.1f}",
        "errors": report["errors"],
    })
    wrong = {name: sums(report)[name] for name in ERRORS if sums(report)[name]}
    row.need(not wrong, f"errors: {wrong}")


def note_pauses(row, options, found):
    row.values.update({"calm ms": f"{found.calm.worst:.0f}",
                       "median ms": f"{found.median_pause():.0f}",
                       "worst ms": f"{found.worst_pause():.0f}"})
    if options.slow:
        return
    row.need(found.median_pause() <= found.calm.worst + 100, "median pause over 100 ms")
    row.need(found.worst_pause() <= found.calm.worst + 300, "worst pause over 300 ms")


def continued(metrics):
    return {dict(labels)["from"]: int(value) for labels, value in
            metrics.matching("loble_sessions_continued_total").items()}


def lost(metrics):
    return {dict(labels)["reason"]: int(value) for labels, value in
            metrics.matching("loble_sessions_lost_total").items() if value}


def note_continued(row, options, metrics):
    """The counters say whether each moment of a session was hit; else it proves little."""
    how, gone = continued(metrics), lost(metrics)
    print(json.dumps({"continued": how, "lost": gone}))
    row.values["continued"] = sum(how.values())
    for name in options.need:
        row.need(how.get(name, 0) > 0, f"no session was continued from {name}")
    row.need(not gone, f"sessions were lost: {gone}")


def part_kills(bench, options, row):
    stand = start(bench, options)
    found = survive(stand, options.rounds, seed=options.seed, gap=(0.1, 1.5), calm=10)
    metrics = scrape(stand.loble)
    note_load(row, stand)
    note_pauses(row, options, found)
    note_continued(row, options, metrics)
    print(json.dumps({"rounds": [vars(one) for one in found.rounds]}))
    row.need(restarts(metrics) == options.rounds, f"{restarts(metrics)} restarts")
    row.need(len(stand.loble.events("worker_restarted")) == options.rounds, "the log lacks a death")
    stand.loble.stop()


def part_storm(bench, options, row):
    """Deaths in quick succession, to be everywhere in the code when they come."""
    stand = start(bench, options)
    dice, loble = random.Random(options.seed), stand.loble
    for number in range(options.rounds):
        gone = until(lambda: worker_of(loble), "a worker process", every=0.0005)
        os.kill(gone, dice.choice(DEATHS))
        until(lambda before=gone: worker_of(loble) not in (None, before), "the next one",
              every=0.0005)
        if number % 3 == 0:
            scrape(loble)  # every third one gets as far as to serve
        time.sleep(dice.uniform(0.002, 0.08))
        if number % 20 == 0 and stand.torture.errors:
            break
    metrics = scrape(loble)
    note_load(row, stand)
    note_continued(row, options, metrics)
    loble.stop()


def part_unix(bench, options, row):
    stand = Stand(bench, kinds=[("unix", "tcp4"), ("tcp4", "unix"), ("abstract", "unix")])
    stand.start()
    stand.load(sessions=options.sessions, rate=options.rate, seed=options.seed, **LOAD)
    found = survive(stand, options.rounds, seed=options.seed, gap=(0.1, 1.5), calm=5)
    metrics = scrape(stand.loble)
    note_load(row, stand)
    note_pauses(row, options, found)
    note_continued(row, options, metrics)
    stand.loble.stop()


def start_replaceable(bench, options):
    new = Replaceable(bench)
    stand = Stand(bench, kinds=[("tcp4", "tcp4")] * 3)
    stand.start(binary=new.path, env=new.env)
    stand.load(sessions=options.sessions, rate=options.rate, seed=options.seed, **LOAD)
    return stand, new


def part_upgrades(bench, options, row):
    stand, new = start_replaceable(bench, options)

    def once(_number):
        new.good()
        upgrade(stand.loble)
        return "upgrade"
    found = survive(stand, options.rounds, seed=options.seed, gap=(0.1, 1.0), calm=10, deed=once)
    metrics = scrape(stand.loble)
    note_load(row, stand)
    note_pauses(row, options, found)
    note_continued(row, options, metrics)
    row.need(metrics("loble_upgrades_total") == options.rounds,
             f"{metrics('loble_upgrades_total')} upgrades")
    row.need(restarts(metrics) == 0, f"{restarts(metrics)} restarts")
    stand.loble.stop()


def part_broken(bench, options, row):
    """Each way to fail in turn; the pause of those that are executed is the way back's."""
    stand, new = start_replaceable(bench, options)
    kinds = [*REFUSED, *FAILING]

    def once(number):
        kind = kinds[number % len(kinds)]
        if kind in FAILING:
            new.failing(kind)
        else:
            new.refused(kind)
        upgrade_in_vain(stand.loble)
        new.mend()
        return kind
    found = survive(stand, options.rounds, seed=options.seed, gap=(0.1, 1.0), calm=10, deed=once)
    metrics = scrape(stand.loble)
    note_load(row, stand)
    quiet = [one for one in found.rounds if one.cause in REFUSED]
    print(json.dumps({"rounds": [vars(one) for one in found.rounds]}))
    found.rounds = quiet
    note_pauses(row, options, found)
    stand.loble.stop()


def damage(bench, loble, seed, count):
    """Damages and kills; returns how many sessions were damaged."""
    program = bench.binary.parents[2] / "tests/soak/damage"
    done = subprocess.run([str(program), str(worker_of(loble)), str(seed), str(count)],
                          stdout=subprocess.PIPE, text=True, check=True)
    deeds = [json.loads(line) for line in done.stdout.splitlines()]
    return sum(one["sessions"] for one in deeds), deeds


def part_damage(bench, options, row):
    stand = start(bench, options)
    loble, damaged, deaths = stand.loble, 0, 0
    for number in range(options.rounds):
        before, gone = restarts(scrape(loble)), worker_of(loble)
        count, deeds = damage(bench, loble, options.seed + number, 5)
        damaged += count
        wait_worker(loble, gone, before + 1)
        more = restarts(scrape(loble)) - before
        deaths = max(deaths, more)
        stand.torture.report()
        report = stand.torture.report()
        bad = {name: sums(report)[name] for name in ERRORS
               if sums(report)[name] and name not in ("reset",)}
        if bad or more > 2:
            row.need(False, f"round {number}: {bad or more}, after {deeds}")
            break
    report = stand.torture.stop()
    hurt = {error["session"] for error in stand.torture.errors if error["error"] == "reset"}
    row.values.update({"errors": len(hurt), "sessions": damaged})
    row.need(sums(report)["reset"] <= 2 * damaged, f"{len(hurt)} sessions were reset")
    row.need(deaths <= 2, f"{deaths} deaths after one damage")


PARTS = {"kills": (part_kills, 200), "storm": (part_storm, 400), "unix": (part_unix, 50),
         "upgrades": (part_upgrades, 100), "broken": (part_broken, 20),
         "damage": (part_damage, 100)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=[*PARTS, "title"])
    parser.add_argument("--name", help="in the table")
    parser.add_argument("--binary")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--need", type=lambda text: text.split(","), default=[],
                        help="from what sessions must have been continued")
    parser.add_argument("--slow", action="store_true",
                        help="a build that waits on purpose: its pauses have no limit")
    parser.add_argument("--table", help="a file that the line of the table is added to")
    options = parser.parse_args()
    if options.part == "title":
        print(Row.title())
        return 0
    run, rounds = PARTS[options.part]
    options.rounds = options.rounds or rounds
    row = Row(options.name or options.part)
    row.values["rounds"] = options.rounds
    with tempfile.TemporaryDirectory(prefix="loble-soak-") as directory:
        bench = Bench(options.binary, directory)
        try:
            run(bench, options, row)
        except BaseException as error:
            traceback.print_exc()
            row.need(False, f"{type(error).__name__}: {str(error)[:300]}")
        finally:
            bench.close()
    print(Row.title())
    print(row)
    if options.table:
        with open(options.table, "a") as table:
            print(row, file=table)
    return 1 if row.failures else 0


if __name__ == "__main__":
    sys.exit(main())
