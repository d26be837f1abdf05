"""The command line: what it runs, says, and which exit code it ends with."""

import json
import re
import signal
import subprocess
import tomllib

import pytest

from harness import net, toml
from harness.backends import echo
from harness.loble import REPORTS, environment
from harness.net import END
from harness.wait import DEADLINE, until

USAGE, INVALID, NO_FILE, REFUSED = 64, 65, 66, 78

pytestmark = pytest.mark.asan

GOOD = """\
[listener]
address = "127.0.0.1:9000"

[[backends]]
address = "127.0.0.1:8080"
"""
BAD = """\
[listener]
address = "127.0.0.1:9000"
backlock = 12

[balancer]
algorithm = "round_robbin"

[timeouts]
connect = "3 parsecs"
idle = 5

[[backends]]
address = "127.0.0.1:80"
weight = 70000
"""


@pytest.fixture
def run(binary, directory):
    def command(*words, text=None, cwd=directory):
        done = subprocess.run([str(binary), *map(str, words)], input=text, capture_output=True,
                              timeout=DEADLINE, text=True, cwd=cwd, env=environment(),
                              check=False)
        for report in REPORTS:
            assert report not in done.stderr, done.stderr
        assert done.returncode >= 0, f"ended by signal {-done.returncode}"
        return done
    return command


@pytest.fixture
def good(directory):
    file = directory / "good.toml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def bad(directory):
    file = directory / "bad.toml"
    file.write_text(BAD)
    return file


def test_version_names_the_program_and_a_version(run):
    done = run("--version")
    assert done.returncode == 0
    assert re.match(r"^loble \d+\.\d+\.\d+", done.stdout)


