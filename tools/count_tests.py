#!/usr/bin/env python3
"""Prints "PASSED FAILED SKIPPED" for a file of results: tools/count_tests.py FILE

FILE is the .json that `meson test` writes (one line per program, whose TAP lines are the tests) or
the JUnit .xml of pytest. A program that fails without a failed test counts as one.
"""
import json
import re
import sys
import xml.etree.ElementTree

TAP = re.compile(r"^(ok|not ok)\b(?:[^#\n]*#\s*(skip)\b)?", re.IGNORECASE | re.MULTILINE)


def count_program(result, output):
    """One program under meson: its TAP lines, or itself when it has none."""
    lines = [(match[1].lower(), match[2]) for match in TAP.finditer(output)]
    passed = sum(1 for word, skip in lines if word == "ok" and not skip)
    failed = sum(1 for word, skip in lines if word == "not ok" and not skip)
    skipped = sum(1 for _, skip in lines if skip)
    if result == "SKIP":
        return 0, 0, max(1, skipped)
    if result in ("OK", "EXPECTEDFAIL"):
        return max(1, passed), 0, skipped
    return passed, max(1, failed), skipped


def count_meson(text):
    totals = [0, 0, 0]
    programs = [json.loads(line) for line in text.splitlines() if line]
    if not programs:
        raise ValueError("no test ran")
    for program in programs:
        output = program.get("stdout") or ""
        for index, value in enumerate(count_program(program["result"], output)):
            totals[index] += value
    return totals


def count_junit(text):
    totals = [0, 0, 0]
    cases = list(xml.etree.ElementTree.fromstring(text).iter("testcase"))
    if not cases:
        raise ValueError("no test ran")
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            totals[1] += 1
        elif case.find("skipped") is not None:
            totals[2] += 1
        else:
            totals[0] += 1
    return totals


def count(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return count_junit(text) if path.endswith(".xml") else count_meson(text)


if __name__ == "__main__":
    print(*count(sys.argv[1]))
