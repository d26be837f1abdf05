"""The proxies: how each is configured, at its best, and started.

The variants of one product differ in what its manual says matters for this kind of load; "the best"
of a product is looked for in each run and for each figure alone.
"""
import dataclasses
import functools
import json
import shutil
import socket
import subprocess

from . import process

LISTENER = ("127.0.0.1", 9000)
MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a workload wants from a proxy."""
    backends: tuple  # "address:port"
    workers: int = 1
    algorithm: str = "round_robin"
    checks: bool = False  # health checks, for workloads with broken backends
    connect_ms: int = 3000
    loble: tuple = ()  # further lines of its configuration


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    product: str
    command: object = None  # (setup, directory, binary) -> words of a command; None: no proxy
    binary: str = ""        # looked for in PATH
    like: str = ""          # another peer: runs where that one does, and only when asked for

    def installed(self):
        return not self.binary or shutil.which(self.binary) is not None


def write_file(directory, name, text):
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


@functools.lru_cache
def loble_schema(binary):
    """What the configuration of this binary may hold, as it says itself."""
    output = subprocess.run([binary, "config", "schema"], capture_output=True, check=True)
    return json.loads(output.stdout)


def loble_algorithms(binary):
    return tuple(loble_schema(binary)["properties"]["balancer"]["properties"]["algorithm"]["enum"])


def loble(supervise, setup, directory, binary, server=()):
    lines = ["[server]", f"workers = {setup.workers}", f"supervise = {supervise}", *server,
        "[listener]",
        f'address = "{LISTENER[0]}:{LISTENER[1]}"', "backlog = 8192", "[balancer]",
        f'algorithm = "{setup.algorithm}"', "[timeouts]", f'connect = "{setup.connect_ms}ms"',
        *setup.loble]
    if "admin" in loble_schema(binary)["properties"]:
        lines += ["[admin]", f'socket = "{directory}/admin.sock"']
    for backend in setup.backends:
        lines += ["[[backends]]", f'address = "{backend}"']
    return [binary, "-config", write_file(directory, "loble.toml", "\n".join(lines) + "\n")]


HAPROXY_ALGORITHMS = {"round_robin": "roundrobin", "random": "random(1)",
    "least_connections": "leastconn", "two_choices": "random(2)", "source_hash": "source",
    "maglev": "source\n    hash-type consistent"}


def haproxy(tuning, options, setup, directory, binary):
    # As many sessions, and pipes, as 20,000 descriptors allow.
    lines = ["global", f"    nbthread {setup.workers}", "    maxconn 9400", "    maxpipes 300",
        *tuning]
    shards = ""
    if setup.workers > 1:
        lines.append(f"    cpu-map auto:1/1-{setup.workers} 0-{setup.workers - 1}")
        shards = " shards by-thread"
    lines += ["defaults", "    mode tcp", f"    timeout connect {setup.connect_ms}ms",
        "    timeout client 1h", "    timeout server 1h", *options,
        "listen bench", f"    bind {LISTENER[0]}:{LISTENER[1]} backlog 8192{shards}",
        f"    balance {HAPROXY_ALGORITHMS[setup.algorithm]}"]
    check = ""
    if setup.checks:
        lines += ["    retries 3", "    option redispatch 1"]
        check = " check inter 1s fall 3 rise 2 observe layer4 error-limit 3 on-error mark-down"
    lines += [f"    server s{number} {backend}{check}"
        for number, backend in enumerate(setup.backends)]
    return [binary, "-db", "-f", write_file(directory, "haproxy.cfg", "\n".join(lines) + "\n")]


NGINX_ALGORITHMS = {"round_robin": "", "random": "random;", "least_connections": "least_conn;",
    "two_choices": "random two;", "source_hash": "hash $remote_addr;",
    "maglev": "hash $remote_addr consistent;"}


def nginx(buffer_size, setup, directory, binary):
    # What several workers need: a socket each, and the state of the pool in shared memory.
    reuse, zone = (" reuseport", "zone pool 4m;") if setup.workers > 1 else ("", "")
    fails = "" if setup.checks else " max_fails=0"
    servers = "\n".join(f"    server {backend}{fails};" for backend in setup.backends)
    config = write_file(directory, "nginx.conf", f"""
