"""PROXY protocol v1 and v2 as backends receive it: by bytes, and as nginx and HAProxy read it."""

import ipaddress
import os
import struct

import pytest

from harness import net
from harness.net import END
from harness.paths import BULK, IPV6, TCP, TWO_WORKERS, UNIX_BACKEND, UNIX_LISTENER, data
from harness.peers import Server, tool

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

ip_ways = pytest.mark.parametrize("way", [TCP, IPV6, UNIX_BACKEND, TWO_WORKERS], ids=str)


def header_v1(peer):
    line = b""
    while not line.endswith(b"\r\n"):
        assert len(line) < 107, f"a v1 header has at most 107 bytes: {line!r}"
        line += peer.receive(1)
    return line


def header_v2(peer):
    """(command, family and protocol, addresses) of a binary header."""
    fixed = peer.receive(16)
    assert fixed[:12] == SIGNATURE
    assert fixed[12] >> 4 == 2
    (length,) = struct.unpack(">H", fixed[14:])
    return fixed[12] & 15, fixed[13], peer.receive(length) if length else b""


def ends(client):
    """(source, destination) of the client's connection as it sees it itself."""
    return client.sock.getsockname()[:2], client.sock.getpeername()[:2]


@pytest.mark.asan
@ip_ways
def test_v1_names_both_ends_of_the_clients_connection(bench, way):
    line = bench.line(way, balancer={"proxy_protocol": "v1"})
    client, backend = line.open()
    source, target = ends(client)
    family = b"TCP6" if way is IPV6 else b"TCP4"
    wanted = b"PROXY %s %s %s %d %d\r\n" % (
        family, source[0].encode(), target[0].encode(), source[1], target[1])
    assert header_v1(backend) == wanted
    client.send(b"then the data")
    assert backend.receive(13) == b"then the data"


@pytest.mark.asan
@ip_ways
def test_v2_names_both_ends_of_the_clients_connection(bench, way):
    line = bench.line(way, balancer={"proxy_protocol": "v2"})
    client, backend = line.open()
    source, target = ends(client)
    command, family, body = header_v2(backend)
    assert command == 1
    assert family == (0x21 if way is IPV6 else 0x11)
    packed = b"".join(ipaddress.ip_address(host).packed for host in (source[0], target[0]))
    assert body[:len(packed) + 4] == packed + struct.pack(">HH", source[1], target[1])
    client.send(b"then the data")
    assert backend.receive(13) == b"then the data"


@pytest.mark.asan
def test_the_header_of_a_unix_client_says_that_there_is_no_address(bench):
    line = bench.line(UNIX_LISTENER, balancer={"proxy_protocol": "v1"})
    client, backend = line.open()
    assert header_v1(backend).startswith(b"PROXY UNKNOWN")
    client.send(b"data")
    assert backend.receive(4) == b"data"
    line = bench.line(UNIX_LISTENER, balancer={"proxy_protocol": "v2"})
    client, backend = line.open()
    command, family, body = header_v2(backend)
    assert (command, family, len(body)) in ((0, 0x00, 0), (1, 0x00, 0), (1, 0x31, 216))
    client.send(b"data")
    assert backend.receive(4) == b"data"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_header_does_not_wait_for_the_client_to_speak(bench, version):
    """Server-first protocols: the backend greets before the client has sent anything."""
    line = bench.line(balancer={"proxy_protocol": version})
    client, backend = line.open()
    header_v1(backend) if version == "v1" else header_v2(backend)
    backend.send(b"220 ready")
    assert client.receive(9) == b"220 ready"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_comes_before_data_that_was_there_already_and_bulk(bench, version):
    line = bench.line(balancer={"proxy_protocol": version})
    client = bench.keep(line.loble.connect())
    upload = client.sending(data(BULK), finish=True)
    backend = line.backend.accept()
    header_v1(backend) if version == "v1" else header_v2(backend)
    assert backend.rest() == (data(BULK), END)
    upload.result()
    backend.close()
    client.close()
    done = line.loble.wait_value("loble_listener_connections_active", 0)
    assert done("loble_listener_received_bytes_total") == BULK


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_retry_sends_the_header_to_the_backend_that_took_the_session(bench, version):
    dead = bench.manual()
    dead.stop()
    alive = bench.manual()
    loble = bench.loble(dead, alive, balancer={"proxy_protocol": version})
    for _ in range(4):
        client = bench.keep(loble.connect())
        backend = alive.accept()
        header_v1(backend) if version == "v1" else header_v2(backend)
        client.send(b"once")
        assert backend.receive(4) == b"once"


def nginx(bench, directory, address):
    """Answers as soon as it has read the header and closes: bytes of the client would be met by a
    reset. Returns what a client is to ask: nothing."""
    file = directory / "nginx.conf"
    modules = "/usr/lib/nginx/modules/ngx_stream_module.so"
    load = f"load_module {modules};\n" if os.path.exists(modules) else ""
    file.write_text(f"""{load}daemon off; master_process off; pid {directory}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 64; }}
stream {{ server {{
    listen {address} proxy_protocol;
    return "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port";
}} }}
""")
    bench.keep(Server([tool("nginx"), "-p", directory, "-c", file], address, directory / "log"))
    return b""


def haproxy(bench, directory, address):
    """Answers a request. Returns it."""
    file = directory / "haproxy.cfg"
    file.write_text(f"""defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend f
    bind {address} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%ci %cp %fp"
""")
    bench.keep(Server([tool("haproxy"), "-db", "-q", "-f", file], address, directory / "log"))
    return b"GET / HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("peer", [nginx, haproxy], ids=["nginx", "haproxy"])
def test_other_programs_read_the_clients_address_from_the_header(bench, directory, peer, version):
    address = net.free_tcp4()
    question = peer(bench, directory, address)
    loble = bench.loble(address, balancer={"proxy_protocol": version})
    for _ in range(5):
        with loble.connect() as client:
            (host, port), (_, target) = ends(client)
            client.send(question)
            got = client.rest().data.decode()
            assert got.endswith(f"{host} {port} {target}"), got
