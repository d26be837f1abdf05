"""`loble demo`: checks itself, leaves nothing behind, and stops in order when it is told to."""

import os
import re
import signal
import subprocess
import time

import pytest

from harness.wait import SLOWNESS

LIMIT = 60 * SLOWNESS
FAILED = 1
OUTPUT = 74


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    return kept | changes


def start(binary, *words, **options):
    return subprocess.Popen([binary, "demo", *words], stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), **options)


def end(process):
    """What it wrote and how it ended; a demo that hangs is killed and fails the test."""
    try:
        output, errors = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    return output, errors, process.returncode


def read_until(process, words):
    """Its lines up to the one with these words."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    pytest.fail(f"no {words!r} in {''.join(lines)}")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def assert_gone(pid):
    deadline = time.monotonic() + 20 * SLOWNESS
    while os.path.exists(f"/proc/{pid}"):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            if file.read().rpartition(")")[2].split()[0] == "Z":
                return
        assert time.monotonic() < deadline, f"process {pid} was left behind"
        time.sleep(0.05)


@pytest.mark.asan
@pytest.mark.tsan
def test_the_demo_holds_and_shows_what_happened(binary):
    output, errors, code = end(start(binary, "--seconds", "8"))
    assert code == 0, output + errors
    assert errors == ""
    for change in ("healthy -> draining", "draining -> unhealthy", "unhealthy -> healthy"):
        assert len(re.findall(rf"beta: {change} \(", output)) == 1, output
    assert len(re.findall(r"^  ok     ", output, re.MULTILINE)) == 7, output
    assert "FAILED" not in output
    assert "\033" not in output, "colours without a terminal"
    assert len(re.findall(r"^ +\d+\.\d s +\d+ ", output, re.MULTILINE)) >= 5, output


def test_two_demos_at_once_do_not_meet(binary):
    both = [start(binary, "--seconds", "8") for _ in range(2)]
    for output, errors, code in [end(one) for one in both]:
        assert code == 0, output + errors


def test_an_interrupted_demo_stops_its_balancer_and_says_so(binary):
    process = start(binary)
    read_until(process, "   time")
    balancers = children(process.pid)
    assert len(balancers) == 1
    process.send_signal(signal.SIGINT)
    output, errors, code = end(process)
    assert code == FAILED
    assert "interrupted" in errors
    assert "Checks" not in output
    assert_gone(balancers[0])


def test_keep_goes_on_until_it_is_interrupted(binary):
    process = start(binary, "--keep", "--seconds", "8")
    read_until(process, "goes on until Ctrl-C")
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, errors, code = end(process)
    assert code == 0, output + errors
    assert "All of it held" in output


def test_a_balancer_that_dies_fails_the_demo(binary):
    process = start(binary)
    read_until(process, "   time")
    time.sleep(1.5)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    output, errors, code = end(process)
    assert code == FAILED, output
    assert "137: a signal killed it" in errors


def test_a_demo_that_dies_takes_its_balancer_with_it(binary):
    process = start(binary)
    read_until(process, "   time")
    balancers = children(process.pid)
    process.kill()
    process.communicate(timeout=LIMIT)
    assert_gone(balancers[0])


def test_a_closed_pipe_is_an_error_of_output(binary):
    process = start(binary, "--seconds", "8")
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=LIMIT) == OUTPUT, errors


@pytest.mark.skipif(os.geteuid() != 0, reason="is nobody anyway")
def test_the_demo_needs_no_rights(binary, tmp_path):
    nobody = 65534
    copy = tmp_path / "loble"
    copy.write_bytes(binary.read_bytes())
    copy.chmod(0o755)
    process = start(f"/proc/self/fd/{(fd := os.open(copy, os.O_RDONLY))}", "--seconds", "8",
        user=nobody, group=nobody, extra_groups=[], pass_fds=[fd], cwd="/")
    os.close(fd)
    output, errors, code = end(process)
    assert code == 0, output + errors
