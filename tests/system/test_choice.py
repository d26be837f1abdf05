"""Which backend a session goes to: exact round robin, exact weights, fair randomness."""

import collections

import pytest

from harness.net import END, Background, connect
from harness.wait import until

both_workers = pytest.mark.parametrize("workers", [1, 2])


def ask(loble, times):
    """The names of the backends that served clients one after the other."""
    names = []
    for _ in range(times):
        got = loble.ask()
        assert got.how == END and got.data, got
        names.append(got.data.decode())
    return names


def weighted(bench, *weights):
    """Greeters "0", "1", ... and the table of each."""
    greeters = [bench.greeter(str(number)) for number in range(len(weights))]
    return [{"address": str(greeter.address), "weight": weight}
            for greeter, weight in zip(greeters, weights)]


def assert_interleaved(names, weights):
    """After each session, nobody is further than one from the share it should have."""
    total, had = sum(weights), collections.Counter()
    for number, name in enumerate(names, 1):
        had[name] += 1
        for index, weight in enumerate(weights):
            due = number * weight / total
            assert abs(had[str(index)] - due) <= 1 + 1e-9, (number, dict(had), due)


@pytest.mark.asan
@both_workers
def test_round_robin_takes_each_backend_in_turn(bench, workers):
    """Exact with several workers, too: they share one turn."""
    loble = bench.loble(*weighted(bench, 1, 1, 1), server={"workers": workers})
    names = ask(loble, 60)
    assert set(names[:3]) == {"0", "1", "2"}
    assert names == names[:3] * 20


@both_workers
def test_round_robin_is_exact_for_clients_that_come_at_once(bench, workers):
    greeters = [bench.greeter(str(number)) for number in range(3)]
    loble = bench.loble(*greeters, server={"workers": workers})
    tasks = [Background(ask, loble, 50) for _ in range(6)]
    names = collections.Counter(name for task in tasks for name in task.result())
    assert names == {"0": 100, "1": 100, "2": 100}
    assert [greeter.accepted for greeter in greeters] == [100, 100, 100]


@both_workers
@pytest.mark.parametrize("weights", [(3, 2, 1), (5, 1, 1), (10, 3, 7, 1), (1, 1, 8)], ids=str)
def test_weights_are_exact_and_interleaved(bench, weights, workers):
    loble = bench.loble(*weighted(bench, *weights), server={"workers": workers})
    names = ask(loble, 3 * sum(weights))
    counts = collections.Counter(names)
    assert [counts[str(index)] for index in range(len(weights))] == [3 * w for w in weights]
    assert_interleaved(names, weights)


def test_weights_with_a_common_divisor_alternate_as_their_quotients_do(bench):
    loble = bench.loble(*weighted(bench, 20_000, 10_000))
    names = ask(loble, 30)
    assert_interleaved(names, (2, 1))
    assert collections.Counter(names) == {"0": 20, "1": 10}


def test_large_weights_without_a_common_divisor_are_held_exactly(bench):
    loble = bench.loble(*weighted(bench, 65535, 65534))
    names = ask(loble, 40)
    assert abs(names.count("0") - 20) <= 1


@both_workers
@pytest.mark.parametrize("algorithm", ["round_robin", "random"])
def test_weight_0_takes_no_new_sessions(bench, algorithm, workers):
    loble = bench.loble(*weighted(bench, 1, 0, 1), server={"workers": workers},
                        balancer={"algorithm": algorithm})
    names = ask(loble, 60)
    assert set(names) == {"0", "2"}


@both_workers
@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)], ids=str)
def test_random_is_exact_by_weight_in_the_long_run(bench, weights, workers):
    loble = bench.loble(*weighted(bench, *weights), server={"workers": workers},
                        balancer={"algorithm": "random"})
    draws = 1200
    counts = collections.Counter(ask(loble, draws))
    total = sum(weights)
    chi = sum((counts[str(index)] - draws * weight / total) ** 2 / (draws * weight / total)
              for index, weight in enumerate(weights))
    assert chi < 27.6, (chi, counts)  # one in a million with two degrees of freedom
    assert chi > 0.000001 or counts["0"] != counts["1"], "that is no chance"


def test_random_is_not_a_cycle(bench):
    loble = bench.loble(*weighted(bench, 1, 1), balancer={"algorithm": "random"})
    names = ask(loble, 64)
    repeats = sum(one == other for one, other in zip(names, names[1:]))
    assert 10 < repeats < 53  # 6 sigma around 31.5


@both_workers
def test_max_connections_of_a_backend_is_never_exceeded(bench, workers):
    small, large = bench.manual(), bench.manual()
    loble = bench.loble({"address": str(small.address), "max_connections": 2}, large,
                        server={"workers": workers})
    clients = [bench.keep(loble.connect()) for _ in range(12)]
    for _ in range(2):
        small.accept()
    for _ in range(10):
        large.accept()
    now = loble.metrics()
    active = "loble_backend_connections_active"
    assert now(active, backend=str(small.address)) == 2
    assert now(active, backend=str(large.address)) == 10
    # Room again: the next turn of the small one is used.
    small.peers[0].close()
    for client in clients:
        client.finish()
    until(lambda: loble.value(active, backend=str(small.address)) < 2, "room")
    bench.keep(loble.connect())
    bench.keep(loble.connect())
    assert small.accept()


def test_a_full_lone_backend_gets_no_more_and_stays_healthy(bench):
    only = bench.manual()
    loble = bench.loble({"address": str(only.address), "max_connections": 2},
                        health={"failure_threshold": 1}, timeouts={"connect_total": "2s"})
    held = [(bench.keep(loble.connect()), only.accept()) for _ in range(2)]
    extra = bench.keep(connect(loble.address))
    assert only.accepts_nothing(0.5)
    for client, _ in held:
        client.send(b"ok")
    for _, backend in held:
        assert backend.receive(2) == b"ok"
    assert loble.health(only.address) == "healthy"
    extra.close()
