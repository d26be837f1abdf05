"""Where Loble listens and connects: IPv4, IPv6, both, UNIX and abstract sockets."""

import os
import socket
import stat

import pytest

from harness import net
from harness.backends import echo, listen
from harness.net import END
from harness.loble import simple

OK = (b"hello", END)
IN_USE = 78


def refused(address):
    try:
        net.connect(address, deadline=5).close()
    except ConnectionRefusedError:
        return True
    return False


def starts_not(bench, config, code=IN_USE):
    """Runs a Loble that has to end by itself; returns its log."""
    one = bench.raw(config, ready=None)
    found = one.wait_exit()
    one.checked = True
    assert found == code, f"exit code {found}, not {code}: {one.log}"
    assert one.log.strip(), "it ended without a word"
    return one.log


def test_an_ipv6_wildcard_alone_takes_no_ipv4(bench):
    port = net.free_shared_port()
    service = bench.service(echo)
    loble = bench.loble(service, listener=net.tcp6(port, "::"))
    assert net.exchange(net.tcp6(port), b"hello") == OK
    assert refused(net.tcp4("127.0.0.1", port))
    loble.wait_sessions_gone()


def test_an_ipv4_wildcard_takes_no_ipv6(bench):
    port = net.free_shared_port()
    service = bench.service(echo)
    bench.loble(service, listener=net.tcp4("0.0.0.0", port))
    assert net.exchange(net.tcp4("127.0.0.1", port), b"hello") == OK
    assert refused(net.tcp6(port))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_alone_listens_on_both_families(bench, workers):
    port = net.free_shared_port()
    service = bench.service(echo)
    loble = bench.loble(service, listener=f":{port}", server={"workers": workers})
    assert net.exchange(net.tcp4("127.0.0.1", port), b"hello") == OK
    assert net.exchange(net.tcp6(port), b"hello") == OK
    done = loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_listener_connections_total", listener="default") == 2


def test_a_name_as_address_of_a_backend_is_looked_up(bench):
    port = net.free_shared_port()
    service = bench.service(echo, address=net.tcp4("127.0.0.1", port))
    loble = bench.loble(f"localhost:{port}")
    assert loble.ask(b"hello") == OK
    assert loble.value("loble_backend_connections_total", backend=f"localhost:{port}") == 1
    service.close()


def test_a_name_that_does_not_resolve_makes_its_backend_unhealthy_and_no_other(bench):
    greeter = bench.greeter("alive")
    loble = bench.loble("no-such-host.invalid:80", greeter)
    loble.wait_health("unhealthy", "no-such-host.invalid:80")
    for _ in range(6):
        assert loble.ask() == (b"alive", END)
    assert loble.health(greeter.address) == "healthy"
    assert loble.value("loble_pool_retries_total") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a file of hosts of its own")
