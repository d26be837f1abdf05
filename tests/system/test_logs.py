"""The log and the access log: one event, one line, and never in the way of traffic."""

import datetime
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import termios

import pytest

from harness import net, toml
from harness.backends import echo
from harness.loble import environment
from harness.net import END
from harness.paths import UNIX_LISTENER
from harness.wait import SLOWNESS, until

FIELDS = {"time", "level", "event", "listener", "pool", "backend", "client", "tries", "connect_ms",
          "received_bytes", "sent_bytes", "duration_ms", "closed_by", "reason"}
ON = {"access_log": {"enabled": True}}
VALUE = r'("(\\.|[^"\\])*"|[^ "]\S*|)'
TEXT_LINE = re.compile(
    rf"^time=\S+ level=(debug|info|warn|error) event=\S+( [a-z_]+={VALUE})*$")


def sessions(loble, count):
    until(lambda: len(loble.events("session")) >= count, lambda: f"{count} lines:\n{loble.log}")
    return loble.events("session")


@pytest.mark.asan
def test_the_access_log_has_one_line_with_every_field_per_session(bench):
    line = bench.line(**ON)
    client, backend = line.open()
    me = client.sock.getsockname()
    client.send(b"q" * 300)
    client.finish()
    assert backend.rest() == (b"q" * 300, END)
    backend.send(b"a" * 5000)
    backend.finish()
    assert client.rest() == (b"a" * 5000, END)
    (entry,) = sessions(line.loble, 1)
    assert FIELDS <= entry.keys()
    assert entry["listener"] == entry["pool"] == "default"
    assert entry["backend"] == str(line.backend.address)
    assert entry["client"] == f"{me[0]}:{me[1]}"
    assert (entry["tries"], entry["received_bytes"], entry["sent_bytes"]) == (1, 300, 5000)
    assert (entry["closed_by"], entry["reason"]) == ("client", "end")
    assert 0 <= entry["connect_ms"] <= entry["duration_ms"] < 60_000
    when = datetime.datetime.fromisoformat(entry["time"])
    assert when.tzinfo is not None
    assert abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()) < 60


def test_the_access_log_tells_apart_how_sessions_end(bench):
    gone = bench.manual()
    gone.stop()
    greeters = [bench.greeter("alive") for _ in range(2)]
    loble = bench.loble(gone, *greeters, health={"failure_threshold": 1000}, **ON)
    for _ in range(4):
        assert loble.ask() == (b"alive", END)
    entries = sessions(loble, 4)
    assert {entry["tries"] for entry in entries} == {1, 2}
    assert {entry["backend"] for entry in entries} == {str(one.address) for one in greeters}
    lone = bench.loble(gone, balancer={"retries": 0}, **ON)
    lone.ask()
    (entry,) = sessions(lone, 1)
    assert (entry["closed_by"], entry["reason"]) == ("proxy", "connect_failed")


def test_a_unix_client_has_a_line_too(bench):
    line = bench.line(UNIX_LISTENER, **ON)
    client, backend = line.open()
    client.close()
    assert backend.rest() == (b"", END)
    backend.close()
    (entry,) = sessions(line.loble, 1)
    assert "client" in entry


def test_without_access_log_sessions_are_not_logged(bench):
    service = bench.service(echo)
    loble = bench.loble(service)
    for _ in range(5):
        loble.ask(b"x")
    loble.wait_value("loble_sessions_closed_total", 5)
    loble.stop()
    assert not loble.events("session")


def test_a_sample_of_sessions_is_about_as_large_as_was_asked_for(bench):
    greeter = bench.greeter("x")
    loble = bench.loble(greeter, access_log={"enabled": True, "sample": 0.25})
    for _ in range(400):
        loble.ask()
    loble.wait_value("loble_sessions_closed_total", 400)
    loble.stop()
    assert 50 < len(loble.events("session")) < 155  # 6 sigma around 100


def test_the_access_log_has_a_file_of_its_own(bench, directory):
    file = directory / "access.log"
    greeter = bench.greeter("x")
    loble = bench.loble(greeter, access_log={"enabled": True, "file": str(file)})
    for _ in range(3):
        loble.ask()
    until(lambda: file.exists() and len(file.read_text().splitlines()) == 3, "three lines")
    for line in file.read_text().splitlines():
        assert FIELDS <= json.loads(line).keys()
    assert not loble.events("session")


def test_the_access_log_needs_nobody_who_asks_for_metrics(bench):
    address = net.free_tcp4()
    loble = bench.raw({"listener": {"address": str(address)}, "access_log": {"enabled": True},
                       "backends": [{"address": str(bench.service(echo).address)}]}, ready=None)
    assert loble.wait_event("listener_opened")["detail"] == str(address)
    assert net.exchange(address, b"x") == (b"x", END)
    loble.wait_event("session", deadline=5 * SLOWNESS)
    os.kill(loble.worker, signal.SIGKILL)
    loble.wait_event("worker_restarted")
    assert net.exchange(address, b"x") == (b"x", END)
    loble.wait_event("session", count=2, deadline=5 * SLOWNESS)
    loble.stop()


def test_sigusr1_opens_the_files_anew_and_no_line_is_lost(bench, directory):
    log, access = directory / "loble.log", directory / "access.log"
    greeter = bench.greeter("x")
    loble = bench.loble(greeter, logging={"file": str(log)},
                        access_log={"enabled": True, "file": str(access)})
    loble.ask()
    until(lambda: access.exists() and access.read_text().count("\n") == 1, "a line")
    access.rename(directory / "access.log.1")
    log.rename(directory / "loble.log.1")
    loble.send_signal(signal.SIGUSR1)
    until(lambda: access.exists() and log.exists(), "new files")
    loble.ask()
    until(lambda: access.read_text().count("\n") == 1, "a line in the new file")
    assert (directory / "access.log.1").read_text().count("\n") == 1
    loble.stop()
    for name in ("loble.log", "loble.log.1"):
        for line in (directory / name).read_text().splitlines():
            json.loads(line)


