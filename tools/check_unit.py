#!/usr/bin/env python3
"""Checks a systemd unit: tools/check_unit.py UNIT PROGRAM

`systemd-analyze verify` must say nothing, on a copy that starts PROGRAM (the one just built: the
installed one need not exist), and the exposure that `systemd-analyze security` finds must stay low.
Exits with 77, which meson counts as skipped, where there is no systemd-analyze.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

EXPOSURE_MAX = 2.0  # of 10; Debian's own proxies have 9.6

PROGRAM_LINE = re.compile(r"^(Exec\w+=[-+!:@]*)(\S*/loble)\b", re.MULTILINE)
EXPOSURE = re.compile(r"Overall exposure level for .*: ([0-9.]+)")


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=60)


def check(unit, program):
    """All that is wrong with the file `unit`."""
    text = pathlib.Path(unit).read_text(encoding="utf-8")
    text, count = PROGRAM_LINE.subn(lambda match: match[1] + str(program), text)
    if count == 0:
        return ["no Exec line starts loble"]
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / pathlib.Path(unit).name
        copy.write_text(text, encoding="utf-8")
        result = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy))
        if result.returncode != 0 or result.stdout.strip():
            problems.append(f"verify: {result.stdout.strip() or result.returncode}")
        result = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(copy))
    match = EXPOSURE.search(result.stdout)
    if not match:
        problems.append(f"security: {result.stdout.strip()}")
    elif float(match[1]) > EXPOSURE_MAX:
        problems.append(f"security: exposure {match[1]}, at most {EXPOSURE_MAX}")
    return problems


def main():
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not installed")
        return 77
    problems = check(sys.argv[1], pathlib.Path(sys.argv[2]).resolve())
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