def test_a_name_is_tried_again_and_the_log_says_why_it_has_no_address(bench, directory):
    hosts = directory / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    one, other = bench.greeter("one"), bench.greeter("other")
    names = [f"{name}.test:{greeter.address.port}" for name, greeter in
             (("one", one), ("twin", other))]
    loble = bench.loble(*names, other, options={"wrapper": (
        "unshare", "-m", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$0" "$@"')})
    for name in names:
        assert loble.health(name) == "unhealthy"
        loble.wait_event("backend_unresolved", backend=name)
    hosts.write_text(f"{one.address.host} one.test\n{other.address.host} twin.test\n")
    loble.wait_event("backend_resolved", backend=names[0])
    loble.wait_health("healthy", names[0])
    twin = loble.wait_event("backend_unresolved", count=2, backend=names[1])
    assert "another backend" in twin["detail"]
    assert loble.health(names[1]) == "unhealthy"
    assert {loble.ask().data for _ in range(4)} == {b"one", b"other"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unix_listener_has_the_mode_that_was_asked_for(bench, workers):
    service = bench.service(echo)
    for mode in (None, "0600", "0666"):
        address = net.free_address("unix")
        listener = {"mode": mode} if mode else {}
        # The dictionary of the listener carries the address, too.
        loble = bench.raw({**simple(address, [service.address], net.free_tcp4()),
                           "listener": {"address": str(address), **listener},
                           "server": {"workers": workers}})
        found = stat.S_IMODE(os.stat(address.sockaddr).st_mode)
        assert found == int(mode or "0660", 8), oct(found)
        assert net.exchange(address, b"hello") == OK
        loble.finish()


def test_a_stale_unix_socket_is_replaced(bench):
    address = net.free_address("unix")
    stale = listen(address)
    stale.close()  # the file stays
    assert os.path.exists(address.sockaddr)
    service = bench.service(echo)
    loble = bench.loble(service, listener=address)
    assert loble.ask(b"hello") == OK


def test_a_unix_socket_that_somebody_serves_is_an_error_and_stays(bench):
    address = net.free_address("unix")
    other = bench.service(echo, address=address)
    starts_not(bench, simple(address, [net.free_tcp4()], net.free_tcp4()))
    assert net.exchange(address, b"hello") == OK
    assert other.accepted >= 1


def test_a_file_in_the_place_of_a_unix_socket_is_never_removed(bench, directory):
    path = directory / "precious"
    path.write_text("not a socket")
    starts_not(bench, simple(net.unix(path), [net.free_tcp4()], net.free_tcp4()))
    assert path.read_text() == "not a socket"


def test_a_unix_socket_in_a_folder_that_is_not_there_is_an_error(bench, directory):
    starts_not(bench, simple(net.unix(directory / "no/such/s"), [net.free_tcp4()],
                             net.free_tcp4()))


@pytest.mark.parametrize("reuseport", [False, True], ids=["plain", "reuseport"])
@pytest.mark.parametrize("kind", ["tcp4", "tcp6"])
def test_an_address_that_another_process_listens_on_is_an_error(bench, kind, reuseport):
    """Sharing by SO_REUSEPORT would steal part of the other's connections."""
    address = net.free_address(kind)
    with address.socket() as other:
        if reuseport:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(address.sockaddr)
        other.listen(8)
        log = starts_not(bench, simple(address, [net.free_tcp4()], net.free_tcp4()))
        assert str(address.port) in log


def test_a_second_loble_on_the_same_address_is_an_error_and_the_first_goes_on(bench):
    service = bench.service(echo)
    first = bench.loble(service)
    starts_not(bench, simple(first.address, [service.address], net.free_tcp4()))
    for _ in range(20):
        assert first.ask(b"hello") == OK


def test_a_metrics_address_in_use_is_an_error(bench):
    taken = bench.service(echo)
    log = starts_not(bench, simple(net.free_tcp4(), [net.free_tcp4()], taken.address))
    assert str(taken.address.port) in log


def test_two_listeners_on_one_address_are_an_error(bench):
    address = net.free_tcp4()
    config = {
        "listeners": [{"name": name, "address": str(address), "pool": "p"} for name in "ab"],
        "pools": {"p": {"backends": [{"address": str(net.free_tcp4())}]}},
    }
    one = bench.raw(config, ready=None)
    assert one.wait_exit() in (65, IN_USE), one.log
    one.checked = True


def test_an_address_of_no_interface_is_an_error_unless_freebind(bench):
    foreign = net.tcp4("198.51.100.77", net.free_tcp4().port)
    service = bench.service(echo)
    starts_not(bench, simple(foreign, [service.address], net.free_tcp4()))
    config = simple(foreign, [service.address], net.free_tcp4(), listener={"freebind": True})
    bench.raw(config)


def test_a_process_that_was_killed_leaves_its_address_to_the_next(bench):
    """Connections in TIME_WAIT or half-dead sessions do not stand in the way."""
    service = bench.service(echo)
    first = bench.loble(service)
    client = bench.keep(first.connect())
    client.send(b"x")
    assert client.receive(1) == b"x"
    first.kill()
    first.checked = True
    second = bench.raw(simple(first.address, [service.address], net.free_tcp4()))
    assert net.exchange(first.address, b"hello") == OK
    client.close()
    second.wait_sessions_gone()


def test_several_listeners_and_pools_keep_to_themselves(bench):
    red, blue = bench.greeter("red"), bench.greeter("blue")
    doors = {"r1": ("red", net.free_tcp4()), "r2": ("red", net.free_address("unix")),
             "b1": ("blue", net.free_tcp6())}
    config = {
        "metrics": {"address": str(net.free_tcp4())},
        "server": {"workers": 2},
        "listeners": [{"name": name, "address": str(address), "pool": pool}
                      for name, (pool, address) in doors.items()],
        "pools": {"red": {"backends": [{"name": "one", "address": str(red.address)}]},
                  "blue": {"backends": [{"name": "one", "address": str(blue.address)}]}},
    }
    loble = bench.raw(config)
    for count, (pool, address) in enumerate(doors.values(), 2):
        for _ in range(count):
            assert net.exchange(address) == (pool.encode(), END)
    loble.wait_value("loble_listener_connections_active", 0)
    done = loble.metrics()
    for count, name in enumerate(doors, 2):
        assert done("loble_listener_connections_total", listener=name) == count
    assert done("loble_backend_connections_total", pool="red", backend="one") == 5
    assert done("loble_backend_connections_total", pool="blue", backend="one") == 4
