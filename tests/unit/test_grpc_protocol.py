"""A call as HTTP/2 fields and an answer as an outcome, by gRPC's own tables."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.http2_peer import fields_of
from tfs_locust.measure.sample import Outcome
from tfs_locust.transport import grpc_library, grpc_protocol
from tfs_locust.transport.grpc_protocol import Meaning, Method, answer, common_fields, meaning, timeout_value
from tfs_locust.transport.http2_exchange import Exchange, Fate


def _exchange(*parts: bytes, headers: Meaning | None = None, trailers: Meaning | None = None) -> Exchange:
    exchange = Exchange(Method(common_fields("h:1", False, ()), "/p", b"").timed(1.0), None)
    exchange.parts = list(parts) or None
    exchange.headers, exchange.trailers = headers, trailers
    return exchange


_OPEN = Meaning(None, "")
_OK = Meaning(Outcome.OK, "")


def test_request() -> None:
    """Pseudo-fields first, then gRPC's own, then the user's in their order; the message behind its length."""
    metadata = [("X-One", "1"), ("x-many", "a"), ("x-many", "b")]
    method = Method(common_fields("host:8500", True, metadata), "/package.Service/Method", b"message")
    request = method.timed(2.5)
    assert fields_of(request.block) == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"host:8500"),
        (b":path", b"/package.Service/Method"),
        (b"grpc-timeout", b"2500000u"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"tfs-locust"),
        (b"grpc-accept-encoding", b"identity"),
        (b"x-one", b"1"),
        (b"x-many", b"a"),
        (b"x-many", b"b"),
    ]
    assert request.body == b"\0\0\0\0\x07message"
    assert (method.request, method.timeout_s) == (request, 2.5)
    assert method.timed(1.0).body is request.body


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (0.0, "1u"),
        (-1.0, "1u"),
        (0.3, "300000u"),
        (1e-9, "1u"),
        (10.0, "10000000u"),
        (99.999999, "99999999u"),
        (100.0, "100000m"),
        (100.0001, "100001m"),
        (86_400.0 * 365, "31536000S"),
        (1e12, "99999999S"),
    ],
)
def test_timeouts(seconds: float, value: str) -> None:
    """Eight digits at most, and never less than was asked for."""
    assert timeout_value(seconds) == value


def test_codes_are_those_of_the_library() -> None:
    """Both gRPC transports have one table."""
    assert {code.value[0]: outcome for code, outcome in grpc_library.OUTCOMES.items()} == grpc_protocol.OUTCOMES


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(b"grpc-status", b"0")], (Outcome.OK, "")),
        ([(b"grpc-status", b"0"), (b"grpc-message", b"fine")], (Outcome.OK, "")),
        ([(b"grpc-status", b"5"), (b"grpc-message", b"not here")], (Outcome.NOT_FOUND, "not here")),
        ([(b":status", b"500"), (b"grpc-status", b"5")], (Outcome.NOT_FOUND, "")),
        ([(b"grpc-status", b"8")], (Outcome.SERVER_THREADS_EXHAUSTED, "")),
        ([(b"grpc-status", b"17"), (b"grpc-message", b"x")], (Outcome.UNKNOWN, "x")),
        ([(b"grpc-status", b"-1")], (Outcome.UNKNOWN, "")),
        ([(b"grpc-status", b"")], (Outcome.UNKNOWN, "")),
        (
            [(b"grpc-status", b"3"), (b"grpc-message", b"gr%C3%B6%C3%9Fer%0A%25")],
            (Outcome.INVALID_ARGUMENT, "größer\n%"),
        ),
        ([(b"grpc-status", b"3"), (b"grpc-message", b"100% %zz %")], (Outcome.INVALID_ARGUMENT, "100% %zz %")),
        ([(b"grpc-status", b"3"), (b"grpc-message", b"%ff")], (Outcome.INVALID_ARGUMENT, "\ufffd")),
        ([(b":status", b"200"), (b"content-type", b"application/grpc+proto")], (None, "")),
        ([(b":status", b"200")], (None, "")),
        ([], (None, "")),
        (
            [(b":status", b"200"), (b"content-type", b"text/html")],
            (Outcome.UNKNOWN, "not a gRPC answer: its content-type is text/html"),
        ),
    ],
)
def test_meaning(fields: list[tuple[bytes, bytes]], expected: tuple[Outcome | None, str]) -> None:
    """A status, its words with their escapes undone, malformed ones kept; or what HTTP says in its stead."""
    assert meaning(fields) == expected


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Outcome.INTERNAL),
        (401, Outcome.UNAUTHENTICATED),
        (403, Outcome.PERMISSION_DENIED),
        (404, Outcome.UNIMPLEMENTED),
        (429, Outcome.UNAVAILABLE),
        (502, Outcome.UNAVAILABLE),
        (503, Outcome.UNAVAILABLE),
        (504, Outcome.UNAVAILABLE),
        (500, Outcome.UNKNOWN),
        (204, Outcome.UNKNOWN),
        (302, Outcome.UNKNOWN),
    ],
)
def test_http_status(status: int, outcome: Outcome) -> None:
    """Of an answer that is not gRPC's, as the project's mapping has it."""
    assert meaning([(b":status", str(status).encode()), (b"content-type", b"text/html")]) == (
        outcome,
        f"Received http2 header with status: {status}",
    )


@settings(deadline=None)
@given(st.binary(max_size=100), st.lists(st.integers(0, 105)))
def test_message_in_pieces(message: bytes, cuts: list[int]) -> None:
    """It is put together, however it was cut."""
    data = b"\0" + len(message).to_bytes(4, "big") + message
    places = sorted(cuts)
    parts = [data[begin:to] for begin, to in zip([0, *places], [*places, None], strict=True)]
    assert answer(_exchange(*parts, headers=_OPEN, trailers=_OK)) == (Outcome.OK, message, "")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], "No message"),
        ([b""], "No message"),
        ([b"\0\0\0"], "incomplete"),
        ([b"\0\0\0\0\5abcd"], "incomplete: 4 of 5"),
        ([b"\0\0\0\0\0\0\0\0\0\0"], "more than one"),
        ([b"\1\0\0\0\1x"], "compressed"),
    ],
)
def test_not_one_message(parts: list[bytes], words: str) -> None:
    """A success with anything but one message is the server's mistake."""
    outcome, body, detail = answer(_exchange(*parts, headers=_OPEN, trailers=_OK))
    assert (outcome, body) == (Outcome.INTERNAL, b"")
    assert words in detail