load_module {MODULE};
user root;
daemon off;
pid {directory}/nginx.pid;
error_log stderr crit;
worker_processes {setup.workers};
worker_cpu_affinity {'auto' if setup.workers > 1 else '1'};
worker_rlimit_nofile 20000;
events {{ worker_connections 19900; multi_accept on; }}
stream {{
  upstream pool {{
    {zone}
    {NGINX_ALGORITHMS[setup.algorithm]}
{servers}
  }}
  server {{
    listen {LISTENER[0]}:{LISTENER[1]} backlog=8192{reuse};
    proxy_pass pool;
    proxy_buffer_size {buffer_size};
    proxy_connect_timeout {setup.connect_ms}ms;
    proxy_timeout 1h;
    proxy_half_close on;
  }}
}}
""")
    return [binary, "-p", directory, "-c", config, "-e", "stderr"]


def pen(setup, _directory, binary):
    return [binary, "-f", "-r", "-c", "20000", "-x", "9600", "-S", str(len(setup.backends) + 1),
        f"{LISTENER[0]}:{LISTENER[1]}", *setup.backends]


SPLICE = ["    option splice-request", "    option splice-response"]
SMART = ["    option tcp-smart-accept", "    option tcp-smart-connect"]
EDGE = ["    expose-experimental-directives", "    tune.fd.edge-triggered on"]

PEERS = {peer.name: peer for peer in (
    Peer("loble", "loble", functools.partial(loble, "true")),
    # For workloads about latency. The first never looks for more before it sleeps, as the others do
    # not; the next two hardly sleep.
    Peer("loble-sleep", "loble",
        functools.partial(loble, "true", server=("busy_poll = 0",))),
    Peer("loble-busy", "loble",
        functools.partial(loble, "true", server=("busy_poll = 1000",))),
    Peer("haproxy-busy", "haproxy",
        functools.partial(haproxy, ["    busy-polling"], []), "haproxy"),
    # Looks for the next message at once, also when it is busy.
    Peer("loble-prompt", "loble",
        functools.partial(loble, "true", server=("coalesce = 0",))),
    # Each receive and send is a system call, as where io_uring is not permitted.
    Peer("loble-calls", "loble",
        functools.partial(loble, "true", server=("io_uring = false",))),
    # What it costs that nothing is dropped; only when asked for. The first has no supervisor and no
    # shared table of descriptors; the second, a build of its own, keeps no journals either.
    Peer("loble-alone", "loble", functools.partial(loble, "false"), like="loble"),
    Peer("loble-bare", "loble", functools.partial(loble, "false"), like="loble"),
    Peer("haproxy", "haproxy", functools.partial(haproxy, [], []), "haproxy"),
    Peer("haproxy-64k", "haproxy",
        functools.partial(haproxy, ["    tune.bufsize 65536"], []), "haproxy"),
    Peer("haproxy-splice", "haproxy",
        functools.partial(haproxy, ["    tune.pipesize 1048576"], SPLICE), "haproxy"),
    Peer("haproxy-smart", "haproxy", functools.partial(haproxy, [], SMART), "haproxy"),
    Peer("haproxy-edge", "haproxy", functools.partial(haproxy, EDGE, SMART), "haproxy"),
    Peer("nginx", "nginx", functools.partial(nginx, "16k"), "nginx"),
    Peer("nginx-64k", "nginx", functools.partial(nginx, "64k"), "nginx"),
    Peer("pen", "pen", pen, "pen"),
    Peer("direct", "direct"),
)}

# Whom ratios are against. The others are shown.
RIVALS = ("haproxy", "nginx")

# Not for production: its manual says that connections may freeze.
UNSAFE = ("haproxy-edge",)

# Those that use CPU while they have nothing to do.
BUSY = ("loble-busy", "haproxy-busy")


def is_listening(address):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        return sock.connect_ex(address) == 0


def start(peer, setup, directory, place, binary):
    """A running proxy that accepts, as a process.Child."""
    child = process.Child(peer.name, peer.command(setup, directory, binary), place, directory)
    try:
        def ready():
            child.check()
            return is_listening(LISTENER)
        process.wait_until(ready, 10, f"{peer.name} listens")
    except process.Failed:
        child.stop()
        raise
    return child