def test_help_names_the_commands_and_goes_to_standard_output(run):
    done = run("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for word in ("check", "init", "-config", "--listen", "--backend", "--print-config"):
        assert word in done.stdout, word
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_help_names_no_command_that_does_not_exist(run):
    text = run("--help").stdout
    for command in ("demo", "ctl", "plan", "why", "top", "doctor"):
        if re.search(rf"^\s+(loble )?{command}\b", text, re.MULTILINE):
            assert run(command, "--help").returncode == 0, command
        else:
            assert run(command).returncode == USAGE, command


@pytest.mark.parametrize("wrong, near", [("chekc", "check"), ("inti", "init"), ("chec", "check")])
def test_an_unknown_command_is_an_error_with_the_nearest_one(run, wrong, near):
    done = run(wrong)
    assert done.returncode == USAGE
    assert done.stdout == ""
    assert wrong in done.stderr and f"{near}" in done.stderr


@pytest.mark.parametrize("words", [
    ["--no-such-option"], ["-x"], ["-config"], ["--listen"], ["--listen", ":9000"],
    ["--backend", "127.0.0.1:80"], ["-config", "a.toml", "b.toml"], ["check", "a", "b"],
    ["check", "--format", "xml", "a"], ["--confg", "a.toml"],
], ids=" ".join)
def test_wrong_usage_is_64_with_a_word_about_help(run, words):
    done = run(*words)
    assert done.returncode == USAGE, done
    assert done.stdout == ""
    assert done.stderr.strip()


@pytest.mark.parametrize("command", ["check", "config", "ctl", "demo", "doctor", "help", "init"])
def test_the_help_that_it_points_to_is_that_of_the_command(run, command):
    done = run(command, "--bogus")
    assert done.returncode == USAGE and "unknown option '--bogus'" in done.stderr
    assert done.stderr.endswith(f"Try 'loble {command} --help'.\n")
    assert run(command, "--help").returncode == 0
    assert run("--bogus").stderr.endswith("Try 'loble --help'.\n")


def test_without_any_argument_it_says_how_to_use_it(run):
    done = run()
    assert done.returncode == USAGE
    assert "loble" in done.stderr


def test_a_file_and_addresses_together_are_wrong_usage(run, good):
    done = run("-config", good, "--listen", ":1", "--backend", "127.0.0.1:2")
    assert done.returncode == USAGE


@pytest.mark.parametrize("words", [["-config"], ["--config"], ["-c"], ["check"]])
def test_a_file_that_is_not_there_is_66(run, directory, words):
    done = run(*words, directory / "missing.toml")
    assert done.returncode == NO_FILE
    assert "missing.toml" in done.stderr


@pytest.mark.parametrize("words", [["-config"], ["--config"], ["-c"], ["check"]])
def test_an_invalid_file_is_65_with_every_mistake_and_its_place(run, bad, words):
    done = run(*words, bad)
    assert done.returncode == INVALID
    text = done.stderr + done.stdout
    for line, word in ((3, "backlock"), (6, "round_robbin"), (9, "parsecs"), (10, "idle"),
                       (14, "weight")):
        assert re.search(rf"bad\.toml:{line}:\d+", text), (line, text)
        assert word in text
    assert "backlog" in text and "round_robin" in text  # the hints
    assert "^" in text  # the carets
    assert 'backlock = 12' in text  # the line itself


def test_a_directory_is_no_configuration(run, directory):
    assert run("-config", directory).returncode in (INVALID, NO_FILE, 74)


def test_check_of_a_valid_file_is_0(run, good):
    done = run("check", good)
    assert done.returncode == 0, done
    assert done.stderr == ""


def test_check_as_json_of_a_valid_file_has_no_mistakes(run, good):
    done = run("check", "--format", "json", good)
    assert done.returncode == 0
    assert "error" not in {entry.get("severity", entry.get("level"))
                           for entry in mistakes(json.loads(done.stdout))}


def mistakes(document):
    """The list of mistakes: the document itself, or the one list in it."""
    if isinstance(document, list):
        return document
    lists = [value for value in document.values() if isinstance(value, list)]
    assert len(lists) == 1, document
    return lists[0]


def test_check_as_json_has_each_mistake_with_line_column_and_message(run, bad):
    done = run("check", "--format", "json", bad)
    assert done.returncode == INVALID
    found = mistakes(json.loads(done.stdout))
    assert {entry["line"] for entry in found} == {3, 6, 9, 10, 14}
    for entry in found:
        assert entry["column"] >= 1 and entry["message"]
        assert entry["file"].endswith("bad.toml")


def test_init_writes_a_commented_configuration_that_is_valid(run, directory):
    done = run("init")
    assert done.returncode == 0
    text = done.stdout
    if not text.strip():  # into a file, then
        (file,) = directory.glob("*.toml")
        text = file.read_text()
    assert text.count("#") > 5
    assert {"listener", "backends"} <= tomllib.loads(text).keys() or \
        {"listeners", "pools"} <= tomllib.loads(text).keys()
    sample = directory / "sample.toml"
    sample.write_text(text)
    checked = run("check", sample)
    assert checked.returncode == 0, checked


def test_print_config_is_the_file_that_the_command_line_stands_for(run, directory):
    done = run("--listen", ":9000", "--backend", "127.0.0.1:80", "--backend", "127.0.0.1:81",
               "--print-config")
    assert done.returncode == 0
    table = tomllib.loads(done.stdout)
    listener = table.get("listener") or table["listeners"][0]
    backends = table.get("backends") or table["pools"]["default"]["backends"]
    assert listener["address"] == ":9000"
    assert [one["address"] for one in backends] == ["127.0.0.1:80", "127.0.0.1:81"]
    file = directory / "printed.toml"
    file.write_text(done.stdout)
    assert run("check", file).returncode == 0


@pytest.mark.parametrize("option", ["-config", "--config", "-c"])
def test_it_runs_with_a_file(bench, option):
    service = bench.service(echo)
    listener, where = net.free_tcp4(), net.free_tcp4()
    config = {"listener": {"address": str(listener)}, "metrics": {"address": str(where)},
              "backends": [{"address": str(service.address)}]}
    file = bench.directory / "run.toml"
    file.write_text(toml.dumps(config))
    bench.raw(config, arguments=[option, str(file)])
    assert net.exchange(listener, b"x") == (b"x", END)


def test_it_runs_without_a_file(bench):
    service = bench.service(echo)
    first, second = net.free_tcp4(), service.address
    loble = bench.raw("", arguments=["--listen", str(first), "--backend", str(second)],
                      ready=None)
    until(lambda: serves(first), "service")
    loble.stop()


def test_it_runs_without_a_file_and_with_several_backends(bench):
    names = [bench.greeter(name) for name in ("a", "b")]
    listener = net.free_tcp4()
    words = ["--listen", str(listener)]
    for one in names:
        words += ["--backend", str(one.address)]
    loble = bench.raw("", arguments=words, ready=None)
    until(lambda: connects(listener), "the listener")
    assert {net.exchange(listener).data for _ in range(6)} == {b"a", b"b"}
    loble.stop(signal.SIGINT)


def connects(address):
    try:
        net.connect(address).close()
    except OSError:
        return False
    return True


def serves(address):
    try:
        return net.exchange(address, b"ping") == (b"ping", END)
    except OSError:
        return False


def test_a_backend_on_the_command_line_that_makes_no_sense_is_an_error(run):
    done = run("--listen", ":9000", "--backend", "nowhere")
    assert done.returncode in (USAGE, INVALID)
    assert "nowhere" in done.stderr


def test_an_address_in_use_is_78_from_the_command_line_too(bench, run):
    taken = bench.service(echo)
    done = run("--listen", taken.address, "--backend", net.free_tcp4())
    assert done.returncode == REFUSED
    assert str(taken.address.port) in done.stderr


def test_init_writes_a_file_that_is_valid_and_never_overwrites_one(run, tmp_path):
    file = tmp_path / "new.toml"
    done = run("init", file)
    assert done.returncode == 0 and str(file) in done.stdout
    assert run("check", file).returncode == 0
    before = file.read_text()
    again = run("init", file)
    assert again.returncode == 78 and "exists already" in again.stderr
    assert file.read_text() == before
    nowhere = run("init", tmp_path / "no" / "such" / "folder.toml")
    assert nowhere.returncode == 74 and "cannot be written" in nowhere.stderr
    assert run("init").stdout == before


def test_config_prints_the_reference_and_a_schema(run):
    reference = run("config", "reference")
    assert reference.returncode == 0
    assert "[pools.NAME]" in reference.stdout and "failure_threshold" in reference.stdout
    schema = run("config", "schema")
    assert schema.returncode == 0
    assert {"listener", "listeners", "pools", "backends"} <= set(
        json.loads(schema.stdout)["properties"])
    wrong = run("config", "refrence")
    assert wrong.returncode == USAGE and "refrence" in wrong.stderr
