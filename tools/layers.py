#!/usr/bin/env python3
"""Checks that includes point down: tools/layers.py [ROOT]

The table is the architecture (docs/architecture.md). A new edge is a decision record.
"""
import pathlib
import re
import sys

MAY_INCLUDE = {
    "base": [],
    "os": ["base"],
    "model": ["base", "os"],
    "balance": ["base", "model"],
    "config": ["base"],
    "control": ["base", "os", "model", "balance", "config"],
    "data": ["base", "os", "model", "balance"],
    "observe": ["base", "os", "model"],
    "main": ["base", "os", "model", "balance", "config", "control", "data", "observe"],
}

# A library that only one file may know, so that it can be replaced there.
ONLY_IN = {
    "toml++/": ["src/config/toml.cc"],
    "urcu": ["src/model/rcu.c", "src/model/rcu.h"],
    "microhttpd.h": ["src/observe/http.c", "src/observe/http_response.c"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def check_include(path, folder, bracket, name):
    """What is wrong with one include line of the file `path`, or None."""
    for library, homes in ONLY_IN.items():
        if name.startswith(library) and path not in homes:
            return f"<{name}> may only be included by {' and '.join(homes)}"
    if bracket == "<":
        return None
    target, slash, _ = name.partition("/")
    if not slash:
        return f'"{name}": paths start at src/, as in "{folder}/{name}"'
    if target not in MAY_INCLUDE:
        return f'"{name}": no such folder in src/'
    if target != folder and target not in MAY_INCLUDE[folder]:
        return f"{folder}/ may not include {target}/"
    return None


def check(root):
    root = pathlib.Path(root)
    problems = []
    for file in sorted((root / "src").rglob("*")):
        if file.suffix not in (".c", ".h", ".cc"):
            continue
        path = file.relative_to(root).as_posix()
        folder = path.split("/")[1]
        if folder not in MAY_INCLUDE:
            problems.append(f"{path}:1: folder {folder}/ is in no layer of tools/layers.py")
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                problem = check_include(path, folder, match[1], match[2])
                if problem:
                    problems.append(f"{path}:{number}: {problem}")
    return problems


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent
    problems = check(root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
