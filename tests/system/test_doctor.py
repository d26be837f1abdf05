"""What `loble doctor` says of this machine."""

import json
import re
import subprocess

import pytest

from harness import forbid, proc
from harness.loble import environment
from harness.wait import DEADLINE

pytestmark = pytest.mark.asan


def doctor(binary, *words, wrapper=()):
    done = subprocess.run([*wrapper, str(binary), "doctor", *words], capture_output=True, text=True,
                          timeout=DEADLINE, env=environment(), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def checks(text):
    return {check["name"]: check for check in json.loads(text)["checks"]}


def test_text_and_json_say_the_same(binary):
    told = json.loads(doctor(binary, "--json"))
    lines = doctor(binary).splitlines()
    shown = [line for line in lines if re.match(r"(OK|WARN) ", line)]
    mends = [line for line in lines if re.match(r" +mend: ", line)]
    assert len(shown) == len(told["checks"]) >= 15
    assert len(mends) == told["warnings"] == sum(c["status"] == "warn" for c in told["checks"])
    for line, check in zip(shown, told["checks"]):
        assert line.split()[:2] == [check["status"].upper(), check["name"]]
        assert line.endswith(check["text"])
        assert (check["status"] == "warn") == ("mend" in check)


def test_a_low_limit_of_descriptors_is_a_warning(binary):
    wrapper = ("setpriv", "--bounding-set", "-sys_resource", "prlimit", "--nofile=1024:1024")
    found = checks(doctor(binary, "--json", wrapper=wrapper))
    assert found["descriptors"]["status"] == "warn"
    assert "ulimit -Hn" in found["descriptors"]["mend"]
    assert "1024 descriptors" in found["descriptors"]["text"]


@pytest.mark.parametrize("limit", [600, 1024, 4096])
def test_it_names_as_many_sessions_as_a_start_has(bench, binary, limit):
    wrapper = ("setpriv", "--bounding-set", "-sys_resource", "prlimit", f"--nofile={limit}:{limit}")
    text = checks(doctor(binary, "--json", wrapper=wrapper))["descriptors"]["text"]
    loble = bench.loble(bench.greeter("here"), options={"wrapper": wrapper})
    started = loble.wait_event("started")
    assert text == f"{limit} descriptors, enough for {started['max_sessions']} sessions"


def test_what_it_may_not_is_a_warning(binary):
    wrapper = ("setpriv", "--bounding-set", "-bpf,-sys_admin,-net_bind_service")
    found = checks(doctor(binary, "--json", wrapper=wrapper))
    assert found["steering"]["status"] == "warn"
    assert "setcap cap_bpf" in found["steering"]["mend"]
    assert str(binary) in found["steering"]["mend"]


def test_without_io_uring_it_says_so_and_serves(bench, binary):
    if "liburing-dev" in checks(doctor(binary, "--json"))["io_uring"].get("mend", ""):
        pytest.skip("this build has none")
    wrapper = forbid.wrapper(forbid.IO_URING_SETUP)
    found = checks(doctor(binary, "--json", wrapper=wrapper))
    assert found["io_uring"]["status"] == "warn"
    assert "kernel.io_uring_disabled=0" in found["io_uring"]["mend"]

    loble = bench.loble(bench.greeter("here"), options={"wrapper": wrapper},
                        server={"workers": 2})
    assert [loble.ask().data for _ in range(10)] == [b"here"] * 10
    loble.wait_event("io_uring_off")
    assert len(loble.events("io_uring_off")) == 1  # whatever the number of workers


def test_io_uring_can_be_left_off(bench):
    loble = bench.loble(bench.greeter("here"), server={"io_uring": False})
    assert loble.ask().data == b"here"
    assert not loble.events("io_uring_off")
    for process in proc.tree(loble.pid):
        assert not any("io_uring" in target for target in proc.descriptors(process).values())


def test_it_takes_no_operand(binary):
    done = subprocess.run([str(binary), "doctor", "me"], capture_output=True, text=True,
                          timeout=DEADLINE, env=environment(), check=False)
    assert done.returncode == 64 and "me" in done.stderr
