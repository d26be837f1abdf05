"""What a backend answers while the client still uploads arrives as it would directly."""

import contextlib
import time

import pytest

from harness.backends import Service
from harness.net import END, Background, connect
from harness.paths import TCP, TWO_WORKERS, data

pytestmark = [pytest.mark.asan]

TRIES = 20
ANSWER = 50_000
UPLOAD = 8 << 20


def answer_after(first):
    """Reads a little, answers, closes with the rest unread: the kernel sends a reset."""
    def handler(peer):
        if first:
            peer.receive(first)
        peer.send(data(ANSWER, 4))
    return handler


def upload(address):
    """Uploads until that fails, then reads what there is; returns how much of the answer came."""
    with connect(address) as client:
        with contextlib.suppress(ConnectionError):
            client.send(data(UPLOAD, 3))
        got = client.rest().data
    assert got == data(ANSWER, 4)[:len(got)], "the answer is not what was sent"
    return len(got)


@pytest.mark.parametrize("first", [0, 1, 100_000], ids=["at-once", "after-1", "after-100k"])
@pytest.mark.parametrize("way", [TCP, TWO_WORKERS], ids=str)
def test_an_early_response_arrives_as_often_as_on_a_direct_connection(bench, way, first):
    service = bench.keep(Service(answer_after(first)))
    loble = bench.loble(service, way=way)
    direct = [upload(service.address) for _ in range(TRIES)]
    through = [upload(loble.address) for _ in range(TRIES)]
    assert through.count(ANSWER) >= direct.count(ANSWER), (direct, through)


def test_an_early_response_arrives_while_the_client_only_ever_writes_first(bench):
    """The client pauses between writes, so that a write fails long after the answer came."""
    service = bench.keep(Service(answer_after(1)))
    loble = bench.loble(service)

    def dribble(address):
        with connect(address) as client:
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    client.send(data(4000, 3))
                    time.sleep(0.005)
            return len(client.rest().data)
    direct = [dribble(service.address) for _ in range(5)]
    through = [dribble(loble.address) for _ in range(5)]
    assert through.count(ANSWER) >= direct.count(ANSWER), (direct, through)


def test_an_upload_goes_on_unharmed_while_the_answer_already_flows(bench):
    """The backend answers early and still reads all: nobody fails."""
    line = bench.line()
    client, backend = line.open()
    sending = client.sending(data(UPLOAD, 3), finish=True)
    backend.receive(1000)
    backend.send(data(ANSWER, 4))
    backend.finish()
    assert client.rest() == (data(ANSWER, 4), END)
    assert backend.rest() == (data(UPLOAD, 3)[1000:], END)
    sending.result()


def test_a_client_that_uploads_for_ever_to_a_backend_that_is_gone_is_let_go(bench):
    """After the answer the rest of the upload is discarded, and that has an end."""
    service = bench.keep(Service(answer_after(1)))
    loble = bench.loble(service)
    client = loble.connect()
    reading = client.receiving()

    def pour():
        while True:
            client.send(data(1 << 16, 3))
    pouring = Background(pour)
    assert reading.result().data == data(ANSWER, 4)
    with pytest.raises(OSError):
        pouring.result()
    client.close()
