#!/usr/bin/env python3
"""Checks the rules of docs/style.md that compilers and clang-tidy do not: tools/tidy.py [ROOT]"""
import pathlib
import re
import sys

FUNCTION_LINES_MAX = 70  # as clang-tidy counts: from the line of { to that of }
FILE_LINES_MAX = 600
COLUMNS_MAX = 100
TAB = 8

CODE = (".c", ".h", ".cc")
TEXT = CODE + (".py", ".sh", ".md", ".toml", ".build", ".txt", ".in", ".8", ".5", ".service", ".json")
TEXT_NAMES = ("Makefile", "run", ".clang-tidy", ".clang-format", ".editorconfig", ".gitignore")

# Each with what to use instead.
BANNED = {
    "strcpy": "snprintf() or memcpy()",
    "strcat": "snprintf()",
    "sprintf": "snprintf()",
    "vsprintf": "vsnprintf()",
    "atoi": "strtol() with its checks, or base/units.h",
    "atol": "strtol() with its checks, or base/units.h",
    "strtok": "a loop over a span",
    "strerror": "strerrordesc_np() or strerrorname_np()",
    "alloca": "a member or a limit",
    "gets": "fgets()",
    "localtime": "localtime_r()",
    "gmtime": "gmtime_r()",
}

# Put together from halves, so that this file passes its own check.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"]) + r")\b")
HOME = re.compile(r"(?<![\w.$}/])/(?:home|Users|root)/\w")
OWNERSHIP = re.compile(r"\b(threads?|own(s|ed|er|ers|ership)?|pure|constants?)\b", re.IGNORECASE)
STRING_OR_COMMENT = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
CALL = re.compile(r"\b(" + "|".join(BANNED) + r")\s*\(")


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def code_only(text):
    """The text with comments and literals blanked, lines kept."""
    return STRING_OR_COMMENT.sub(blank, text)


def check_functions(path, lines):
    """Function bodies open with a { alone in column 0 (clang-format sees to it)."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            if number - start > FUNCTION_LINES_MAX:
                yield (f"{path}:{start}: a function of {number - start} lines, "
                    f"at most {FUNCTION_LINES_MAX}")
            start = None


def check_header(path, text):
    if "#pragma once" not in text:
        yield f"{path}:1: no #pragma once"
    if not text.startswith("/*"):
        yield f"{path}:1: a header opens with a comment: what it is, who owns it, which threads"
        return
    if not OWNERSHIP.search(text[:text.find("*/")]):
        yield f"{path}:1: the opening comment does not say who owns it or which threads may use it"


def check_code(path, text):
    bare = code_only(text)
    lines = bare.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{path}:1: {len(lines)} lines, at most {FILE_LINES_MAX}"
    yield from check_functions(path, lines)
    for number, line in enumerate(lines, 1):
        match = CALL.search(line)
        if match:
            yield f"{path}:{number}: {match[1]}() is banned, use {BANNED[match[1]]}"
    for number, line in enumerate(text.splitlines(), 1):
        if len(line.expandtabs(TAB)) > COLUMNS_MAX:
            yield f"{path}:{number}: more than {COLUMNS_MAX} columns"
        if re.match(r" {8}", line) and not line.lstrip().startswith("*"):
            yield f"{path}:{number}: indented with spaces, not with tabs"
    if path.endswith(".h"):
        yield from check_header(path, text)


def check_text(path, text):
    if text and not text.endswith("\n") or text.endswith("\n\n"):
        yield f"{path}: must end with exactly one newline"
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield f"{path}:{number}: white space at the end of the line"
        match = UNFINISHED.search(line)
        if match:
            yield f"{path}:{number}: {match[1]}: finish it, or write down why it stays"
        if HOME.search(line):
            yield f"{path}:{number}: an absolute path into somebody's home"


def read_untested(root):
    """The .c files that need no unit test: {path: reason}, from tools/untested.txt."""
    allowed = {}
    file = root / "tools" / "untested.txt"
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                path, _, reason = line.partition(":")
                allowed[path.strip()] = reason.strip()
    return allowed


def check_tests(root):
    """Each x.c of src/ has its x_test.c beside it, or a reason in tools/untested.txt."""
    allowed = read_untested(root)
    for path, reason in allowed.items():
        file = root / path
        if not file.exists():
            yield f"tools/untested.txt: {path} does not exist"
        elif file.with_name(file.stem + "_test.c").exists():
            yield f"tools/untested.txt: {path} has a test by now, drop the line"
        if not reason:
            yield f"tools/untested.txt: {path} has no reason"
    for file in sorted((root / "src").rglob("*.c")):
        path = file.relative_to(root).as_posix()
        if file.stem.endswith(("_test", "_fuzz")) or path in allowed:
            continue
        if not file.with_name(file.stem + "_test.c").exists():
            yield f"{path}:1: no {file.stem}_test.c, and no reason in tools/untested.txt"


def files_of(root):
    for file in sorted(root.rglob("*")):
        path = file.relative_to(root).as_posix()
        top = path.split("/")[0]
        if top == ".git" or top == "build" or top.startswith("build-") or "__pycache__" in path:
            continue
        if path.startswith("tests/corpus/") or not file.is_file() or file.is_symlink():
            continue
        if file.suffix in TEXT or file.name in TEXT_NAMES:
            yield path, file


def check(root):
    root = pathlib.Path(root)
    problems = list(check_tests(root))
    for path, file in files_of(root):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            problems.append(f"{path}: not UTF-8")
            continue
        problems += check_text(path, text)
        if file.suffix in CODE:
            problems += check_code(path, text)
    return problems


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent
    problems = check(root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
