"""A network of its own for each measurement: nothing of the last one (ports that wait, routes,
buffers that have grown) is left for the next."""
import ctypes
import os
import pathlib
import sys

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913

# The same for every proxy, load generator and backend. A namespace starts with the congestion
# control of the machine and may then only choose one that is open to all: reno. With no loss, as on
# loopback, it differs from cubic in nothing; bbr would pace the sender and cost up to twice as much.
CONGESTION_CONTROL = "reno"
SETTINGS = {
    "net/ipv4/tcp_congestion_control": CONGESTION_CONTROL,
    "net/ipv4/ip_local_port_range": "10240 65000",  # above all ports that are listened on
    "net/ipv4/tcp_tw_reuse": "1",
    "net/core/somaxconn": "8192",
    "net/ipv4/tcp_rmem": "4096 131072 33554432",
    "net/ipv4/tcp_wmem": "4096 16384 4194304",
}


def become_root(arguments):
    """Without root, runs this program again as the root of a user namespace."""
    if os.geteuid() == 0:
        return
    if os.environ.get("BENCH_INSIDE"):
        sys.exit("bench: the user namespace did not give us root")
    os.environ["BENCH_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--map-root-user", "--net", sys.executable, *arguments])


def write(name, value):
    pathlib.Path("/proc/sys", name).write_text(value, encoding="ascii")


def enter(settings=None):
    """Moves this process, and all that it starts from now on, to a new network namespace. The one
    before ends with its last process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare of the network: {os.strerror(number)}; root is needed")
    raise_loopback()
    for name, value in {**SETTINGS, **(settings or {})}.items():
        write(name, value)


def raise_loopback():
    import fcntl  # pylint: disable=import-outside-toplevel
    import socket  # pylint: disable=import-outside-toplevel
    import struct  # pylint: disable=import-outside-toplevel
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0x1)  # IFF_UP
        fcntl.ioctl(sock, SIOCGIFFLAGS + 1, request)  # SIOCSIFFLAGS
