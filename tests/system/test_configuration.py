"""Configuration files: what is refused, and files that are meant to hurt."""

import random
import subprocess

import pytest

from harness.loble import REPORTS, environment
from harness.wait import DEADLINE

pytestmark = pytest.mark.asan

LISTENER = '[listener]\naddress = "127.0.0.1:9000"\n'
BACKEND = '[[backends]]\naddress = "127.0.0.1:80"\n'
BASE = LISTENER + BACKEND
POOL = '[[listeners]]\nname = "l"\naddress = "127.0.0.1:9000"\npool = "p"\n'
FULL = POOL + '[pools.p]\n[[pools.p.backends]]\naddress = "127.0.0.1:80"\n'


@pytest.fixture
def check(binary, directory):
    def run(text):
        file = directory / "case.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = subprocess.run([str(binary), "check", str(file)], capture_output=True,
                              timeout=DEADLINE, env=environment(), check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode >= 0, f"ended by signal {-done.returncode}"
        for report in REPORTS:
            assert report not in said, said
        return done.returncode, said
    return run


VALID = {
    "simple": BASE,
    "full": FULL,
    "every-table": BASE + """
[server]
workers = 2
max_sessions = 100
supervise = true
watchdog = "30s"
io_uring = false
busy_poll = 10000
coalesce = 1000
[balancer]
algorithm = "random"
retries = 10
when_all_unhealthy = "refuse"
on_unhealthy = "close"
proxy_protocol = "v2"
max_buffered = "64KiB"
connect = "1ms"
connect_total = "365d"
backend_drain = "off"
[health]
failure_threshold = 1000
success_threshold = 1
probe_interval = "100ms"
probe_timeout = "1s"
flap_window = "1m"
hold_down_max = "5m"
max_ejected = 100
[timeouts]
connect = "3s"
connect_total = "10s"
backend_drain = "1h"
idle = "off"
half_close = "off"
drain = "30s"
lame_duck = "0s"
[tcp]
keepalive = "off"
[metrics]
enabled = false
address = "[::1]:9090"
[logging]
level = "debug"
format = "text"
file = "/tmp/x.log"
[access_log]
enabled = true
sample = 0.5
""",
    "listener-options": """
[listener]
address = "unix:/tmp/x.sock"
backlog = 10
max_connections = 5
max_buffered = "64KiB"
freebind = true
mode = "0600"
idle = "1h"
half_close = "off"
""" + BACKEND,
    "addresses": LISTENER + "".join(
        f'[[backends]]\naddress = "{address}"\n' for address in
        ("127.0.0.1:80", "[::1]:80", "localhost:81", "unix:/tmp/b.sock", "unix:@name")),
    "defaults-of-the-full-form": FULL + '[timeouts]\nidle = "5m"\n[health]\n'
                                        "failure_threshold = 5\n",
    "weights": LISTENER + BACKEND + "weight = 0\nmax_connections = 3\nname = \"n\"\n",
}

INVALID = {
    "empty": "",
    "no-backend": LISTENER,
    "no-listener": BACKEND,
    "both-forms": BASE + POOL,
    "unknown-key": LISTENER + "adress = 1\n" + BACKEND,
    "unknown-table": BASE + "[helth]\n",
    "wrong-type": LISTENER + "backlog = \"many\"\n" + BACKEND,
    "number-for-duration": BASE + "[timeouts]\nidle = 60\n",
    "no-unit": BASE + '[timeouts]\nidle = "60"\n',
    "negative-duration": BASE + '[timeouts]\nidle = "-1s"\n',
    "duration-too-long": BASE + '[timeouts]\nidle = "366d"\n',
    "zero-duration": BASE + '[timeouts]\nidle = "0s"\n',
    "off-where-it-is-not-allowed": BASE + '[timeouts]\nconnect = "off"\n',
    "drain-off": BASE + '[timeouts]\ndrain = "off"\n',
    "weight-too-large": BASE + "weight = 65536\n",
    "negative-weight": BASE + "weight = -1\n",
    "weight-as-fraction": BASE + "weight = 1.5\n",
    "threshold-0": BASE + "[health]\nfailure_threshold = 0\n",
    "threshold-1001": BASE + "[health]\nfailure_threshold = 1001\n",
    "retries-11": BASE + "[balancer]\nretries = 11\n",
    "probe-interval-too-short": BASE + '[health]\nprobe_interval = "99ms"\n',
    "max-ejected-101": BASE + "[health]\nmax_ejected = 101\n",
    "sample-above-1": BASE + "[access_log]\nsample = 1.5\n",
    "unknown-algorithm": BASE + '[balancer]\nalgorithm = "fastest"\n',
    "bad-mode": '[listener]\naddress = "unix:/tmp/x"\nmode = "rw"\n' + BACKEND,
    "address-without-port": '[listener]\naddress = "127.0.0.1"\n' + BACKEND,
    "port-0-of-a-backend": LISTENER + '[[backends]]\naddress = "127.0.0.1:0"\n',
    "port-too-large": LISTENER + '[[backends]]\naddress = "127.0.0.1:65536"\n',
    "port-is-a-word": LISTENER + '[[backends]]\naddress = "127.0.0.1:http"\n',
    "open-bracket": LISTENER + '[[backends]]\naddress = "[::1:80"\n',
    "bare-ipv6": LISTENER + '[[backends]]\naddress = "::1:80"\n',
    "unix-path-too-long": LISTENER + f'[[backends]]\naddress = "unix:/{"x" * 200}"\n',
    "listener-with-a-name": '[listener]\naddress = "localhost:80"\n' + BACKEND,
    "empty-address": LISTENER + '[[backends]]\naddress = ""\n',
    "same-address-twice": BASE + BACKEND,
    "same-name-twice": BASE + 'name = "a"\n[[backends]]\naddress = "127.0.0.1:81"\nname = "a"\n',
    "same-key-twice": LISTENER + 'address = "127.0.0.1:1"\n' + BACKEND,
    "unknown-pool": POOL.replace('pool = "p"', 'pool = "q"') +
                    '[[pools.p.backends]]\naddress = "127.0.0.1:80"\n',
    "pool-without-backends": POOL + '[pools.p]\nalgorithm = "random"\n',
    "two-listeners-of-one-name": FULL + POOL.replace("9000", "9001"),
    "backends-is-a-table": LISTENER + '[backends]\naddress = "127.0.0.1:80"\n',
    "listener-is-a-number": "listener = 1\n" + BACKEND,
    "not-toml": "this is = not [ toml",
    "unclosed-string": '[listener]\naddress = "127',
    "yaml": "listener:\n  address: 127.0.0.1\n",
}