def test_json_is_the_format_when_nobody_watches(bench):
    loble = bench.loble(bench.service(echo))
    loble.stop()
    assert loble.lines
    for line in loble.lines:
        assert {"time", "level", "event"} <= json.loads(line).keys()


def test_a_warning_about_the_configuration_is_one_event_like_any_other(bench):
    resting = {"address": str(bench.service(echo).address), "weight": 0}
    loble = bench.loble(resting, options={"ready": "/healthz"})
    found = loble.wait_event("config_problem")
    assert found["level"] == "warn" and "weight 0" in found["message"], found
    assert f"{loble.file}:" in found["message"]
    os.kill(loble.worker, signal.SIGKILL)
    loble.wait_event("worker_restarted")
    loble.stop()
    assert len(loble.events("config_problem")) == 1


def test_text_is_one_line_of_key_value_per_event(bench):
    greeter = bench.greeter("x")
    loble = bench.loble(greeter, logging={"format": "text"}, access_log={"enabled": True})
    loble.ask()
    until(lambda: "event=session" in loble.log, "the session's line")
    loble.stop()
    for line in loble.lines:
        assert TEXT_LINE.match(line), line


def on_a_terminal(bench, config):
    """What Loble writes to a terminal until it is stopped."""
    bench.directory.mkdir(exist_ok=True)
    file = bench.directory / "terminal.toml"
    file.write_text(toml.dumps(config))
    main, other = pty.openpty()
    attributes = termios.tcgetattr(other)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(other, termios.TCSANOW, attributes)
    process = subprocess.Popen([str(bench.binary), "-config", str(file)], stderr=other,
                               stdout=other, stdin=subprocess.DEVNULL, env=environment())
    os.close(other)
    fcntl.fcntl(main, fcntl.F_SETFL, os.O_NONBLOCK)
    text = b""

    def some():
        nonlocal text
        try:
            text += os.read(main, 65536)
        except (BlockingIOError, OSError):
            pass
        return text
    try:
        until(lambda: b"started" in some(), lambda: f"a line: {text!r}")
    finally:
        process.terminate()
        code = process.wait(30)
        some()
        os.close(main)
    assert code == 0
    return text.decode()


def test_on_a_terminal_the_format_is_text_unless_json_was_asked_for(bench):
    config = {"listener": {"address": str(net.free_tcp4())},
              "backends": [{"address": str(net.free_tcp4())}]}
    for line in on_a_terminal(bench, config).splitlines():
        assert re.search(r"event=\S+", line) and not line.startswith("{"), line
    for line in on_a_terminal(bench, {**config, "logging": {"format": "json"}}).splitlines():
        json.loads(line)


@pytest.mark.parametrize("level, quiet", [("error", True), ("warn", True), ("info", False),
                                          ("debug", False)])
def test_the_level_decides_what_is_logged(bench, level, quiet):
    loble = bench.loble(bench.service(echo), logging={"level": level})
    loble.stop()
    assert (not loble.lines) == quiet, loble.log
    order = ["debug", "info", "warn", "error"]
    for entry in loble.events():
        assert order.index(entry["level"]) >= order.index(level)


@pytest.mark.asan
def test_a_full_log_pipe_blocks_no_traffic_and_lost_lines_are_counted(bench):
    greeter = bench.greeter("alive")
    loble = bench.loble(greeter, options={"stderr": "full"}, logging={"level": "debug"}, **ON)
    sent = 8000  # a line of 300 bytes each is more than a pipe and Loble's memory hold
    for _ in range(sent):
        assert loble.ask() == (b"alive", END)
    loble.wait_value("loble_sessions_closed_total", sent)
    assert loble.get("/healthz")[0] == 200
    loble.read_log()
    for _ in range(3):
        until(lambda: loble.ask() == (b"alive", END), "service")
    def dropped():
        return [entry for entry in loble.events() if entry["event"].endswith("dropped")]
    until(dropped, "a line about lines that were dropped")
    lost = loble.value("loble_log_lines_dropped_total")
    loble.stop()
    lines = len(loble.events("session"))
    assert lines < sent <= lines + lost, (lines, lost)
    assert 0 < sum(entry["lines"] for entry in dropped()) <= lost


def test_a_full_log_pipe_does_not_hold_up_a_stop(bench):
    greeter = bench.greeter("alive")
    loble = bench.loble(greeter, options={"stderr": "full"}, **ON)
    for _ in range(1000):
        assert loble.ask() == (b"alive", END)
    loble.send_signal(signal.SIGTERM)
    assert loble.process.wait(20) == 0
    loble.checked = True


def test_a_log_pipe_that_was_closed_ends_nothing(bench):
    greeter = bench.greeter("alive")
    loble = bench.loble(greeter, options={"stderr": "full"}, **ON)
    loble.process.stderr.close()
    for _ in range(20):
        assert loble.ask() == (b"alive", END)
    loble.send_signal(signal.SIGTERM)
    assert loble.process.wait(30) == 0
    loble.checked = True


def test_a_log_file_that_cannot_be_made_is_an_error_at_the_start(bench, directory):
    config = {"listener": {"address": str(net.free_tcp4())},
              "backends": [{"address": str(net.free_tcp4())}],
              "logging": {"file": str(directory / "no/such/folder/log")}}
    loble = bench.raw(config, ready=None)
    assert loble.wait_exit() in (74, 78), loble.log
    loble.checked = True
    assert "no/such/folder" in loble.log
