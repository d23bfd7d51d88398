"""A server's side of HTTP/2 in the tests' hands: frames to be received, and what was sent taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hpack import Decoder, Encoder

from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.http2 import Http2
from tfs_locust.transport.http2_exchange import Exchange, Request
from tfs_locust.transport.http2_fields import Fields, encode_field

SETTINGS = h2.settings({})
OK = [(":status", "200"), ("content-type", "application/grpc")]
DONE = [("grpc-status", "0")]


class Frame(NamedTuple):
    """One that was sent."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


def frames(data: bytes) -> list[Frame]:
    """What was taken from a sender; the preface is not among them."""
    data = data.removeprefix(h2.CLIENT_PREFACE)
    found = []
    while data:
        length = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + length
        found.append(Frame(data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + length]))
        data = data[9 + length :]
    return found


def taken(http2: Http2) -> list[Frame]:
    """All that is to be written, as written."""
    out = b""
    while data := http2.sender.take():
        http2.sender.written()
        out += data
    return frames(out)


def fields_of(block: bytes) -> list[tuple[bytes, bytes]]:
    """A header block that needs no table."""
    return [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)]


def encoded(fields: Sequence[tuple[str, str]]) -> bytes:
    """A header block as of a server that keeps no table."""
    return b"".join(encode_field(name, value) for name, value in fields)


def headers(stream_id: int, fields: Sequence[tuple[str, str]] = OK, flags: int = h2.END_HEADERS) -> bytes:
    return h2.frame(h2.HEADERS, flags, stream_id, encoded(fields))


def data(stream_id: int, payload: bytes, flags: int = 0) -> bytes:
    return h2.frame(h2.DATA, flags, stream_id, payload)


def trailers(stream_id: int, fields: Sequence[tuple[str, str]] = DONE) -> bytes:
    return headers(stream_id, fields, h2.END_HEADERS | h2.END_STREAM)


def answer(stream_id: int, *parts: bytes) -> bytes:
    return headers(stream_id) + b"".join(data(stream_id, part) for part in parts) + trailers(stream_id)


def goaway(last_id: int, code: int = 0, text: str = "") -> bytes:
    payload = h2.UINT32.pack(last_id) + h2.UINT32.pack(code) + text.encode()
    return h2.frame(h2.GOAWAY, 0, 0, payload)


def padded(kind: int, flags: int, stream_id: int, payload: bytes, padding: int) -> bytes:
    return h2.frame(kind, flags | h2.PADDED, stream_id, bytes([padding]) + payload + bytes(padding))


class TableEncoder:
    """Header blocks as of a server that keeps a table, until it is told otherwise."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def encode(self, fields: Sequence[tuple[str, str]]) -> bytes:
        return self._encoder.encode(list(fields))

    def drop_table(self) -> None:
        self._encoder.header_table_size = 0


def as_fields(fields: Fields) -> Any:
    """What headers mean where a test wants to see all of them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


def connected(settings: dict[int, int] | None = None) -> Http2:
    """A connection whose opening is over."""
    http2 = Http2(as_fields)
    taken(http2)
    assert http2.receive(h2.settings(settings or {}), 0) == []
    taken(http2)
    return http2


def begun(http2: Http2, body: bytes = b"request", now_ns: int = 1) -> Exchange:
    """An exchange that was handed over."""
    exchange = Exchange(Request(encoded([(":path", "/p")]), body), None)
    http2.sender.send(exchange, now_ns)
    return exchange