HOSTILE = {
    "nul-bytes": b"\0" * 1000,
    "nul-in-a-string": b'[listener]\naddress = "127.0.0.1:9000\0"\n',
    "nul-escaped-in-a-string": LISTENER.encode() + b'name = "a\\u0000b"\n' + BACKEND.encode(),
    "not-utf-8": b'[listener]\naddress = "\xff\xfe"\n',
    "a-bom-and-utf-16": BASE.encode("utf-16"),
    "a-million-brackets": b"a = " + b"[" * 1_000_000,
    "deep-inline-tables": b"a = " + b"{a=" * 100_000,
    "deep-dotted-key": b".".join([b"a"] * 100_000) + b" = 1\n",
    "one-long-line": b"a = \"" + b"x" * 20_000_000 + b"\"\n",
    "a-long-key": b"x" * 5_000_000 + b" = 1\n",
    "many-tables": b"".join(b"[t%d]\n" % number for number in range(100_000)),
    "many-backends": LISTENER.encode() + b"".join(
        b'[[backends]]\naddress = "10.%d.%d.%d:80"\n' % (n >> 16, n >> 8 & 255, n & 255)
        for n in range(70_000)),
    "a-huge-number": BASE.encode() + b"weight = " + b"9" * 10_000 + b"\n",
    "a-huge-duration": BASE.encode() + b'[timeouts]\nidle = "' + b"9" * 10_000 + b's"\n',
    "infinity": BASE.encode() + b"[access_log]\nsample = inf\n",
    "not-a-number": BASE.encode() + b"[access_log]\nsample = nan\n",
    "terminal-escapes": b'"\\u001b[31m" = 1\n',
    "control-characters": b"a = \x01\x02\x1b[31m\n",
    "only-carriage-returns": b"\r" * 100_000,
}


@pytest.mark.parametrize("case", VALID)
def test_a_valid_file_is_accepted(check, case):
    code, said = check(VALID[case])
    assert code == 0, said


@pytest.mark.parametrize("case", INVALID)
def test_a_mistake_is_65_with_its_place(check, case):
    code, said = check(INVALID[case])
    assert code == 65, (code, said)
    assert "case.toml" in said


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_quickly_and_politely(check, case):
    code, said = check(HOSTILE[case])
    assert code == 65, (code, said[:500])
    assert said.strip()
    assert len(said) < 200_000
    assert "\x1b" not in said and "\0" not in said, "it passes control characters on"


def test_no_mutation_of_a_valid_file_hurts(check):
    chooser = random.Random(5)
    text = bytearray(VALID["every-table"].encode())
    for _ in range(150):
        mutant = bytearray(text)
        for _ in range(chooser.randrange(1, 8)):
            spot = chooser.randrange(len(mutant))
            action = chooser.randrange(4)
            if action == 0:
                mutant[spot] = chooser.randrange(256)
            elif action == 1:
                del mutant[spot:spot + chooser.randrange(1, 30)]
            elif action == 2:
                mutant[spot:spot] = mutant[spot:spot + chooser.randrange(1, 50)]
            else:
                mutant[spot:spot] = chooser.choice([b"[", b"]]", b"=", b'"', b"'''", b"\n", b"#"])
        code, said = check(bytes(mutant))
        assert code in (0, 65), (code, said, mutant)


def test_the_same_resolved_address_twice_in_a_pool_is_an_error(bench):
    loble = bench.raw(LISTENER.replace("9000", "9") + '[[backends]]\naddress = "127.0.0.1:80"\n'
                      '[[backends]]\naddress = "localhost:80"\n', ready=None)
    assert loble.wait_exit() in (65, 78), loble.log
    loble.checked = True
