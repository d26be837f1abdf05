"""The binary is replaced while it runs: sessions go on, and a bad one is taken back."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from conftest import instrumented
from harness import net, proc
from harness.survival import worker_of
from harness.wait import DEADLINE, SLOWNESS, until

REFUSED = 78


@pytest.fixture
def installed(bench, directory, binary):
    """A copy of the program that a test may replace; what it starts is started from there."""
    path = directory / "bin" / "loble"
    path.parent.mkdir()
    shutil.copy(binary, path)
    bench.binary = path
    return path


def install(path, source):
    """As package managers do: a new file under the old name."""
    new = path.with_suffix(".new")
    if isinstance(source, str):
        new.write_text(source)
        new.chmod(0o755)
    else:
        shutil.copy(source, new)
    os.rename(new, path)


def sabotaged(binary, what):
    """Takes its trial as any other, and fails once it has taken over."""
    shim = binary.parents[2] / "tests/shim/sabotage.so"
    if not shim.exists():
        pytest.skip(f"{shim} is not built")
    return (f'#!/bin/sh\nexport SABOTAGE={what} LD_PRELOAD={shim}\n'
            f'exec {binary} "$@"\n')


class Talk:
    """Sessions that ask and answer all the time; any byte that is wrong ends the test."""

    def __init__(self, line, count=8):
        self.ends = [line.open() for _ in range(count)]
        self.rounds, self.worst, self.error = 0, 0.0, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                for number, (client, backend) in enumerate(self.ends):
                    text = b"%d of %d" % (self.rounds, number)
                    before = time.monotonic()
                    client.send(text)
                    assert backend.receive(len(text)) == text
                    backend.send(text[::-1])
                    assert client.receive(len(text)) == text[::-1]
                    self.worst = max(self.worst, time.monotonic() - before)
                self.rounds += 1
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def end(self):
        before = self.rounds
        until(lambda: self.error or self.rounds > before + 1, "another round of all sessions")
        self._stop.set()
        self._thread.join()
        if self.error:
            raise self.error


def status(loble):
    done = ctl(loble, "status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ctl(loble, *arguments):
    return subprocess.run([str(loble.binary_of_test), "ctl", "--socket",
                           str(loble.directory / "admin.sock"), *arguments],
                          capture_output=True, text=True, timeout=120, check=False)


def start(bench, binary, **tables):
    line = bench.line(admin={"socket": "admin.sock"}, **tables)
    line.loble.binary_of_test = binary
    return line


def wait_attempt(loble, attempts, state, deadline=None):
    """The state of the upgrade, once so many have been tried; however often it changes hands."""
    last = None

    def ended():
        nonlocal last
        loble.must_run()
        done = ctl(loble, "status", "--json")
        if done.returncode != 0:
            return False
        last = json.loads(done.stdout)["upgrade"]
        return last["attempts"] >= attempts and last["state"] != "running"
    until(ended, lambda: f"upgrade {attempts}; {last}; log:\n{loble.log}",
          deadline or 4 * DEADLINE, every=0.05)
    assert last["state"] == state, (last, loble.log)
    return last


@pytest.mark.parametrize("way", ["signal", "ctl"])
def test_a_new_binary_goes_on_with_all_sessions(bench, binary, installed, way):
    line = start(bench, binary, server={"workers": 2})
    loble = line.loble
    worker, talk = loble.worker, Talk(line)
    install(installed, binary)
    assert os.readlink(f"/proc/{loble.pid}/exe").endswith("(deleted)")
    if way == "signal":
        loble.send_signal(signal.SIGUSR2)
    else:
        done = ctl(loble, "upgrade", "--wait")
        assert done.returncode == 0 and done.stdout.startswith("done"), done
    wait_attempt(loble, 1, "done")
    talk.end()
    assert os.readlink(f"/proc/{loble.pid}/exe") == str(installed)
    assert loble.worker != worker
    assert loble.value("loble_upgrades_total") == 1
    assert loble.value("loble_worker_restarts_total") == 0
    assert loble.value("loble_sessions_lost_total", reason="damaged") == 0
    loble.wait_event("upgraded")
    client, backend = line.open()
    client.send(b"new")
    assert backend.receive(3) == b"new"


def test_upgrades_in_a_row_leave_nothing_behind(bench, binary, installed):
    line = start(bench, binary)
    talk = Talk(line)
    counts = []
    for number in range(1, 11):
        install(installed, binary)
        line.loble.send_signal(signal.SIGUSR2)
        wait_attempt(line.loble, number, "done")
        counts.append(len(proc.descriptors(line.loble.pid)))
    talk.end()
    assert line.loble.value("loble_upgrades_total") == 10
    assert max(counts[2:]) <= max(counts[:2]) + 1, counts


BAD = {
    "missing": None,
    "not a program": "garbage",
    "ends at once": "#!/bin/sh\nexit 0\n",
    "fails at once": "#!/bin/sh\necho 'no such library' >&2\nexit 1\n",
    "crashes at once": "#!/bin/sh\nkill -SEGV $$\n",
    "hangs": "#!/bin/sh\nexec sleep 60\n",
}


def test_what_cannot_take_over_is_not_tried(bench, binary, installed):
    line = start(bench, binary)
    loble = line.loble
    worker, talk = loble.worker, Talk(line)
    for number, (kind, content) in enumerate(BAD.items(), 1):
        if content is None:
            installed.unlink()
        else:
            install(installed, content)
        done = ctl(loble, "upgrade", "--wait")
        assert done.returncode == REFUSED, (kind, done)
        assert wait_attempt(loble, number, "refused")["reason"], kind
        loble.wait_event("upgrade_refused", count=number)
    install(installed, binary)
    os.chmod(installed, 0o644)
    assert ctl(loble, "upgrade", "--wait").returncode == REFUSED
    talk.end()
    assert loble.worker == worker
    assert loble.value("loble_upgrades_total") == 0
    assert "no such library" in [one["detail"] for one in loble.events("upgrade_refused")]


@pytest.mark.parametrize("what", ["worker_crash", "worker_exit", "worker_hang", "loop_crash",
                                  "supervisor_crash", "supervisor_hang", "library_crash",
                                  "library_hang"])
def test_a_binary_that_fails_after_its_trial_is_taken_back(bench, binary, installed, what):
    if what.startswith("library") and instrumented(binary):
        pytest.skip("a sanitizer comes before the airbag")
    line = start(bench, binary)
    loble = line.loble
    before = os.stat(f"/proc/{loble.pid}/exe").st_ino
    talk = Talk(line)
    install(installed, sabotaged(binary, what))
    loble.send_signal(signal.SIGUSR2)
    assert wait_attempt(loble, 1, "refused")["reason"]
    loble.wait_event("upgrade_refused")
    talk.end()
    assert loble.value("loble_upgrades_total") == 0
    assert os.stat(f"/proc/{loble.pid}/exe").st_ino == before
    install(installed, binary)
    loble.send_signal(signal.SIGUSR2)
    wait_attempt(loble, 2, "done")
    client, backend = line.open()
    client.send(b"after")
    assert backend.receive(5) == b"after"


@pytest.mark.parametrize("end", ["too long", "stop"])
def test_nothing_is_left_of_a_trial(bench, binary, installed, end):
    loble = start(bench, binary).loble
    told = installed.with_name("told")
    install(installed, f"#!/bin/sh\nsleep 600 &\necho $! >{told}.new\nmv {told}.new {told}\nwait\n")
    loble.send_signal(signal.SIGUSR2)
    until(told.exists, "the trial to run")
    sleeper = int(told.read_text())
    if end == "stop":
        loble.stop()
    else:
        wait_attempt(loble, 1, "refused")
    until(lambda: not proc.alive(sleeper), "the end of what the trial has started")


def test_what_was_not_tried_is_not_executed(bench, binary, installed):
    line = start(bench, binary)
    talk = Talk(line)
    worse = installed.with_name("worse")
    worse.write_text("#!/bin/sh\nexit 0\n")
    worse.chmod(0o755)
    install(installed, f"#!/bin/sh\nmv {worse} {installed}\necho 'loble takes over'\n")
    line.loble.send_signal(signal.SIGUSR2)
    assert "replaced" in wait_attempt(line.loble, 1, "refused")["reason"]
    talk.end()


def test_a_worker_process_that_dies_during_a_trial_changes_nothing_about_it(bench, binary,
                                                                            installed):
    line = start(bench, binary)
    loble = line.loble
    install(installed, "#!/bin/sh\nsleep 1.5\necho 'not today' >&2\nexit 1\n")
    loble.send_signal(signal.SIGUSR2)
    until(lambda: status(loble)["upgrade"]["attempts"] == 1, "the trial")
    os.kill(status(loble)["worker"]["pid"], signal.SIGKILL)
    loble.wait_event("worker_restarted")
    talk = Talk(line)  # whose sockets get the numbers that are free
    assert wait_attempt(loble, 1, "refused")["reason"] == "not today"
    talk.end()


def worker_id(loble):
    """The process that answers, once one does."""
    return until(lambda: ctl(loble, "status", "--json").returncode == 0 and
                 status(loble)["worker"]["pid"], "an answer", every=0.01)


@pytest.mark.parametrize("counted", [False, True], ids=["before it counts", "after it counts"])
def test_a_worker_process_that_dies_soon_takes_the_upgrade_back(bench, binary, installed, counted):
    line = start(bench, binary)
    loble = line.loble
    before, inode = worker_id(loble), os.stat(f"/proc/{loble.pid}/exe").st_ino
    talk = Talk(line)
    install(installed, binary)
    loble.send_signal(signal.SIGUSR2)
    if counted:
        wait_attempt(loble, 1, "done")
        new = worker_id(loble)
    else:
        new = until(lambda: worker_of(loble) != before and worker_of(loble), "the next one")
    os.kill(new, signal.SIGKILL)
    loble.wait_event("upgrade_refused", detail="its worker process: killed by SIGKILL")
    wait_attempt(loble, 1, "refused")
    talk.end()
    assert os.stat(f"/proc/{loble.pid}/exe").st_ino == inode
    assert loble.value("loble_upgrades_total") == counted
    assert loble.value("loble_worker_restarts_total") == 1


@pytest.mark.parametrize("orders", [1, 2])
def test_an_order_to_stop_outlives_an_upgrade_that_is_taken_back(bench, binary, installed, orders):
    line = start(bench, binary)
    loble = line.loble
    client, backend = line.open()
    client.send(b"hello")
    assert backend.receive(5) == b"hello"
    install(installed, binary)
    loble.send_signal(signal.SIGUSR2)
    wait_attempt(loble, 1, "done")
    worker = worker_id(loble)
    os.kill(worker, signal.SIGSTOP)  # it hears of no order any more
    for number in (signal.SIGTERM, signal.SIGINT)[:orders]:
        loble.send_signal(number)
        time.sleep(0.3)
    os.kill(worker, signal.SIGKILL)
    loble.wait_event("upgrade_refused")
    if orders == 1:
        loble.wait_event("process_stopping")
        backend.send(b"bye")
        assert client.receive(3) == b"bye"
        client.close()
        backend.close()
    assert loble.wait_exit() == 0
    loble.check_log()


def test_no_program_is_executed_that_a_worker_process_has_put_there(bench, binary, installed):
    loble = start(bench, binary).loble
    intruder, told = installed.with_name("intruder"), installed.with_name("told")
    intruder.write_text(f"#!/bin/sh\n>{told}\nexit 0\n")
    intruder.chmod(0o755)
    install(installed, sabotaged(binary, f"worker_attack SABOTAGE_PROGRAM={intruder}"))
    loble.send_signal(signal.SIGUSR2)
    assert loble.wait_exit() == 128 + signal.SIGSEGV
    assert not told.exists()
    loble.check_log()


def test_without_a_supervisor_an_upgrade_is_refused(bench, binary, installed):
    line = start(bench, binary, server={"supervise": False})
    done = ctl(line.loble, "upgrade", "--wait")
    assert done.returncode == REFUSED and "supervise" in done.stderr
    line.loble.send_signal(signal.SIGUSR2)
    line.loble.wait_event("upgrade_refused")
    client, backend = line.open()
    client.send(b"on")
    assert backend.receive(2) == b"on"


def test_new_clients_are_served_all_the_while(bench, binary, installed):
    service = bench.service(lambda connection: connection.send(connection.receive(4)))
    loble = bench.loble(service, admin={"socket": "admin.sock"}, server={"workers": 2})
    loble.binary_of_test = binary
    stop, errors, served = threading.Event(), [], [0]

    def ask():
        while not stop.is_set():
            try:
                assert net.exchange(loble.address, b"ping") == (b"ping", net.END)
                served[0] += 1
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(error)
                return
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        install(installed, binary)
        loble.send_signal(signal.SIGUSR2)
        wait_attempt(loble, number, "done")
    stop.set()
    for thread in threads:
        thread.join(30 * SLOWNESS)
    assert not errors and served[0] > 20, errors
