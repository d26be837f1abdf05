"""Deadlines. Tests wait for events, never for a time; a deadline only says when to give up."""

import os
import time

# Sanitizers make the program 3 to 10 times slower; the runner says so through this variable,
# and conftest.py sets it when it sees an instrumented binary.
SLOWNESS = float(os.environ.get("LOBLE_TEST_SLOWNESS", "1"))
DEADLINE = 30.0 * SLOWNESS


def until(condition, what, deadline=None, every=0.005):
    """Calls condition() until it is true and returns its value; fails after the deadline."""
    end = time.monotonic() + (DEADLINE if deadline is None else deadline)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"gave up waiting: {what() if callable(what) else what}")
        time.sleep(every)


def holds(condition, what, seconds):
    """Checks that condition() stays true for some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"did not last: {what() if callable(what) else what}"
        time.sleep(0.01)


def settled(measure, seconds=0.5, deadline=None):
    """Returns the value of measure() once it has not changed for some seconds."""
    last, since = measure(), time.monotonic()
    end = since + (DEADLINE if deadline is None else deadline)
    while time.monotonic() - since < seconds:
        value = measure()
        if value != last:
            last, since = value, time.monotonic()
        if time.monotonic() >= end:
            raise AssertionError(f"never settled, last value {last}")
        time.sleep(0.01)
    return last
