#!/usr/bin/env python3
"""Checks that clang-format would change nothing: tools/check_format.py [ROOT]

Exits with 77, which meson counts as skipped, without clang-format 14: other versions lay the same
settings out differently.
"""
import pathlib
import shutil
import subprocess
import sys

VERSION = "version 14."


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    if not shutil.which("clang-format"):
        print("clang-format is not installed")
        return 77
    version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True,
        check=True).stdout
    if VERSION not in version:
        print(f"clang-format 14 is needed, this is: {version}")
        return 77
    files = [file for folder in ("src", "tests", "bench") for file in sorted((root / folder).rglob("*"))
        if file.suffix in (".c", ".h", ".cc")]
    return subprocess.run(["clang-format", "--dry-run", "-Werror", *files], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
