"""Servers that break the protocol, or speak another: a clean end of the connection, and the next call on a new one.

What is an error, and of the connection or of the stream, is RFC 9113's to say (sections 4 to 6, named by each case).
"""

from __future__ import annotations

import struct

import pytest

from tests.wire.conftest import Connect
from tests.wire.engines import NO_ANSWER, Engine, call, names, wait_until, where_it_applies
from tests.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    Script,
    echoes,
    frame,
    running_frames,
    settings,
)
from tfs_locust.measure.sample import Outcome

_UINT_1 = struct.pack("!I", 1)
_HEADERS = frame(HEADERS, END_HEADERS, 1, HEAD)

# sent instead of an answer to the first stream
_BROKEN: dict[str, bytes] = {
    "DATA on stream 0 (6.1)": frame(DATA, 0, 0, b"x"),
    "DATA with more padding than payload (6.1)": _HEADERS + frame(DATA, PADDED, 1, b"\x09abc"),
    "DATA of a stream that was never opened (5.1)": frame(DATA, 0, 99, b"x"),
    "HEADERS on stream 0 (6.2)": frame(HEADERS, END_HEADERS, 0, HEAD),
    "HEADERS of a stream that was never opened (5.1)": frame(HEADERS, END_HEADERS, 98, HEAD),
    "RST_STREAM of a stream that was never opened (6.4)": frame(RST_STREAM, 0, 99, _UINT_1),
    "RST_STREAM of 3 bytes (6.4)": frame(RST_STREAM, 0, 1, b"abc"),
    "SETTINGS of 5 bytes (6.5)": frame(SETTINGS, 0, 0, b"abcde"),
    "SETTINGS on a stream (6.5)": frame(SETTINGS, 0, 1),
    "SETTINGS ACK with payload (6.5)": frame(SETTINGS, ACK, 0, bytes(6)),
    "SETTINGS with a window beyond 2^31-1 (6.5.2)": settings({INITIAL_WINDOW_SIZE: 2**31}),
    "SETTINGS with frames of less than 16384 (6.5.2)": settings({MAX_FRAME_SIZE: 5}),
    "SETTINGS with ENABLE_PUSH 2 (6.5.2)": settings({ENABLE_PUSH: 2}),
    "PUSH_PROMISE, which was not allowed (6.6)": frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + HEAD),
    "PING of 7 bytes (6.7)": frame(PING, 0, 0, b"1234567"),
    "PING on a stream (6.7)": frame(PING, 0, 1, b"12345678"),
    "GOAWAY of 7 bytes (6.8)": frame(GOAWAY, 0, 0, b"1234567"),
    "WINDOW_UPDATE of 3 bytes (6.9)": frame(WINDOW_UPDATE, 0, 0, b"abc"),
    "WINDOW_UPDATE of nothing (6.9)": frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "WINDOW_UPDATE beyond 2^31-1 (6.9.1)": frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 2**31 - 1)),
    "CONTINUATION of nothing (6.10)": frame(CONTINUATION, END_HEADERS, 1, HEAD),
    "another frame within a header block (6.10)": frame(HEADERS, 0, 1, HEAD) + frame(PING, 0, 0, bytes(8)),
    "a header block that cannot be decoded (4.3)": frame(HEADERS, END_HEADERS, 1, b"\x80"),
    "an index beyond the tables (RFC 7541, 2.3.3)": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\x0f"),
    "a table larger than allowed (RFC 7541, 6.3)": frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\xff\x07" + HEAD),
    "a literal that ends too early (RFC 7541, 5.2)": frame(HEADERS, END_HEADERS, 1, b"\x00\x7fabc"),
    "a frame larger than any may be (4.2)": b"\xff\xff\xff" + bytes((DATA, 0)) + _UINT_1 + bytes(1000),
}
_BROKEN_ONLY_WIRE = dict.fromkeys(
    (
        "DATA on stream 0 (6.1)",
        "DATA with more padding than payload (6.1)",
        "DATA of a stream that was never opened (5.1)",
        "HEADERS on stream 0 (6.2)",
        "HEADERS of a stream that was never opened (5.1)",
        "RST_STREAM of a stream that was never opened (6.4)",
        "PUSH_PROMISE, which was not allowed (6.6)",
        "PING on a stream (6.7)",
        "WINDOW_UPDATE beyond 2^31-1 (6.9.1)",
    ),
    "grpcio takes no notice",
)


def _instead_of_an_answer(data: bytes) -> Script:
    def script(connection: Connection) -> None:
        connection.greet()
        connection.request()
        connection.send(data)
        connection.drain()

    return script


@where_it_applies("grpc", _BROKEN, _BROKEN_ONLY_WIRE)
def test_broken_connections(case: str, engine: Engine, connect: Connect) -> None:
    """The call fails at once, long before its deadline, and is not sent again; the next has a new connection."""
    with running_frames(_instead_of_an_answer(_BROKEN[case]), echoes) as peer:
        transport = connect(peer.port)
        reply = call(engine, transport, b"first", timeout_s=5)
        assert reply.outcome in {Outcome.CONNECTION_LOST, Outcome.INTERNAL}, reply
        assert reply.body == b""
        assert reply.detail
        wait_until(lambda: call(engine, transport, b"second").outcome is Outcome.OK)
        first, second = peer.connections
        assert first.bodies.count(b"first") == 1
        assert b"first" not in second.bodies


_NO_GREETING: dict[str, bytes] = {
    "garbage": b"\xde\xad\xbe\xef" * 20,
    "an HTTP/1.1 answer": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "words": b"220 mail.example ESMTP\r\n",
    "a TLS alert": bytes.fromhex("15030100020246"),
    "PING before SETTINGS": frame(PING, 0, 0, bytes(8)) + settings({}),
    "DATA before SETTINGS": frame(DATA, END_STREAM, 1, b"x"),
    "the client's own preface": PREFACE,
    "SETTINGS that make no sense": frame(SETTINGS, 0, 0, b"abc"),
    "GOAWAY": frame(GOAWAY, 0, 0, bytes(8)),
    "nothing": b"",
}


@where_it_applies("grpc", _NO_GREETING, {})
def test_no_greeting(case: str, engine_name: str, engine: Engine, connect: Connect) -> None:
    """What does not begin with SETTINGS is no HTTP/2 server: unreachable, with a reason.

    grpcio does not wait for them, and so may have sent the request.
    """

    def script(connection: Connection) -> None:
        connection.send(_NO_GREETING[case])

    with running_frames(script) as peer:
        reply = call(engine, connect(peer.port), timeout_s=5)
        assert reply.outcome in (NO_ANSWER if engine_name == "grpc_library" else {Outcome.UNREACHABLE}), reply
        assert reply.detail


@pytest.mark.parametrize("engine_name", names("grpc"))
def test_a_good_server_afterwards(engine: Engine, connect: Connect) -> None:
    """A server that comes to its senses is found."""

    def script(connection: Connection) -> None:
        connection.send(b"\xde\xad\xbe\xef" * 20)

    with running_frames(script, script, echoes) as peer:
        transport = connect(peer.port)
        wait_until(lambda: call(engine, transport, b"x").outcome is Outcome.OK)
        assert peer.connections[2].bodies == [b"x"]
        assert len(peer.connections) == 3
