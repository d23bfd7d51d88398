"""What single frames of a server do to a call: faults that no real server makes when it is asked to.

Rules are those of RFC 9113 and of gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md, http-grpc-status-mapping.md).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import NamedTuple

from tests.wire.conftest import Connect
from tests.wire.engines import Engine, call, where_it_applies
from tests.wire.frames import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADERS,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    TAIL,
    WINDOW_UPDATE,
    Connection,
    Script,
    block,
    frame,
    message,
    running_frames,
    settings,
)
from tfs_locust.measure.sample import Outcome


def _sends(*parts: bytes | Callable[[int, bytes], bytes], one_by_one: bool = False) -> Script:
    """A script that answers its first request by ``parts``, each bytes or made from stream and body, then is good."""

    def script(connection: Connection) -> None:
        connection.greet()
        stream, body = connection.request()
        data = b"".join(part if isinstance(part, bytes) else part(stream, body) for part in parts)
        pieces = [data[at : at + 1] for at in range(len(data))] if one_by_one else [data]
        for piece in pieces:
            connection.send(piece)
        connection.echo()

    return script


def _on(kind: int, flags: int = 0, payload: bytes = b"") -> Callable[[int, bytes], bytes]:
    return lambda stream, _: frame(kind, flags, stream, payload)


def _data(flags: int = 0, payload: bytes | None = None) -> Callable[[int, bytes], bytes]:
    return lambda stream, body: frame(DATA, flags, stream, message(body) if payload is None else payload)


_HEAD, _DATA, _TAIL = _on(HEADERS, END_HEADERS, HEAD), _data(), _on(HEADERS, END_HEADERS | END_STREAM, TAIL)
_LONG_FIELDS = block(*((f"x-{number}", "v" * 500) for number in range(20)))


def _padded(kind: int, flags: int, payload: bytes, size: int) -> Callable[[int, bytes], bytes]:
    return _on(kind, flags | PADDED, bytes((size,)) + payload + bytes(size))


def _cut(*places: int) -> Callable[[int, bytes], bytes]:
    """A header block in several pieces."""
    whole = HEAD + _LONG_FIELDS

    def frames(stream: int, _: bytes) -> bytes:
        pieces = [whole[begin:end] for begin, end in itertools.pairwise((0, *places, len(whole)))]
        return b"".join(
            frame(CONTINUATION if at else HEADERS, END_HEADERS if at == len(places) else 0, stream, piece)
            for at, piece in enumerate(pieces)
        )

    return frames


_GOOD: dict[str, Script] = {
    "byte by byte": _sends(_HEAD, _DATA, _TAIL, one_by_one=True),
    "message over several frames": _sends(
        _HEAD,
        lambda stream, body: b"".join(frame(DATA, 0, stream, bytes((byte,))) for byte in message(body)),
        _TAIL,
    ),
    "empty DATA": _sends(_HEAD, _data(payload=b""), _DATA, _data(payload=b""), _TAIL),
    "padding": _sends(
        _padded(HEADERS, END_HEADERS, HEAD, 7),
        lambda stream, body: frame(DATA, PADDED, stream, bytes((255,)) + message(body) + bytes(255)),
        _padded(DATA, 0, b"", 0),
        _padded(HEADERS, END_HEADERS | END_STREAM, TAIL, 0),
    ),
    "priority within HEADERS": _sends(_on(HEADERS, END_HEADERS | 0x20, bytes(5) + HEAD), _DATA, _TAIL),
    "CONTINUATION": _sends(_cut(1, 2, 5000), _DATA, _TAIL),
    "empty CONTINUATION": _sends(_cut(100, 100), _DATA, _TAIL),
    "empty HEADERS before CONTINUATION": _sends(_cut(0), _DATA, _TAIL),
    "long header fields": _sends(_on(HEADERS, END_HEADERS, HEAD + _LONG_FIELDS), _DATA, _TAIL),
    "interim answer": _sends(_on(HEADERS, END_HEADERS, block((":status", "103"))), _HEAD, _DATA, _TAIL),
    "static table": _sends(_on(HEADERS, END_HEADERS, b"\x88\x0f\x10" + b"\x10application/grpc"), _DATA, _TAIL),
    "table size update": _sends(_on(HEADERS, END_HEADERS, b"\x20" + HEAD), _DATA, _TAIL),
    "unknown frame types": _sends(frame(0xB, 3, 0, b"x" * 100), _HEAD, _on(0xEE, 255, b"y"), _DATA, _TAIL),
    "PRIORITY": _sends(_on(PRIORITY, 0, bytes(5)), _HEAD, _DATA, _TAIL),
    "unknown settings": _sends(settings({0x99: 5}), _HEAD, _DATA, _TAIL),
    "PING within an answer": _sends(_HEAD, frame(PING, 0, 0, b"12345678"), _DATA, frame(PING, 0, 0, bytes(8)), _TAIL),
    "SETTINGS within an answer": _sends(_HEAD, settings({MAX_FRAME_SIZE: 1 << 20}), _DATA, settings({}), _TAIL),
    "windows opened wide": _sends(frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 2**30)), _HEAD, _DATA, _TAIL),
    "reset without error after the trailers": _sends(_HEAD, _DATA, _TAIL, _on(RST_STREAM, 0, bytes(4))),
    "frames of a stream that has ended": _sends(
        _HEAD, _DATA, _TAIL, _on(WINDOW_UPDATE, 0, struct.pack("!I", 5)), _on(RST_STREAM, 0, struct.pack("!I", CANCEL))
    ),
}


_GOOD_ONLY_WIRE = {
    "interim answer": "grpcio takes it for the answer",
    "padding": "grpcio reads it as part of the header block",
}


@where_it_applies("grpc", _GOOD, _GOOD_ONLY_WIRE)
def test_answers_in_every_form(case: str, engine: Engine, connect: Connect) -> None:
    """However the frames of an answer are cut, padded and mixed with others, it is found; and so is the next."""
    with running_frames(_GOOD[case]) as peer:
        transport = connect(peer.port)
        for body in (b"first", b"second"):
            assert call(engine, transport, body)[2:] == (Outcome.OK, body, "")
        assert len(peer.connections) == 1


def _status(number: int, text: str | None = None, *more: tuple[str, str]) -> bytes:
    fields = (("grpc-status", str(number)),) + ((("grpc-message", text),) if text is not None else ())
    return block(*fields, *more)


def _trailers_only(fields: bytes) -> Script:
    return _sends(_on(HEADERS, END_HEADERS | END_STREAM, HEAD + fields))


def _reset(code: int) -> Script:
    return _sends(_on(RST_STREAM, 0, struct.pack("!I", code)))


def _http(status: int) -> Script:
    head = block((":status", str(status)), ("content-type", "text/html"))
    return _sends(_on(HEADERS, END_HEADERS, head), _on(DATA, END_STREAM, b"<html>nope</html>"))


class _Bad(NamedTuple):
    script: Script
    outcome: Outcome | set[Outcome]
    detail: str | None = None
    """Where the server gave one."""


_BAD: dict[str, _Bad] = {
    # the server's own words
    "trailers only": _Bad(_trailers_only(_status(5, "nobody")), Outcome.NOT_FOUND, "nobody"),
    "trailers only, two frames": _Bad(
        _sends(_HEAD, _on(HEADERS, END_HEADERS | END_STREAM, _status(5, "nobody"))), Outcome.NOT_FOUND, "nobody"
    ),
    "failure after a message": _Bad(
        _sends(_HEAD, _DATA, _on(HEADERS, END_HEADERS | END_STREAM, _status(13, "late"))), Outcome.INTERNAL, "late"
    ),
    "no words": _Bad(_trailers_only(_status(5)), Outcome.NOT_FOUND),
    "percent": _Bad(_trailers_only(_status(5, "100%25 %E2%98%83 %0A%22")), Outcome.NOT_FOUND, '100% ☃ \n"'),
    "percent that encodes nothing": _Bad(_trailers_only(_status(5, "50% %zz %4")), Outcome.NOT_FOUND, "50% %zz %4"),
    "long words": _Bad(
        _trailers_only(_status(5, "%C3%A4" * 1500 + "x" * 3000)), Outcome.NOT_FOUND, "ä" * 1500 + "x" * 3000
    ),
    "a status that nobody knows": _Bad(_trailers_only(_status(99, "what")), Outcome.UNKNOWN, "what"),
    # no answer, though the stream ends well
    "OK without a message": _Bad(_sends(_HEAD, _TAIL), {Outcome.INTERNAL, Outcome.UNIMPLEMENTED}),
    "OK in trailers only": _Bad(_trailers_only(TAIL), {Outcome.INTERNAL, Outcome.UNIMPLEMENTED}),
    "two messages": _Bad(_sends(_HEAD, _DATA, _DATA, _TAIL), {Outcome.INTERNAL, Outcome.UNIMPLEMENTED}),
    "part of a message": _Bad(
        _sends(_HEAD, _data(payload=message(b"whole")[:-1]), _TAIL), {Outcome.INTERNAL, Outcome.UNIMPLEMENTED}
    ),
    "compressed": _Bad(_sends(_HEAD, _data(payload=message(b"x", compressed=True)), _TAIL), Outcome.INTERNAL),
    "no trailers": _Bad(_sends(_HEAD, _data(END_STREAM)), {Outcome.UNKNOWN, Outcome.INTERNAL}),
    "trailers without a status": _Bad(
        _sends(_HEAD, _DATA, _on(HEADERS, END_HEADERS | END_STREAM, block(("x", "y")))), {Outcome.UNKNOWN}
    ),
    "no head": _Bad(_sends(_DATA, _TAIL), {Outcome.INTERNAL, Outcome.UNKNOWN, Outcome.CONNECTION_LOST}),
    # other than gRPC
    **{
        f"HTTP {status}": _Bad(_http(status), outcome)
        for status, outcome in {
            400: Outcome.INTERNAL,
            401: Outcome.UNAUTHENTICATED,
            403: Outcome.PERMISSION_DENIED,
            404: Outcome.UNIMPLEMENTED,
            413: Outcome.UNKNOWN,
            429: Outcome.UNAVAILABLE,
            500: Outcome.UNKNOWN,
            502: Outcome.UNAVAILABLE,
            503: Outcome.UNAVAILABLE,
            504: Outcome.UNAVAILABLE,
        }.items()
    },
    # RST_STREAM
    **{
        f"RST_STREAM {code:#x}": _Bad(_reset(code), outcome)
        for code, outcome in {
            0x0: {Outcome.INTERNAL, Outcome.UNKNOWN},
            0x1: Outcome.INTERNAL,
            0x2: Outcome.INTERNAL,
            0x3: Outcome.INTERNAL,
            0x4: Outcome.INTERNAL,
            0x6: Outcome.INTERNAL,
            0x8: Outcome.CANCELLED,
            0x9: Outcome.INTERNAL,
            0xA: Outcome.INTERNAL,
            0xB: Outcome.RESOURCE_EXHAUSTED,
            0xC: Outcome.PERMISSION_DENIED,
            0xFFFF: {Outcome.INTERNAL, Outcome.UNKNOWN},
        }.items()
    },
    "reset within an answer": _Bad(_sends(_HEAD, _DATA, _on(RST_STREAM, 0, struct.pack("!I", 2))), Outcome.INTERNAL),
}


_BAD_ONLY_WIRE = {
    "no head": "grpcio does without",
    "two messages": "grpcio waits for its deadline",
}


@where_it_applies("grpc", _BAD, _BAD_ONLY_WIRE)
def test_failures(case: str, engine: Engine, connect: Connect) -> None:
    """A stream that ends otherwise than well fails its call, with the server's words where it has some; no other."""
    script, expected, detail = _BAD[case]
    with running_frames(script) as peer:
        transport = connect(peer.port)
        reply = call(engine, transport, b"first")
        assert reply.outcome in (expected if isinstance(expected, set) else {expected}), reply
        assert reply.body == b""
        if detail is not None:
            assert reply.detail == detail
        assert call(engine, transport, b"second")[2:] == (Outcome.OK, b"second", "")
