"""An upgrade between two real builds whose records are arranged differently, in both directions.

The other build is build-alternate (meson setup build-alternate -Drecord_layout=alternate), or what
LOBLE_ALTERNATE names.
"""

import os
import signal
import struct
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.survival import (Monotone, Stand, kill_worker, replace_binary, scrape, upgrade,
                              upgrades, worker_of)
from harness.torture import program

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"sessions": 250, "probes": 10, "rate": 200, "life": 1500, "hold": 1000, "think": 100,
         "every": 100}


@pytest.fixture
def alternate(binary):
    path = Path(os.environ.get("LOBLE_ALTERNATE") or ROOT / "build-alternate/src/main/loble")
    if not path.exists():
        assert "LOBLE_ALTERNATE" not in os.environ, f"LOBLE_ALTERNATE={path} does not exist"
        pytest.skip(f"{path} is not built")
    if not program(binary).exists():
        pytest.skip("the torture is not built")
    return path


@contextmanager
def started_from(bench, path):
    """Lobles that start in here are of the binary at this path; the torture stays as it is."""
    kept, bench.binary = bench.binary, path
    try:
        yield
    finally:
        bench.binary = kept


def record_version(loble):
    """What the shared memory itself says, at its beginning (struct layout_head)."""
    versions = set()
    for fd in Path(f"/proc/{loble.pid}/fd").iterdir():
        try:
            if os.readlink(fd) == "/memfd:loble (deleted)":
                with open(fd, "rb") as memory:
                    versions.add(struct.unpack("<IIQI", memory.read(20))[3])
        except FileNotFoundError:
            continue
    assert len(versions) == 1, versions
    return versions.pop()


def start(bench, path, source):
    replace_binary(path, source)
    stand = Stand(bench)
    with started_from(bench, path):
        stand.start()
    stand.load(**SMALL)
    return stand


@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
def test_another_record_version_takes_all_sessions_over(bench, binary, alternate, directory,
                                                        direction):
    first, second = (binary, alternate) if direction == "upgrade" else (alternate, binary)
    path = directory / "loble"
    stand = start(bench, path, first)
    monotone = Monotone(stand.loble)
    before = record_version(stand.loble)

    replace_binary(path, second)
    upgrade(stand.loble)
    assert record_version(stand.loble) != before
    metrics = monotone.look()
    assert metrics("loble_sessions_continued_total") >= 100
    assert metrics("loble_sessions_lost_total") == 0
    time.sleep(1)
    monotone.look()
    stand.end()
    stand.loble.stop()


def test_what_the_new_binary_cannot_keep_running_goes_back(bench, binary, alternate, directory):
    """Its worker process dies while it is on probation: the old binary converts the memory back."""
    path = directory / "loble"
    stand = start(bench, path, binary)
    monotone = Monotone(stand.loble)
    before = record_version(stand.loble)

    replace_binary(path, alternate)
    upgrade(stand.loble)
    assert record_version(stand.loble) != before
    os.kill(worker_of(stand.loble), signal.SIGKILL)
    stand.loble.wait_event("upgrade_refused")
    assert record_version(stand.loble) == before
    metrics = scrape(stand.loble)
    assert metrics("loble_sessions_lost_total") == 0
    time.sleep(1)
    monotone.look()
    stand.end()
    stand.loble.stop()


@pytest.mark.long
def test_there_and_back_again_and_again(bench, binary, alternate, directory):
    path = directory / "loble"
    stand = start(bench, path, binary)
    monotone = Monotone(stand.loble)
    for number in range(6):
        replace_binary(path, binary if number % 2 else alternate)
        upgrade(stand.loble)
        time.sleep(5.5)  # the probation of an upgrade
        kill_worker(stand.loble, signal.SIGKILL)
        assert upgrades(monotone.look()) == number + 1
    assert monotone.look()("loble_sessions_lost_total") == 0
    stand.end()
    stand.loble.stop()
