"""The ways through Loble on which each rule of the data path has to hold."""

from dataclasses import dataclass

import pytest

from harness.net import payload


@dataclass(frozen=True)
class Way:
    """How clients come, where backends are, and how many workers there are."""

    name: str
    listener: str = "tcp4"
    backend: str = "tcp4"
    workers: int = 1

    def __str__(self):
        return self.name


TCP = Way("tcp")
IPV6 = Way("ipv6", listener="tcp6", backend="tcp6")
UNIX_BACKEND = Way("unix-backend", backend="unix")
UNIX_LISTENER = Way("unix-listener", listener="unix")
ABSTRACT = Way("abstract", listener="abstract", backend="abstract")
TWO_WORKERS = Way("two-workers", workers=2)

ALL = [TCP, IPV6, UNIX_BACKEND, UNIX_LISTENER, ABSTRACT, TWO_WORKERS]
# Where the side that is named is TCP, so that it can send and receive a reset.
TCP_ONLY = [TCP, IPV6, TWO_WORKERS]

every_way = pytest.mark.parametrize("way", ALL, ids=str)
every_tcp_way = pytest.mark.parametrize("way", TCP_ONLY, ids=str)

# Small: one read, copied. Bulk: many MB, so that a direction proves to be bulk and is spliced.
SMALL, BULK = 700, 12 << 20
every_size = pytest.mark.parametrize("size", [SMALL, BULK], ids=["copied", "spliced"])

_kept = {}


def data(size, seed=1):
    """payload(), kept: making 12 MB takes longer than moving them."""
    if (size, seed) not in _kept:
        _kept[size, seed] = payload(size, seed)
    return _kept[size, seed]
