"""Thousands of idle sessions: what they cost in memory and CPU, and that nothing of it stays."""

import resource

import pytest

from harness import net, proc
from harness.crowd import Crowd
from harness.wait import settled

SESSIONS = 9000
BYTES_PER_SESSION = 256


def enough_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * SESSIONS + 500:
        pytest.skip(f"{2 * SESSIONS} sessions' descriptors are needed, the limit is {hard}")


@pytest.mark.parametrize("workers", [1, 2])
def test_9000_idle_sessions_cost_at_most_256_bytes_each_and_next_to_no_cpu(bench, workers):
    enough_descriptors()
    address = net.free_tcp4()
    backend = bench.keep(Crowd("backend", address))
    assert backend.line() == "ready"
    loble = bench.loble(address, server={"workers": workers})
    for _ in range(200):  # what is made once per process is not per session
        loble.connect().close()
    loble.wait_value("loble_listener_connections_active", 0)
    warm = loble.metrics()("loble_backend_connections_total")
    empty = settled(lambda: proc.pss_bytes(loble.pid))
    clients = bench.keep(Crowd("clients", loble.address, SESSIONS))
    assert clients.line() == "ready"
    loble.wait_value("loble_backend_connections_total", warm + SESSIONS)
    assert loble.value("loble_listener_connections_active") == SESSIONS
    full = settled(lambda: proc.pss_bytes(loble.pid))
    assert (full - empty) / SESSIONS <= BYTES_PER_SESSION, (full - empty) / SESSIONS
    # Each session is a second old by now, and whatever was due after that has been done.
    settled(lambda: round(proc.cpu_seconds(loble.pid), 2), seconds=2)
    share = proc.cpu_share(loble.pid, 10)
    assert share <= 0.001, f"{share:.3%} of a core for idle sessions"
    clients.close()
    loble.wait_value("loble_listener_connections_active", 0)
    loble.wait_sessions_gone()
