#!/usr/bin/env python3
"""Each check of tools/ finds what it is for, and lets good code pass."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))

import check_man  # noqa: E402
import check_unit  # noqa: E402
import count_tests  # noqa: E402
import layers  # noqa: E402
import tidy  # noqa: E402

HEADER = "/*\n * A thing. Threads: any.\n */\n#pragma once\n"


class Tree(unittest.TestCase):
    """A tree of its own for each test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file


class Layers(Tree):
    def found(self, path, text):
        self.write(path, text)
        return "\n".join(layers.check(self.root))

    def test_includes_that_point_down_pass(self):
        self.assertEqual("", self.found("src/data/a.c",
            '#include "data/a.h"\n#include <stdio.h>\n#include "model/slot.h"\n'))

    def test_data_never_sees_control(self):
        self.assertIn("src/data/a.c:2: data/ may not include control/",
            self.found("src/data/a.c", '\n#include "control/health.h"\n'))

    def test_no_include_points_up(self):
        self.assertIn("base/ may not include os/",
            self.found("src/base/a.h", '# include "os/clock.h"\n'))

    def test_config_never_sees_os(self):
        self.assertIn("config/ may not include os/",
            self.found("src/config/a.cc", '#include "os/clock.h"\n'))

    def test_paths_start_at_src(self):
        self.assertIn("paths start at src/", self.found("src/base/a.c", '#include "error.h"\n'))

    def test_unknown_folders_are_refused(self):
        self.assertIn("no such folder", self.found("src/base/a.c", '#include "util/a.h"\n'))
        self.assertIn("is in no layer", self.found("src/util/a.c", ""))

    def test_a_library_stays_at_home(self):
        self.assertIn("may only be included by",
            self.found("src/control/a.c", "#include <urcu-qsbr.h>\n"))


class Tidy(Tree):
    def found(self, path, text):
        self.write(path, text)
        if path.endswith(".c"):
            self.write(path.replace(".c", "_test.c"), "int a;\n")
        return "\n".join(tidy.check(self.root))

    def test_good_code_passes(self):
        self.write("src/base/a.h", HEADER)
        self.assertEqual("", self.found("src/base/a.c",
            'int a(void)\n{\n\treturn strcmp("strcpy(", "b"); /* atoi() */\n}\n'))

    def test_long_functions(self):
        body = "\tb();\n" * 70
        self.assertIn("a.c:2: a function of 71 lines",
            self.found("src/base/a.c", "int a(void)\n{\n" + body + "}\n"))

    def test_a_function_of_the_longest_length_passes(self):
        body = "\tb();\n" * 69
        self.assertEqual("", self.found("src/base/a.c", "int a(void)\n{\n" + body + "}\n"))

    def test_long_files(self):
        self.assertIn("601 lines, at most 600", self.found("src/base/a.c", "int a;\n" * 601))

    def test_banned_functions(self):
        for name in tidy.BANNED:
            self.assertIn(f"a.c:1: {name}() is banned",
                self.found("src/base/a.c", f"int a = {name} (b);\n"))

    def test_similar_names_pass(self):
        self.assertEqual("", self.found("src/base/a.c", "int a = strerror_l(b) + xatoi(c);\n"))

    def test_headers_say_who_owns_them(self):
        self.assertIn("which threads", self.found("src/base/a.h", "/*\n * A.\n */\n#pragma once\n"))
        self.assertIn("opens with a comment", self.found("src/base/b.h", "#pragma once\n"))
        self.assertIn("no #pragma once", self.found("src/base/c.h", "/* Threads: any. */\n"))

    def test_wide_lines(self):
        self.assertEqual("", self.found("src/base/a.c", "\tint " + "a" * 87 + ";\n"))
        self.assertIn("more than 100 columns",
            self.found("src/base/a.c", "\tint " + "a" * 88 + ";\n"))

    def test_spaces_for_tabs(self):
        self.assertIn("indented with spaces", self.found("src/base/a.c", "        int a;\n"))

    def test_unfinished_work(self):
        self.assertIn("a.md:1: TO" "DO", self.found("docs/a.md", "TO" "DO: write this\n"))

    def test_homes(self):
        self.assertIn("somebody's home", self.found("scripts/a.sh", "cd /ho" "me/me/loble\n"))
        self.assertIn("somebody's home", self.found("a.py", "A = '/ro" "ot/x'\n"))

    def test_white_space(self):
        self.assertIn("a.md:1: white space", self.found("a.md", "a \n"))
        self.assertIn("one newline", self.found("b.md", "a"))
        self.assertIn("one newline", self.found("c.md", "a\n\n"))

    def test_a_source_without_a_test(self):
        self.write("src/base/a.c", "int a;\n")
        self.assertIn("no a_test.c", "\n".join(tidy.check(self.root)))
        self.write("tools/untested.txt", "src/base/a.c: only a table\n")
        self.assertEqual([], tidy.check(self.root))

    def test_stale_exceptions(self):
        self.write("tools/untested.txt", "src/base/gone.c: only a table\n")
        self.assertIn("does not exist", "\n".join(tidy.check(self.root)))
        self.write("tools/untested.txt", "src/base/a.c: only a table\n")
        self.assertIn("has a test by now", self.found("src/base/a.c", "int a;\n"))
        self.write("src/base/b.c", "int a;\n")
        self.write("tools/untested.txt", "src/base/b.c:\n")
        self.assertIn("has no reason", "\n".join(tidy.check(self.root)))


