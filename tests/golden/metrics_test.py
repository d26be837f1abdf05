#!/usr/bin/env python3
"""The page of all metrics: tests/golden/metrics_test.py PROGRAM [--update]

PROGRAM prints the page of known states. It has to parse strictly, to please promtool where that is
installed, and to equal metrics.txt but for the process_* metrics. The parser itself has to refuse
what it should.
"""
import difflib
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))

import promtext  # noqa: E402  (after the path is known)

HEAD = "# HELP a_total A.\n# TYPE a_total counter\n"
HISTOGRAM = "# HELP h H.\n# TYPE h histogram\n"

GOOD = (
    HEAD + "a_total 1\n",
    HEAD + 'a_total{b="x\\"\\\\\\n"} 1.5\n',
    HISTOGRAM + 'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3.5\nh_count 2\n',
)

BAD = {
    "no end of the last line": HEAD + "a_total 1",
    "no TYPE": "# HELP a_total A.\na_total 1\n",
    "no HELP": "# TYPE a_total counter\na_total 1\n",
    "HELP twice": HEAD + "a_total 1\n" + HEAD,
    "a series twice": HEAD + 'a_total{b="c"} 1\na_total{b="c"} 1\n',
    "a label twice": HEAD + 'a_total{b="c",b="d"} 1\n',
    "samples apart": HEAD + "# HELP c C.\n# TYPE c gauge\nc 1\na_total 1\n",
    "a bad escape": HEAD + 'a_total{b="\\t"} 1\n',
    "an open quote": HEAD + 'a_total{b="} 1\n',
    "no value": HEAD + "a_total\n",
    "a word as value": HEAD + "a_total one\n",
    "a negative counter": HEAD + "a_total -1\n",
    "a counter without _total": "# HELP a A.\n# TYPE a counter\na 1\n",
    "a gauge with _total": "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
    "an empty line": HEAD + "\na_total 1\n",
    "no +Inf": HISTOGRAM + 'h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
    "not cumulative":
        HISTOGRAM + 'h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    "bounds out of order": HISTOGRAM + 'h_bucket{le="2"} 1\nh_bucket{le="1"} 1\n'
        'h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    "another count": HISTOGRAM + 'h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
    "no sum": HISTOGRAM + 'h_bucket{le="+Inf"} 1\nh_count 1\n',
}


def check_parser():
    for text in GOOD:
        promtext.parse(text)
    for what, text in BAD.items():
        try:
            promtext.parse(text)
        except promtext.FormatError:
            continue
        yield f"the parser takes a page with {what}"
    one, two = (promtext.parse(HEAD + f"a_total {n}\n") for n in (1, 2))
    promtext.check_monotonic(one, two)
    try:
        promtext.check_monotonic(two, one)
    except promtext.FormatError:
        return
    yield "the parser takes a counter that goes back"


def check_promtool(page):
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed: its check is left out")
        return
    done = subprocess.run([promtool, "check", "metrics"], input=page, text=True,
        capture_output=True, check=False)
    if done.returncode != 0:
        yield f"promtool: {done.stdout}{done.stderr}"


def without_process(page):
    return "".join(line for line in page.splitlines(keepends=True)
        if not line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith("process_"))


def check_golden(page, update):
    golden = HERE / "metrics.txt"
    if update:
        golden.write_text(page, encoding="utf-8")
    expected = golden.read_text(encoding="utf-8")
    if page != expected:
        yield "".join(difflib.unified_diff(expected.splitlines(keepends=True),
            page.splitlines(keepends=True), "metrics.txt", "the page"))


def main():
    page = subprocess.run([sys.argv[1]], check=True, capture_output=True).stdout.decode("utf-8")
    problems = [*check_parser(), *check_promtool(page)]
    problems += check_golden(without_process(page), "--update" in sys.argv)
    families = promtext.parse(page)
    problems += [f"{name} is not on the page" for name in (
        "process_cpu_seconds_total", "process_resident_memory_bytes",
        "process_virtual_memory_bytes", "process_open_fds", "process_max_fds",
        "process_start_time_seconds") if name not in families]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
