"""Whatever a server says has one Outcome, and what was sent and answered is given as it is."""

from __future__ import annotations

import time

import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import Engine, call
from tests.wire.peers import Asked, Peer, Said, echo, running_peer
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport import grpc_library, http_status
from tfs_locust.transport.base import Endpoint


def _say(said: Said, _: Asked) -> Said:
    return said


def test_ok(engine: Engine, peer: Peer, connect: Connect) -> None:
    """The body goes out and the answer comes back, byte by byte; the stamps enclose the peer's work."""
    worked: list[int] = []

    def script(asked: Asked) -> Said:
        worked.append(time.perf_counter_ns())
        return echo(asked)

    peer.script = script
    body = bytes(range(256)) * 10
    reply = call(engine, connect(peer.port), body)
    assert reply[2:] == (Outcome.OK, body, "")
    assert reply.sent_ns < worked[0] < reply.end_ns
    assert [asked[:2] for asked in peer.asked] == [(engine.path, body)]


def test_empty_answer(engine: Engine, peer: Peer, connect: Connect) -> None:
    """No bytes are an answer too."""
    assert call(engine, connect(peer.port), b"")[2:] == (Outcome.OK, b"", "")


_GRPC = {
    0: Outcome.OK,
    1: Outcome.CANCELLED,
    2: Outcome.UNKNOWN,
    3: Outcome.INVALID_ARGUMENT,
    4: Outcome.DEADLINE_EXCEEDED,
    5: Outcome.NOT_FOUND,
    6: Outcome.ALREADY_EXISTS,
    7: Outcome.PERMISSION_DENIED,
    8: Outcome.RESOURCE_EXHAUSTED,
    9: Outcome.FAILED_PRECONDITION,
    10: Outcome.ABORTED,
    11: Outcome.OUT_OF_RANGE,
    12: Outcome.UNIMPLEMENTED,
    13: Outcome.INTERNAL,
    14: Outcome.UNAVAILABLE,
    15: Outcome.DATA_LOSS,
    16: Outcome.UNAUTHENTICATED,
}
_REST = {
    200: Outcome.OK,
    302: Outcome.UNKNOWN,
    400: Outcome.INVALID_ARGUMENT,
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.PERMISSION_DENIED,
    404: Outcome.NOT_FOUND,
    409: Outcome.ABORTED,
    413: Outcome.INVALID_ARGUMENT,
    418: Outcome.UNKNOWN,
    429: Outcome.RESOURCE_EXHAUSTED,
    499: Outcome.CANCELLED,
    500: Outcome.INTERNAL,
    501: Outcome.UNIMPLEMENTED,
    502: Outcome.UNAVAILABLE,
    503: Outcome.UNAVAILABLE,
    504: Outcome.DEADLINE_EXCEEDED,
}
_STATUSES = {"grpc": _GRPC, "rest": _REST}


def test_statuses_are_those_of_the_tables() -> None:
    """What is tried below is all that the tables hold, and for HTTP what they do not."""
    assert {code.value[0] for code in grpc_library.OUTCOMES} == set(_GRPC)
    assert set(_REST) - set(http_status.OUTCOMES) == {200, 302, 418}


def test_statuses(engine: Engine, peer: Peer, connect: Connect) -> None:
    """Every status has its Outcome; a failure has the peer's words, whatever their alphabet, and no body."""
    transport = connect(peer.port)
    words = 'größer: "3" \\ ☃\n'
    for status, outcome in _STATUSES[engine.protocol].items():
        peer.script = lambda asked, status=status: (
            Said(status=status, text=words) if status not in (0, 200) else echo(asked)
        )
        expected = (outcome, b"hello", "") if outcome is Outcome.OK else (outcome, b"", words)
        assert call(engine, transport)[2:] == expected, status


@pytest.mark.parametrize(
    ("code", "status", "text", "outcome"),
    [
        (8, 429, "Server Threadpool Exhausted", Outcome.SERVER_THREADS_EXHAUSTED),
        (8, 429, "", Outcome.SERVER_THREADS_EXHAUSTED),
        (8, 429, "Run() timeout exceeded while waiting in batching queue", Outcome.BATCH_QUEUE_TIMEOUT),
        (14, 503, "The batch scheduling queue to which this task was submitted is full", Outcome.BATCH_QUEUE_FULL),
        (14, 503, "Model labels does not init yet.x", Outcome.UNAVAILABLE),
        (3, 400, "Task size 3 is larger than maximum input batch size 2", Outcome.BATCH_TOO_LARGE),
    ],
)
def test_texts(
    code: int, status: int, text: str, outcome: Outcome, engine: Engine, peer: Peer, connect: Connect
) -> None:
    """Where a status has several meanings the text decides."""
    peer.script = lambda _: Said(status=code if engine.protocol == "grpc" else status, text=text)
    assert call(engine, connect(peer.port))[2:] == (outcome, b"", text)


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b'{"message": "x"}', b'["error"]', b"\xff"])
def test_error_page_of_a_proxy(body: bytes, rest_engine: Engine) -> None:
    """What is not TensorFlow Serving's JSON is told by its status alone."""
    with running_peer("rest") as peer:
        peer.script = lambda _: Said(body, status=502)
        transport = rest_engine.open(Endpoint("127.0.0.1", peer.port))
        assert call(rest_engine, transport)[2:] == (Outcome.UNAVAILABLE, b"", "HTTP 502")
        transport.close()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_framing(framing: str, size: int, rest_engine: Engine) -> None:
    """However the answer's end is told, it is found, on this call and the next."""
    with running_peer("rest") as peer:
        peer.script = lambda asked: Said(asked.body * size, framing=framing)
        transport = rest_engine.open(Endpoint("127.0.0.1", peer.port))
        for body in (b"a", b"b"):
            assert call(rest_engine, transport, body)[2:] == (Outcome.OK, body * size, "")
        transport.close()


def test_get(rest_engine: Engine) -> None:
    """No body is a GET."""
    with running_peer("rest") as peer:
        transport = rest_engine.open(Endpoint("127.0.0.1", peer.port))
        assert call(rest_engine, transport, None)[2:] == (Outcome.OK, b"", "")
        assert "Content-Length" not in dict(peer.asked[0].headers)
        transport.close()


def test_headers(engine: Engine, peer: Peer, connect: Connect) -> None:
    """What the user adds arrives on every call as it was given, a name given twice among it."""
    given = (("x-one", "1"), ("authorization", "Bearer a=b, c"), ("x-many", "a"), ("x-many", "b"))
    transport = connect(peer.port, headers=given)
    for _ in range(2):
        assert call(engine, transport).outcome is Outcome.OK
    names = {name for name, _ in given}
    for asked in peer.asked:
        arrived = [(name.lower(), value) for name, value in asked.headers if name.lower() in names]
        assert sorted(arrived) == sorted(given)