def test_failures() -> None:
    """The trailers' status is the call's, whatever came before; without one the headers tell."""
    page = Meaning(Outcome.UNAVAILABLE, "Received http2 header with status: 503")
    failed = Meaning(Outcome.NOT_FOUND, "gone")
    message = b"\0\0\0\0\1x"
    assert answer(_exchange(message, headers=_OPEN, trailers=failed)) == (Outcome.NOT_FOUND, b"", "gone")
    assert answer(_exchange(b"<html>", headers=page)) == (Outcome.UNAVAILABLE, b"", page.detail)
    assert answer(_exchange(b"<html>", headers=page, trailers=_OPEN)) == (Outcome.UNAVAILABLE, b"", page.detail)
    assert answer(_exchange(message, headers=_OPEN))[0] is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("fate", "code", "outcome"),
    [
        (Fate.LOST, 0, Outcome.CONNECTION_LOST),
        *((Fate.RESET, code, Outcome.INTERNAL) for code in (0, 1, 2, 3, 4, 5, 6, 9, 10, 13, 99)),
        (Fate.UNTAKEN, 7, Outcome.UNAVAILABLE),
        (Fate.RESET, 8, Outcome.CANCELLED),
        (Fate.RESET, 11, Outcome.RESOURCE_EXHAUSTED),
        (Fate.RESET, 12, Outcome.PERMISSION_DENIED),
        (Fate.BROKEN, 1, Outcome.INTERNAL),
        (Fate.BROKEN, 11, Outcome.RESOURCE_EXHAUSTED),
    ],
)
def test_fates(fate: Fate, code: int, outcome: Outcome) -> None:
    """What ended without an answer, by the code that ended it; what had come of an answer does not matter."""
    exchange = _exchange(b"\0\0\0\0\1x", headers=_OPEN, trailers=None)
    exchange.ended(fate, "why", code)
    assert answer(exchange) == (outcome, b"", "why")
