"""What the program writes to files, what it prints of itself, and whose rights it keeps."""

import json
import os
import pwd
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from harness import net, toml
from harness.loble import REPORTS, environment
from harness.wait import DEADLINE

USAGE, NO_INPUT_OUTPUT, NOT_PERMITTED, REFUSED = 64, 74, 77, 78
NOBODY = pwd.getpwnam("nobody")

pytestmark = pytest.mark.asan
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@pytest.fixture
def run(binary, directory):
    def command(*words):
        done = subprocess.run([str(binary), *map(str, words)], capture_output=True, text=True,
                              timeout=DEADLINE, cwd=directory, env=environment(), check=False)
        for report in REPORTS:
            assert report not in done.stderr, done.stderr
        return done
    return command


def test_init_writes_the_file_that_it_would_print(run, directory):
    done = run("init", "new.toml")
    assert done.returncode == 0 and "new.toml" in done.stdout
    assert (directory / "new.toml").read_text() == run("init").stdout
    assert run("check", "new.toml").returncode == 0


def test_init_never_touches_a_file_that_exists(run, directory):
    file = directory / "mine.toml"
    file.write_text("mine")
    done = run("init", file)
    assert done.returncode == REFUSED and "mine.toml" in done.stderr
    assert file.read_text() == "mine"


def test_init_says_why_a_file_cannot_be_written(run):
    done = run("init", "no/such/folder.toml")
    assert done.returncode == NO_INPUT_OUTPUT and "no/such/folder.toml" in done.stderr


def keys_of(schema):
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from keys_of(inner)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from keys_of(schema[word])
    for word in ("oneOf", "anyOf", "allOf"):
        for inner in schema.get(word, []):
            yield from keys_of(inner)


def test_config_prints_a_reference_and_a_schema_of_the_same_keys(run):
    reference, schema = run("config", "reference"), run("config", "schema")
    assert reference.returncode == schema.returncode == 0
    text = json.loads(schema.stdout)
    keys = set(keys_of(text)) | {key for one in text.get("definitions", {}).values()
                                 for key in keys_of(one)}
    assert {"failure_threshold", "retries", "max_sessions"} <= keys
    for key in keys:
        assert key in reference.stdout


@pytest.mark.parametrize("words", [["config"], ["config", "nonsense"], ["help", "nonsense"],
                                   ["config", "schema", "more"]])
def test_a_word_that_means_nothing_is_wrong_usage(run, words):
    done = run(*words)
    assert done.returncode == USAGE and done.stderr and not done.stdout


@pytest.mark.parametrize("command", ["check", "init", "config", "demo"])
def test_help_with_a_command_is_the_help_of_it(run, command):
    done = run("help", command)
    assert done.returncode == 0 and f"usage: loble {command}" in done.stdout
    assert done.stdout == run(command, "--help").stdout


def ids_of(loble, word):
    """The four ids of that kind, of all threads."""
    found = set()
    for task in Path(f"/proc/{loble.worker}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith(word + ":"):
                found |= {int(one) for one in line.split()[1:]}
    return found


@needs_root
@pytest.mark.parametrize("name", ["nobody", str(NOBODY.pw_uid)])
def test_every_thread_becomes_the_user_and_serves_all_the_same(bench, name):
    line = bench.line(server={"user": name, "workers": 2})
    assert ids_of(line.loble, "Uid") == {NOBODY.pw_uid}
    assert ids_of(line.loble, "Groups") == ids_of(line.loble, "Gid")
    client, backend = line.open()
    client.send(b"question")
    assert backend.receive(8) == b"question"


@needs_root
def test_a_group_may_be_given_alone(bench):
    line = bench.line(server={"group": str(NOBODY.pw_gid)})
    assert ids_of(line.loble, "Gid") == {NOBODY.pw_gid}
    assert ids_of(line.loble, "Uid") == {0}


@needs_root
def test_a_privileged_port_is_bound_before_the_rights_go(bench):
    port = next(port for port in range(700, 1000) if is_free(port))
    backend = bench.manual()
    bench.loble(backend, listener=f"127.0.0.1:{port}", server={"user": "nobody", "workers": 1})


def is_free(port):
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def file_with(directory, **server):
    file = directory / "rights.toml"
    file.write_text(toml.dumps({"server": {"workers": 1, **server},
                                "listener": {"address": str(net.free_tcp4())},
                                "backends": [{"address": "127.0.0.1:9"}]}))
    return file


@pytest.mark.parametrize("key", ["user", "group"])
def test_a_name_that_nobody_has_ends_the_start(run, directory, key):
    done = run("-config", file_with(directory, **{key: "no-such-name"}))
    assert done.returncode == REFUSED
    assert f"server.{key}" in done.stderr and "no-such-name" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may")
def test_who_is_not_root_cannot_become_somebody_else(run, directory):
    assert run("-config", file_with(directory, user="root")).returncode == NOT_PERMITTED


def test_a_written_file_is_for_all_to_read_and_for_its_owner_to_write(run, directory):
    before = os.umask(0o022)
    try:
        assert run("init", "new.toml").returncode == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / "new.toml").stat().st_mode) == 0o644
