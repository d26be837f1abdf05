"""Servers and clients that know nothing of Loble work through it, and outlive a killed backend."""

import getpass
import hashlib
import os
import re
import signal
import subprocess
import time

import pytest

from harness import net
from harness.paths import data
from harness.peers import Load, Server, postgres_folder, run, tool
from harness.wait import until

QUICK = {"failure_threshold": 3, "success_threshold": 2, "probe_interval": "100ms",
         "probe_timeout": "500ms"}
FILE_SIZE = 8 << 20


def survives(bench, loble, victim, client, name):
    """Kills a backend under load and starts it again.

    Only clients that are there in the moment of the kill may see an error. Who begins later is
    served by the other backend, and by this one again once it is back.
    """
    load = bench.keep(Load(client))
    load.wait_served(2, name)
    begin = time.monotonic()
    victim.kill()
    end = time.monotonic()
    loble.wait_health("unhealthy", victim.address)
    load.wait_served(6)
    assert load.served_since(end, name) == 0
    victim.start()
    loble.wait_health("healthy", victim.address)
    load.wait_served(2, name)
    load.close()
    assert not load.errors_outside(begin, end)


def endpoint(loble):
    return loble.address.host, str(loble.address.port)


# nginx.


def nginx(bench, directory, name):
    address, prefix = net.free_tcp4(), directory / name
    prefix.mkdir()
    (prefix / "page").write_bytes(data(FILE_SIZE))
    file = prefix / "nginx.conf"
    file.write_text(f"""daemon off; master_process off; pid {prefix}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi; uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen {address};
        location = /name {{ return 200 "{name}"; }}
        location = /page {{ root {prefix}; }}
    }}
}}
""")
    command = [tool("nginx"), "-e", "stderr", "-p", prefix, "-c", file]
    return bench.keep(Server(command, address, prefix / "log"))


@pytest.fixture
def web(bench, directory):
    one, two = nginx(bench, directory, "one"), nginx(bench, directory, "two")
    return bench.loble(one, two, health=QUICK), one


def curl(loble, path):
    return run(tool("curl"), "-sS", "--fail", "--max-time", "10",
               f"http://{loble.address}/{path}")


def test_http_of_nginx(web, directory):
    loble, _ = web
    assert {curl(loble, "name") for _ in range(8)} == {"one", "two"}
    file = directory / "downloaded"
    run(tool("curl"), "-sS", "--fail", "-o", file, f"http://{loble.address}/page")
    assert file.read_bytes() == data(FILE_SIZE)
    said = run(tool("wrk"), "-t", "1", "-c", "16", "-d", "2s", f"http://{loble.address}/name")
    requests = re.search(r"(\d+) requests in", said)
    assert requests and int(requests[1]) > 100, said
    assert "Socket errors" not in said and "Non-2xx" not in said, said


def test_http_of_nginx_while_one_is_killed_and_comes_back(bench, web):
    loble, one = web
    survives(bench, loble, one, lambda: curl(loble, "name"), "one")


# Redis.


def redis(bench, directory):
    address = net.free_tcp4()
    command = [tool("redis-server"), "--bind", address.host, "--port", address.port,
               "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", directory]
    return bench.keep(Server(command, address, directory / f"redis-{address.port}"))


def redis_cli(loble, *command):
    host, port = endpoint(loble)
    return run(tool("redis-cli"), "-h", host, "-p", port, *command)


def redis_port(loble):
    """The port of the Redis that answered; not by redis-cli, which hides a lost connection."""
    with loble.connect() as client:
        client.send(b"INFO server\r\nQUIT\r\n")
        got = client.rest()
    found = re.search(rb"tcp_port:(\d+)", got.data)
    assert found and got.how == net.END, got
    return int(found[1])


def test_redis_under_its_own_benchmark(bench, directory):
    one, two = redis(bench, directory), redis(bench, directory)
    loble = bench.loble(one, two, health=QUICK)
    assert {redis_port(loble) for _ in range(8)} == {one.address.port, two.address.port}
    host, port = endpoint(loble)
    said = run(tool("redis-benchmark"), "-h", host, "-p", port, "-n", "4000", "-c", "20",
               "-d", "1024", "-P", "4", "-t", "ping_mbulk,set,get,lpush", "--csv")
    rates = re.findall(r'^"(\w+)[^"]*","([\d.]+)"', said, re.MULTILINE)
    assert [name for name, _ in rates] == ["PING_MBULK", "SET", "GET", "LPUSH"], said
    assert all(float(rate) > 0 for _, rate in rates), said


