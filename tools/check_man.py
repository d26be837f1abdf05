#!/usr/bin/env python3
"""Checks the manual pages against the program: tools/check_man.py PROGRAM PAGE...

`mandoc -T lint` must find nothing. Each option and command that the help of PROGRAM names must stand in
loble(8), and each command there must be in the help. Each key of the configuration must stand in
loble.toml(5) and each key there must exist; examples that are whole files must pass `PROGRAM check`.
Exits with 77, which meson counts as skipped, without mandoc.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HELP_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
HELP_COMMANDS = re.compile(r"^commands:\n(.*?)^\S", re.MULTILINE | re.DOTALL)
HELP_COMMAND = re.compile(r"^  ([a-z]+)\b", re.MULTILINE)
PAGE_KEY = re.compile(r"^\.It Ic ([a-z_]+)", re.MULTILINE)
PAGE_COMMAND = re.compile(r"^\.It Cm ([a-z]+)", re.MULTILINE)
EXAMPLE = re.compile(r"^\.Bd -literal.*?\n(.*?)^\.Ed", re.MULTILINE | re.DOTALL)


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=60)


def commands_of(help_text):
    return HELP_COMMAND.findall("".join(HELP_COMMANDS.findall(help_text)))


def check_help(help_text, page):
    """Differences between what --help names and what the source of loble(8) names."""
    plain = page.replace("\\-", "-")
    for option in sorted(set(HELP_OPTION.findall(help_text))):
        if not re.search(rf"\bFl {option[1:]}\b", plain):
            yield f"loble.8: {option} of --help is not described"
    of_help = set(commands_of(help_text))
    of_page = set(PAGE_COMMAND.findall(plain))
    for command in sorted(of_help - of_page):
        yield f"loble.8: the command {command} of --help is not described"
    for command in sorted(of_page - of_help):
        yield f"loble.8: the command {command} is not in --help"


def keys_of(schema):
    """All names of options in a JSON Schema, however deep; names of tables are none."""
    keys = set()
    for name, value in schema.get("properties", {}).items():
        inner = keys_of(value)
        keys |= inner or {name}
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            keys |= keys_of(schema[inner])
    for inner in ("oneOf", "anyOf", "allOf"):
        for value in schema.get(inner, []):
            keys |= keys_of(value)
    if "definitions" in schema:
        for value in schema["definitions"].values():
            keys |= keys_of(value)
    return keys


def check_keys(schema, page):
    of_page = set(PAGE_KEY.findall(page.replace("\\-", "-")))
    of_program = keys_of(schema)
    for key in sorted(of_program - of_page):
        yield f"loble.toml.5: the key {key} is not described"
    for key in sorted(of_page - of_program):
        yield f"loble.toml.5: there is no key {key}"


def check_examples(program, name, page):
    """Every literal block that is a whole configuration has to be one that the program takes."""
    for text in EXAMPLE.findall(page):
        text = text.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
        if "[[backends]]" not in text and "[[listeners]]" not in text:
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            result = run(program, "check", file.name)
        if result.returncode != 0:
            yield f"{name}: the example is refused: {result.stdout.strip()}"


def check(program, pages):
    problems = []
    for path in pages:
        page = pathlib.Path(path).read_text(encoding="utf-8")
        name = pathlib.Path(path).name
        result = run("mandoc", "-T", "lint", "-W", "warning", path)
        if result.returncode != 0:
            problems.append(f"{name}: {result.stdout.strip()}")
        if name == "loble.8":
            result = run(program, "--help")
            if result.returncode != 0 or not result.stdout.strip():
                problems.append(f"--help ended with {result.returncode}: {result.stdout.strip()}")
            whole = result.stdout
            for command in commands_of(result.stdout):
                whole += run(program, command, "--help").stdout
            problems += check_help(whole, page)
        if name == "loble.toml.5":
            problems += check_keys(json.loads(run(program, "config", "schema").stdout), page)
        problems += check_examples(program, name, page)
    return problems


def main():
    if not shutil.which("mandoc"):
        print("mandoc is not installed")
        return 77
    problems = check(sys.argv[1], sys.argv[2:])
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
