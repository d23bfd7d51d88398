"""gRPC over HTTP/2, without I/O: a request as frames, an answer as an outcome.

Source of the rules: the gRPC project's PROTOCOL-HTTP2, statuscodes and http-grpc-status-mapping documents.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.errors import closer_meaning
from tfs_locust.transport.http2_exchange import Exchange, Fate, Request
from tfs_locust.transport.http2_fields import Fields, encode_field
from tfs_locust.transport.http2_frames import ErrorCode

# status -> Outcome, before the text is looked at
OUTCOMES: dict[int, Outcome] = dict(
    enumerate(
        (
            Outcome.OK,
            Outcome.CANCELLED,
            Outcome.UNKNOWN,
            Outcome.INVALID_ARGUMENT,
            Outcome.DEADLINE_EXCEEDED,
            Outcome.NOT_FOUND,
            Outcome.ALREADY_EXISTS,
            Outcome.PERMISSION_DENIED,
            Outcome.RESOURCE_EXHAUSTED,
            Outcome.FAILED_PRECONDITION,
            Outcome.ABORTED,
            Outcome.OUT_OF_RANGE,
            Outcome.UNIMPLEMENTED,
            Outcome.INTERNAL,
            Outcome.UNAVAILABLE,
            Outcome.DATA_LOSS,
            Outcome.UNAUTHENTICATED,
        )
    )
)

# what an answer means that has no gRPC status, as of a proxy
_HTTP_OUTCOMES = {
    400: Outcome.INTERNAL,
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.PERMISSION_DENIED,
    404: Outcome.UNIMPLEMENTED,
    429: Outcome.UNAVAILABLE,
    502: Outcome.UNAVAILABLE,
    503: Outcome.UNAVAILABLE,
    504: Outcome.UNAVAILABLE,
}

# what RST_STREAM's code means; the others are INTERNAL
_RESET_OUTCOMES: dict[int, Outcome] = {
    ErrorCode.REFUSED_STREAM: Outcome.UNAVAILABLE,
    ErrorCode.CANCEL: Outcome.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Outcome.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Outcome.PERMISSION_DENIED,
}

_OK = Outcome.OK  # a member of an enumeration takes time to be looked up
_PREFIX = struct.Struct(">BI")  # of a message: whether it is compressed, its length
PREFIX_BYTES = _PREFIX.size


class Method:
    """A method with its message, ready to be sent with any timeout."""

    __slots__ = ("_after", "_before", "_message", "request", "timeout_s")

    def __init__(self, common: Common, path: str, body: bytes) -> None:
        self._before = common.pseudo + encode_field(":path", path)
        self._after = common.others
        self._message = _PREFIX.pack(0, len(body)) + body
        self.timeout_s = -1.0
        self.request: Request
        """For calls of ``timeout_s``, which is what was asked for last."""

    def timed(self, timeout_s: float) -> Request:
        """The request with this timeout, and the one to be used until another is asked for."""
        block = self._before + encode_field("grpc-timeout", timeout_value(timeout_s)) + self._after
        self.request = Request(block, self._message)
        self.timeout_s = timeout_s
        return self.request


class Common(NamedTuple):
    """The fields that all requests to an endpoint share; pseudo-fields come first (RFC 9113 section 8.3)."""

    pseudo: bytes
    others: bytes


def common_fields(authority: str, secure: bool, metadata: Iterable[tuple[str, str]]) -> Common:
    """``metadata`` is sent with every request, in its order, names in lower case."""
    pseudo = ((":method", "POST"), (":scheme", "https" if secure else "http"), (":authority", authority))
    others = (
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "tfs-locust"),
        ("grpc-accept-encoding", "identity"),
        *((name.lower(), value) for name, value in metadata),
    )
    return Common(*(b"".join(encode_field(name, value) for name, value in fields) for fields in (pseudo, others)))


def timeout_value(seconds: float) -> str:
    """At most eight digits and a unit. Rounded up: a server is not to give up before its client does."""
    for unit, per_second in (("u", 1e6), ("m", 1e3), ("S", 1.0)):
        value = max(1, math.ceil(seconds * per_second))
        if value < 10**8:
            return f"{value}{unit}"
    return "99999999S"


class Meaning(NamedTuple):
    """What the headers or the trailers of an answer say."""

    outcome: Outcome | None
    """None where they leave it open, as headers do that are followed by a message."""
    detail: str


def meaning(fields: Fields) -> Meaning:
    """A gRPC status, else what an answer's HTTP status stands for."""
    found = dict(reversed(fields))  # of a name given twice, the first
    if (status := found.get(b"grpc-status")) is not None:
        detail = unquote_to_bytes(found.get(b"grpc-message", b"")).decode("utf-8", "replace")
        code = int(status) if status.isdigit() and len(status) < 3 else -1
        outcome = OUTCOMES.get(code, Outcome.UNKNOWN)
        return Meaning(closer_meaning(outcome, detail), detail if outcome is not Outcome.OK else "")
    http_status = found.get(b":status", b"200").decode()
    content_type = found.get(b"content-type", b"application/grpc")
    if http_status != "200":
        outcome = _HTTP_OUTCOMES.get(int(http_status) if http_status.isdigit() else 0, Outcome.UNKNOWN)
        return Meaning(outcome, f"Received http2 header with status: {http_status}")
    if not content_type.startswith(b"application/grpc"):
        return Meaning(Outcome.UNKNOWN, f"not a gRPC answer: its content-type is {content_type.decode('latin-1')}")
    return Meaning(None, "")


def answer(exchange: Exchange) -> tuple[Outcome, bytes, str]:
    """How an exchange ended: outcome, message, words of a failure."""
    trailers: Meaning | None = exchange.trailers
    if exchange.fate is None and trailers is not None and trailers.outcome is _OK:
        parts = exchange.parts
        if parts is None:
            return Outcome.INTERNAL, b"", "No message returned for unary request"
        first = parts[0]
        if len(parts) == 1 and len(first) >= PREFIX_BYTES:
            compressed, length = _PREFIX.unpack_from(first)
            if not compressed and length == len(first) - PREFIX_BYTES:
                return _OK, first[PREFIX_BYTES:], ""
        return _message(b"".join(parts))
    if exchange.fate is not None:
        if exchange.fate is Fate.LOST:
            return Outcome.CONNECTION_LOST, b"", exchange.text
        outcome = _RESET_OUTCOMES.get(exchange.code, Outcome.INTERNAL)
        return closer_meaning(outcome, exchange.text), b"", exchange.text
    for said in (trailers, exchange.headers):
        if said is not None and said.outcome is not None:
            return said.outcome, b"", said.detail
    return Outcome.UNKNOWN, b"", "the answer ended without a grpc-status"


def _message(data: bytes) -> tuple[Outcome, bytes, str]:
    """The one message of a successful answer, from all of its body."""
    if not data:
        return Outcome.INTERNAL, b"", "No message returned for unary request"
    if len(data) < PREFIX_BYTES:
        return Outcome.INTERNAL, b"", "the message is incomplete"
    compressed, length = _PREFIX.unpack_from(data)
    if compressed:
        return Outcome.INTERNAL, b"", "the message is compressed, which it was asked not to be"
    if len(data) < PREFIX_BYTES + length:
        return Outcome.INTERNAL, b"", f"the message is incomplete: {len(data) - PREFIX_BYTES} of {length} bytes"
    if len(data) > PREFIX_BYTES + length:
        return Outcome.INTERNAL, b"", "more than one message returned for unary request"
    return Outcome.OK, data[PREFIX_BYTES:], ""