def test_publish_and_subscribe_of_redis(bench, directory):
    loble = bench.loble(redis(bench, directory), health=QUICK)
    host, port = endpoint(loble)
    with subprocess.Popen([tool("redis-cli"), "-h", host, "-p", port, "subscribe", "news"],
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as reader:
        try:
            until(lambda: redis_cli(loble, "publish", "news", "first").strip() == "1",
                  "the subscription")
            for number in range(20):
                assert redis_cli(loble, "publish", "news", f"item {number}").strip() == "1"
            wanted = ["first"] + [f"item {number}" for number in range(20)]
            lines = [reader.stdout.readline().strip() for _ in range(3 + 3 * len(wanted))]
        finally:
            reader.kill()
    assert lines == ["subscribe", "news", "1"] + [
        word for item in wanted for word in ("message", "news", item)]


def test_redis_while_one_is_killed_and_comes_back(bench, directory):
    one, two = redis(bench, directory), redis(bench, directory)
    loble = bench.loble(one, two, health=QUICK)
    survives(bench, loble, one, lambda: redis_port(loble), one.address.port)


# PostgreSQL.


@pytest.fixture
def postgres(bench, directory):
    """A new cluster; the server refuses to be root, so it is the user that Debian made for it."""
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    address, folder = net.free_tcp4(), postgres_folder()
    directory.chmod(0o755)
    cluster = directory / "cluster"
    cluster.mkdir()
    identity = {}
    if os.geteuid() == 0:
        identity = {"user": user, "group": user, "extra_groups": []}
        subprocess.run(["chown", user, str(cluster)], check=True)
    run(f"{folder}/initdb", "-D", cluster, "-U", "tester", "--auth", "trust", "--no-sync",
        "--no-locale", "-E", "UTF8", cwd="/", **identity)
    command = [f"{folder}/postgres", "-D", cluster, "-p", address.port,
               "-c", f"listen_addresses={address.host}", "-c", "unix_socket_directories=",
               "-c", "fsync=off", "-c", "max_connections=40"]
    return bench.keep(Server(command, address, directory / "postgres.log", user=user,
                             end=signal.SIGINT))


def pgbench(loble, *arguments):
    host, port = endpoint(loble)
    return run(tool("pgbench", postgres_folder()), "-h", host, "-p", port, "-U", "tester",
               *arguments, "postgres")


def wait_accepts(address):
    """PostgreSQL listens before it has recovered."""
    command = [tool("pg_isready", postgres_folder()), "-q", "-h", address.host,
               "-p", str(address.port)]
    until(lambda: subprocess.run(command, check=False).returncode == 0, "PostgreSQL to be ready")


def test_postgresql_under_its_own_benchmark(bench, postgres):
    loble = bench.loble(postgres, health=QUICK)
    wait_accepts(loble.address)
    pgbench(loble, "-i", "-q", "-s", "1")
    said = pgbench(loble, "-n", "-c", "4", "-T", "2")
    done = re.search(r"number of transactions actually processed: (\d+)", said)
    assert done and int(done[1]) > 20, said
    assert "number of failed transactions: 0 " in said, said


def test_clients_of_postgresql_recover_when_it_is_killed_and_comes_back(bench, postgres):
    loble = bench.loble(postgres, health=QUICK, timeouts={"connect_total": "500ms"})
    wait_accepts(loble.address)
    pgbench(loble, "-i", "-q", "-s", "1")
    load = bench.keep(Load(lambda: pgbench(loble, "-n", "-C", "-S", "-c", "2", "-t", "10")))
    load.wait_served(2)
    begin = time.monotonic()
    postgres.kill_and_wait_for_children()
    loble.wait_health("unhealthy", postgres.address)
    postgres.start()
    wait_accepts(postgres.address)
    loble.wait_health("healthy", postgres.address)
    end = time.monotonic()
    load.wait_served(3)
    load.close()
    assert load.failed, "nobody noticed that the only backend was gone"
    assert not load.errors_outside(begin, end)


# TLS, which Loble passes on as it is: the client verifies the backend's certificate.


@pytest.fixture
def certificate(directory):
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    run(tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=backend",
        "-addext", f"subjectAltName=IP:{net.own_host()}", "-keyout", key, "-out", certificate)
    return key, certificate


def s_server(bench, directory, certificate, what):
    address = net.free_tcp4()
    command = [tool("openssl"), "s_server", "-accept", address, "-key", certificate[0],
               "-cert", certificate[1], what]
    return bench.keep(Server(command, address, directory / f"tls-{address.port}"))


def tls_name(loble, certificate):
    """The address that s_server, which repeats its command line, was told to listen on."""
    page = run(tool("curl"), "-sS", "--max-time", "10", "--cacert", certificate[1],
               f"https://{loble.address}/")
    found = re.search(r"-accept ([\d.]+:\d+)", page)
    assert found, page
    return found[1]


def test_tls_passes_to_the_backend_and_back(bench, directory, certificate):
    loble = bench.loble(s_server(bench, directory, certificate, "-rev"), health=QUICK)
    with subprocess.Popen(
            [tool("openssl"), "s_client", "-quiet", "-verify_return_error", "-CAfile",
             str(certificate[1]), "-connect", str(loble.address)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True) as client:
        try:
            for number in range(20):
                line = f"line {number} there"
                client.stdin.write(line + "\n")
                client.stdin.flush()
                assert client.stdout.readline().strip() == line[::-1]
        finally:
            client.kill()


def test_tls_while_one_backend_is_killed_and_comes_back(bench, directory, certificate):
    one, two = (s_server(bench, directory, certificate, "-www") for _ in range(2))
    loble = bench.loble(one, two, health=QUICK)
    survives(bench, loble, one, lambda: tls_name(loble, certificate), str(one.address))


# SSH.


class Ssh:
    """Two sshd with one host key, and the options of a client that trusts only that key."""

    def __init__(self, bench, directory):
        self.directory = directory
        for name in ("host", "user"):
            run(tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / name)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", 0o755, exist_ok=True)
        self.one, self.two = self._sshd(bench), self._sshd(bench)
        self.loble = bench.loble(self.one, self.two, health=QUICK)
        key = (directory / "host.pub").read_text()
        host, self.port = endpoint(self.loble)
        (directory / "known").write_text(f"[{host}]:{self.port} {key}")
        self.options = ["-F", "none", "-i", str(directory / "user"), "-o", "BatchMode=yes",
                        "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
                        "-o", f"UserKnownHostsFile={directory}/known", "-o", "LogLevel=ERROR"]
        self.user = f"{getpass.getuser()}@{host}"

    def _sshd(self, bench):
        address = net.free_tcp4()
        file = self.directory / f"sshd-{address.port}"
        file.write_text(f"""ListenAddress {address}
HostKey {self.directory}/host
AuthorizedKeysFile {self.directory}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp
""")
        command = [tool("sshd"), "-D", "-e", "-f", file]
        return bench.keep(Server(command, address, self.directory / f"sshd-log-{address.port}"))

    def command(self, *words):
        return [tool("ssh"), *self.options, "-p", self.port, self.user, *words]

    def name(self):
        """The port of the sshd that ran the command."""
        return int(run(*self.command("echo $SSH_CONNECTION")).split()[3])

    def scp(self, source, target):
        run(tool("scp"), "-q", *self.options, "-P", self.port, source, target)


@pytest.fixture
def ssh(bench, directory):
    return Ssh(bench, directory)


def test_commands_and_files_over_ssh(ssh, directory):
    ports = {ssh.one.address.port, ssh.two.address.port}
    assert {ssh.name() for _ in range(4)} == ports
    source, there, back = (directory / name for name in ("source", "there", "back"))
    source.write_bytes(data(FILE_SIZE))
    ssh.scp(source, f"{ssh.user}:{there}")
    said = run(*ssh.command("sha256sum", str(there)))
    assert said.split()[0] == hashlib.sha256(data(FILE_SIZE)).hexdigest()
    ssh.scp(f"{ssh.user}:{there}", back)
    assert back.read_bytes() == data(FILE_SIZE)


def test_ssh_while_one_backend_is_killed_and_comes_back(bench, ssh):
    """A session with the other backend lives through it."""
    while True:
        with subprocess.Popen(ssh.command("echo $SSH_CONNECTION; exec cat"), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
            try:
                if int(session.stdout.readline().split()[3]) != ssh.two.address.port:
                    continue
                survives(bench, ssh.loble, ssh.one, ssh.name, ssh.one.address.port)
                session.stdin.write("still here\n")
                session.stdin.flush()
                assert session.stdout.readline() == "still here\n"
                session.stdin.close()
                assert session.wait(10) == 0
                return
            finally:
                session.kill()