class CountTests(unittest.TestCase):
    def test_tap_lines_are_the_tests(self):
        self.assertEqual([2, 0, 1], count_tests.count_meson(
            '{"name": "a", "result": "OK", "stdout": "1..3\\nok 1 - a\\nok 2\\nok 3 - c # SKIP x"}'))

    def test_a_failed_test_is_counted(self):
        self.assertEqual([1, 1, 0], count_tests.count_meson(
            '{"name": "a", "result": "FAIL", "stdout": "ok 1 - a\\nnot ok 2 - b\\n"}'))

    def test_a_crash_after_good_tests_is_a_failure(self):
        self.assertEqual([1, 1, 0], count_tests.count_meson(
            '{"name": "a", "result": "ERROR", "stdout": "1..2\\nok 1 - a\\n"}'))
        self.assertEqual([0, 1, 0], count_tests.count_meson('{"name": "a", "result": "TIMEOUT"}'))

    def test_no_test_at_all_is_an_error(self):
        self.assertRaises(ValueError, count_tests.count_meson, "")
        self.assertRaises(ValueError, count_tests.count_junit, "<testsuites/>")

    def test_pytest(self):
        self.assertEqual([1, 2, 1], count_tests.count_junit(
            "<testsuites><testsuite><testcase/><testcase><failure/></testcase>"
            "<testcase><error/></testcase><testcase><skipped/></testcase></testsuite></testsuites>"))


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Unit(Tree):
    def found(self, service):
        file = self.write("loble.service", f"[Unit]\nDescription=a\n[Service]\n{service}")
        return "\n".join(check_unit.check(file, pathlib.Path("/bin/true")))

    def test_an_exposed_unit(self):
        self.assertIn("exposure", self.found("ExecStart=/usr/bin/loble -c a\n"))

    def test_a_mistake_in_a_unit(self):
        self.assertIn("verify:", self.found("ExecStart=/usr/bin/loble\nTyp=notify\n"))

    def test_a_unit_that_starts_something_else(self):
        self.assertIn("no Exec line", self.found("ExecStart=/bin/sh\n"))


class Manual(Tree):
    HELP = "commands:\n  check [FILE]  finds mistakes\noptions:\n      --listen ADDRESS  where\n"
    PAGE = ".It Fl -listen Ar ADDRESS\n.It Cm check\n"

    def test_a_page_that_describes_the_help_passes(self):
        self.assertEqual([], list(check_man.check_help(self.HELP, self.PAGE)))

    def test_an_option_that_is_not_described(self):
        self.assertIn("--listen of --help",
            "\n".join(check_man.check_help(self.HELP, ".It Cm check\n")))

    def test_commands_on_one_side_only(self):
        self.assertIn("check of --help",
            "\n".join(check_man.check_help(self.HELP, ".It Fl -listen\n")))
        self.assertIn("top is not in --help",
            "\n".join(check_man.check_help(self.HELP, self.PAGE + ".It Cm top\n")))

    def test_keys_on_one_side_only(self):
        schema = {"properties": {"server": {"properties": {"workers": {}}},
            "pools": {"additionalProperties": {"properties": {"retries": {}}}}}}
        page = ".It Ic workers\n.It Ic retries\n"
        self.assertEqual([], list(check_man.check_keys(schema, page)))
        self.assertIn("key retries is not described",
            "\n".join(check_man.check_keys(schema, ".It Ic workers\n")))
        self.assertIn("there is no key idle",
            "\n".join(check_man.check_keys(schema, page + ".It Ic idle\n")))

    def test_an_example_that_the_program_refuses(self):
        page = ".Bd -literal -offset indent\n[[backends]]\n.Ed\n"
        self.assertIn("refused", "\n".join(check_man.check_examples("/bin/false", "a", page)))
        self.assertEqual([], list(check_man.check_examples("/bin/true", "a", page)))


@unittest.skipUnless(shutil.which("clang-format"), "clang-format is not installed")
class Format(Tree):
    def status(self):
        return subprocess.run([sys.executable, str(ROOT / "tools/check_format.py"), str(self.root)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).returncode

    def test_a_difference_is_refused(self):
        shutil.copy(ROOT / ".clang-format", self.root)
        self.write("src/base/a.c", "int a;\n")
        if self.status() == 77:
            self.skipTest("another version of clang-format")
        self.assertEqual(0, self.status())
        self.write("src/base/a.c", "int  a ;\n")
        self.assertEqual(1, self.status())


if __name__ == "__main__":
    unittest.main()
