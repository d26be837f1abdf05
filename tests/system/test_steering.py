"""Which worker gets a new client: the least loaded one, where BPF is permitted."""

import os
import re
import signal
from pathlib import Path

import pytest

from harness import net
from harness.backends import hold
from harness.survival import upgrade
from test_reload import Reloader, full

EACH = 20

needs_bpf = pytest.mark.skipif(os.geteuid() != 0, reason="only root may use BPF")
WITHOUT_BPF = ("setpriv", "--bounding-set", "-bpf,-sys_admin")


def worker_process(supervisor):
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


def sockets_by_worker(pid):
    """The inodes of the sockets in each worker's epoll."""
    found = {}
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = info.read_text()
        except FileNotFoundError:
            continue
        inodes = {int(inode, 16) for inode in re.findall(r"^tfd:.* ino:(\w+)", text, re.M)}
        if inodes:
            found[info.name] = inodes
    return found


def accepted_sockets(pid):
    """The inodes of the process's sockets by the port of the other side."""
    own = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.update(re.findall(r"socket:\[(\d+)\]", os.readlink(fd)))
        except FileNotFoundError:
            continue
    found = {}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[9] in own:
            found[int(words[2].split(":")[1], 16)] = int(words[9])
    return found


def share(loble, clients):
    """The clients by the worker that has them: {epoll: [client]}."""
    taken = {}
    workers = sockets_by_worker(loble.pid)
    accepted = accepted_sockets(loble.pid)
    for client in clients:
        inode = accepted[client.sock.getsockname()[1]]
        for worker, inodes in workers.items():
            if inode in inodes:
                taken.setdefault(worker, []).append(client)
    return taken


def open_clients(bench, loble, count):
    clients = []
    for _ in range(count):
        client = bench.keep(loble.connect())
        client.send(b"x")
        assert client.receive(1) == b"x"  # so it has been accepted, and counted
        clients.append(client)
    return clients


def echo_and_hold(peer):
    peer.send(peer.receive(1))
    hold(peer)


def empty_one_worker(bench, loble, clients, listener="default"):
    """One of two even workers loses all that it has, and gets all that come until both are even."""
    taken = share(loble, clients)
    assert sorted(map(len, taken.values())) == [EACH, EACH]
    emptied, kept = taken
    for client in taken[emptied]:
        client.close()
    loble.wait_value("loble_listener_connections_active", EACH, listener=listener)
    new = share(loble, open_clients(bench, loble, EACH))
    assert {worker: len(these) for worker, these in new.items()} == {emptied: EACH}
    return taken[kept] + new[emptied]


@needs_bpf
def test_new_clients_go_to_the_worker_with_the_fewest(bench):
    service = bench.service(echo_and_hold)
    loble = bench.loble(service, server={"workers": 2})
    assert not loble.events("steering_off")
    empty_one_worker(bench, loble, open_clients(bench, loble, 2 * EACH))


@needs_bpf
def test_it_goes_on_after_the_worker_process_has_died(bench):
    service = bench.service(echo_and_hold)
    loble = bench.loble(service, server={"workers": 2})
    clients = open_clients(bench, loble, 2 * EACH)
    os.kill(worker_process(loble.pid), signal.SIGKILL)
    loble.wait_event("worker_restarted")
    clients = empty_one_worker(bench, loble, clients)
    assert len(clients) == 2 * EACH


@needs_bpf
def test_it_goes_on_after_an_upgrade(bench):
    service = bench.service(echo_and_hold)
    loble = bench.loble(service, server={"workers": 2})
    clients = open_clients(bench, loble, 2 * EACH)
    upgrade(loble)
    clients = empty_one_worker(bench, loble, clients)
    assert len(clients) == 2 * EACH
    assert not loble.events("steering_off")


@needs_bpf
def test_without_the_right_a_hash_spreads_them_and_the_log_says_so_once(bench):
    service = bench.service(echo_and_hold)
    loble = bench.loble(service, server={"workers": 2}, options={"wrapper": WITHOUT_BPF})
    assert len(loble.events("steering_off")) == 1
    assert "permitted" in loble.events("steering_off")[0]["reason"]
    taken = share(loble, open_clients(bench, loble, 2 * EACH))
    assert sum(map(len, taken.values())) == 2 * EACH


def with_a_second_listener(bench, service, **server):
    """A Loble that has got a second listener by a reload, and is asked there."""
    first, second = net.free_tcp4(), net.free_tcp4()
    pools = {"default": [("only", service.address)]}
    config = full(bench, [("first", first, "default")], pools)
    config["server"].update(server)
    bench.directory.chmod(0o755)  # whoever the process becomes has to read the file
    loble = bench.raw(config)
    reloader = Reloader(loble)
    reloader.config["listeners"].append(
        {"name": "second", "address": str(second), "pool": "default"})
    assert reloader.signal()["event"] == "config_loaded"
    loble.wait_ready()  # and counts its sockets anew
    loble.config_address = second
    return loble


@needs_bpf
def test_a_listener_that_a_reload_adds_is_one_of_them(bench):
    service = bench.service(echo_and_hold)
    loble = with_a_second_listener(bench, service)
    empty_one_worker(bench, loble, open_clients(bench, loble, 2 * EACH), "second")
    assert not loble.events("steering_off")


@needs_bpf
def test_the_first_tcp_listener_may_come_with_a_reload(bench):
    """The workers say their loads from the start on, although nobody asks for them yet."""
    service = bench.service(echo_and_hold)
    local, second = net.free_address("unix"), net.free_tcp4()
    pools = {"default": [("only", service.address)]}
    loble = bench.raw(full(bench, [("local", local, "default")], pools))
    reloader = Reloader(loble)
    reloader.config["listeners"].append(
        {"name": "second", "address": str(second), "pool": "default"})
    assert reloader.signal()["event"] == "config_loaded"
    loble.wait_ready()
    loble.config_address = second
    clients = empty_one_worker(bench, loble, open_clients(bench, loble, 2 * EACH), "second")
    os.kill(worker_process(loble.pid), signal.SIGKILL)
    loble.wait_event("worker_restarted")
    empty_one_worker(bench, loble, clients, "second")
    assert not loble.events("steering_off")


@needs_bpf
def test_after_the_rights_were_given_up_a_hash_spreads_the_new_ones(bench):
    service = bench.service(echo_and_hold)
    loble = with_a_second_listener(bench, service, user="nobody")
    assert len(loble.events("steering_off")) == 1
    taken = share(loble, open_clients(bench, loble, 2 * EACH))
    assert sum(map(len, taken.values())) == 2 * EACH


def test_one_worker_has_nothing_to_choose_from(bench):
    service = bench.service(echo_and_hold)
    loble = bench.loble(service, server={"workers": 1})
    assert not loble.events("steering_off")
    assert len(open_clients(bench, loble, 3)) == 3
