"""What a peer may send is understood, however it frames it; what it must not send ends the connection or the stream."""

from __future__ import annotations

import pytest

from tests.unit.http2_peer import (
    DONE,
    OK,
    TableEncoder,
    answer,
    as_fields,
    begun,
    connected,
    data,
    encoded,
    frames,
    goaway,
    headers,
    padded,
    taken,
    trailers,
)
from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.http2 import Http2
from tfs_locust.transport.http2_exchange import Exchange, Fate
from tfs_locust.transport.http2_frames import ErrorCode

_BOTH = h2.END_HEADERS | h2.END_STREAM


def _received(http2: Http2, *parts: bytes) -> list[Exchange]:
    return [exchange for part in parts for exchange in http2.receive(part, 2)]


def _error(http2: Http2) -> int:
    """The code of the GOAWAY with which the connection was ended."""
    assert http2.closed
    last = taken(http2)[-1]
    assert last.kind == h2.GOAWAY
    return int.from_bytes(last.payload[4:8], "big")


def test_opening() -> None:
    """Preface, our settings (no table, no push, the largest window), the connection's window: in this order, first."""
    http2 = Http2(as_fields)
    out = http2.sender.take()
    assert out.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    settings, window = frames(out)
    assert (settings.kind, dict(h2.read_settings(settings.payload))) == (
        h2.SETTINGS,
        {1: 0, 2: 0, 4: 2**31 - 1, 6: 65536},
    )
    assert window == (h2.WINDOW_UPDATE, 0, 0, (2**31 - 1 - 65535).to_bytes(4, "big"))
    assert not http2.settled
    http2.receive(h2.settings({}), 0)
    assert http2.settled
    assert taken(http2) == [(h2.SETTINGS, h2.ACK, 0, b"")]


def test_exchange() -> None:
    """HEADERS and DATA go out, the last with END_STREAM; headers, body and trailers come back."""
    http2 = connected()
    exchange = begun(http2, b"request")
    assert taken(http2) == [
        (h2.HEADERS, h2.END_HEADERS, 1, encoded([(":path", "/p")])),
        (h2.DATA, h2.END_STREAM, 1, b"request"),
    ]
    assert exchange.sent_ns == 1
    assert _received(http2, answer(1, b"ans", b"wer")) == [exchange]
    assert (exchange.fate, exchange.headers, exchange.parts, exchange.trailers) == (None, OK, [b"ans", b"wer"], DONE)
    assert taken(http2) == []
    assert begun(http2).stream_id == 3


def test_trailers_only() -> None:
    """An answer may be its trailers alone."""
    http2 = connected()
    exchange = begun(http2)
    assert _received(http2, trailers(1, [*OK, *DONE])) == [exchange]
    assert (exchange.fate, exchange.parts, exchange.trailers) == (None, None, [*OK, *DONE])


def test_end_with_data() -> None:
    """An answer without trailers ends with its body."""
    http2 = connected()
    exchange = begun(http2)
    assert _received(http2, headers(1), data(1, b"x", h2.END_STREAM)) == [exchange]
    assert (exchange.fate, exchange.headers, exchange.parts, exchange.trailers) == (None, OK, [b"x"], None)


def test_many_at_once() -> None:
    """Answers come in any order and in turns."""
    http2 = connected()
    first, second = begun(http2), begun(http2)
    parts = headers(3), headers(1), data(1, b"a"), data(3, b"b"), trailers(3), data(1, b"c"), trailers(1)
    assert http2.receive(b"".join(parts), 2) == [second, first]
    assert (first.parts, second.parts) == ([b"a", b"c"], [b"b"])


def test_padding_and_priority() -> None:
    """Neither is part of what they come with."""
    http2 = connected()
    exchange = begun(http2)
    priority = b"\x00\x00\x00\x00\x10"
    parts = (
        padded(h2.HEADERS, h2.END_HEADERS | h2.HAS_PRIORITY, 1, priority + encoded(OK), 9),
        h2.frame(h2.PRIORITY, 0, 1, priority),
        padded(h2.DATA, 0, 1, b"abc", 255),
        padded(h2.DATA, 0, 1, b"", 0),
        padded(h2.HEADERS, _BOTH, 1, encoded(DONE), 0),
    )
    assert _received(http2, *parts) == [exchange]
    assert (exchange.headers, exchange.parts, exchange.trailers) == (OK, [b"abc"], DONE)


def test_continuation() -> None:
    """A header block may come in any number of frames, headers and trailers alike."""
    http2 = connected()
    exchange = begun(http2)
    block, last = encoded(OK), encoded(DONE)
    parts = (
        h2.frame(h2.HEADERS, 0, 1, block[:3]),
        *(h2.frame(h2.CONTINUATION, 0, 1, block[at : at + 1]) for at in range(3, len(block))),
        h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1),
        data(1, b"x"),
        h2.frame(h2.HEADERS, h2.END_STREAM, 1),
        h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, last),
    )
    assert _received(http2, b"".join(parts)) == [exchange]
    assert (exchange.headers, exchange.parts, exchange.trailers) == (OK, [b"x"], DONE)


def test_informational_answers() -> None:
    """1xx come before the answer and are none."""
    http2 = connected()
    exchange = begun(http2)
    parts = headers(1, [(":status", "100")]), headers(1, [(":status", "103"), ("link", "x")]), answer(1, b"x")
    assert _received(http2, *parts) == [exchange]
    assert (exchange.fate, exchange.headers) == (None, OK)


def test_unknown_frames_and_settings() -> None:
    """What a later version of the protocol adds is ignored; the reserved bit of stream ids too."""
    http2 = connected({0x99: 7, 8: 1})
    exchange = begun(http2)
    reserved = b"".join(
        part[:5] + (1 << 31 | 1).to_bytes(4, "big") + part[9:] for part in (headers(1), data(1, b"x"), trailers(1))
    )
    assert _received(http2, h2.frame(0xFA, 0xFF, 1, b"?"), h2.frame(0xFB, 0, 0), reserved) == [exchange]
    assert (exchange.headers, exchange.parts, exchange.trailers) == (OK, [b"x"], DONE)


def test_ping() -> None:
    """Is answered with its own bytes; an answer to one is not."""
    http2 = connected()
    _received(http2, h2.frame(h2.PING, 0, 0, b"12345678"), h2.frame(h2.PING, h2.ACK, 0, b"87654321"))
    assert taken(http2) == [(h2.PING, h2.ACK, 0, b"12345678")]


@pytest.mark.parametrize("frame", [h2.frame(h2.PING, 0, 0, bytes(8)), h2.settings({})], ids=["ping", "settings"])
def test_floods(frame: bytes) -> None:
    """A peer that asks and asks, and reads no answers, is given up before they fill the memory."""
    http2 = connected()
    for _ in range(5):
        http2.receive(frame * 5000, 0)
        taken(http2)
    assert not http2.closed
    http2.receive(frame * 20_000, 0)
    assert _error(http2) == ErrorCode.ENHANCE_YOUR_CALM


def test_windows_are_renewed() -> None:
    """What was received is given back, in large pieces, padding included, and whoever it was for."""
    http2 = connected()
    begun(http2)
    taken(http2)
    http2.receive(headers(1), 0)
    frame = padded(h2.DATA, 0, 1, bytes(16_000), 200)
    for _ in range(4):
        http2.receive(frame, 0)
    http2._consumed += (1 << 30) - 4 * 16_201 - 1
    http2.receive(b"", 0)
    assert taken(http2) == []
    http2.receive(data(1, b"x"), 0)
    assert taken(http2) == [(h2.WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big"))]


@pytest.mark.parametrize(
    ("code", "fate"),
    [(0, Fate.RESET), (2, Fate.RESET), (7, Fate.UNTAKEN), (8, Fate.RESET), (11, Fate.RESET), (0xFFFF, Fate.RESET)],
)
def test_reset(code: int, fate: Fate) -> None:
    """Ends the exchange with the peer's code; REFUSED_STREAM says that the peer did not take it. Others go on."""
    http2 = connected()
    lost, other = begun(http2), begun(http2)
    assert _received(http2, headers(1), data(1, b"x"), h2.frame(h2.RST_STREAM, 0, 1, h2.UINT32.pack(code))) == [lost]
    assert (lost.fate, lost.code) == (fate, code)
    assert _received(http2, data(1, b"late"), trailers(1), answer(3, b"y")) == [other]
    assert (other.fate, other.parts) == (None, [b"y"])


def test_frames_of_ended_streams() -> None:
    """Are ignored, but not their headers: with a table, later ones refer to them."""
    http2, table = connected(), TableEncoder()
    given_up, kept = begun(http2), begun(http2)
    http2.cancel(given_up, 0)
    words = [(":status", "200"), ("x-first", "a value to be indexed")]
    late = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, table.encode(words))
    same = h2.frame(h2.HEADERS, h2.END_HEADERS, 3, table.encode(words))
    assert len(same) < len(late)
    assert _received(http2, late, data(1, b"x"), trailers(1), same, trailers(3)) == [kept]
    assert kept.headers == words


def test_table_that_is_given_up() -> None:
    """A peer may keep a table until it has seen our settings; from then on equal blocks are read once."""
    http2, table = connected(), TableEncoder()
    number = 0
    read = http2._reader.read
    for _ in range(3):
        for word in ("a", "b", "a"):
            exchange = begun(http2)
            number += 1
            block = table.encode([(":status", "200"), ("x-word", word), ("x-number", str(number))])
            http2.receive(h2.frame(h2.HEADERS, _BOTH, exchange.stream_id, block), 0)
            assert dict(exchange.trailers) == {":status": "200", "x-word": word, "x-number": str(number)}
    assert not http2._reader.keeps_no_table
    table.drop_table()
    for turn in range(3):
        exchange = begun(http2)
        block = table.encode([(":status", "200"), ("x-word", "c")])
        if turn == 2:
            assert http2._reader.known(block)
        http2.receive(h2.frame(h2.HEADERS, _BOTH, exchange.stream_id, block), 0)
        assert exchange.trailers == [(":status", "200"), ("x-word", "c")]
    assert read


def test_goaway() -> None:
    """What the peer did not take can be sent again, the rest is finished, and nothing new is begun."""
    http2 = connected({h2.MAX_CONCURRENT_STREAMS: 3})
    first, second, third, waits = (begun(http2) for _ in range(4))
    assert _received(http2, goaway(3, 0, "bye")) == [third, waits]
    assert (third.fate, waits.fate) == (Fate.UNTAKEN, Fate.UNTAKEN)
    assert not http2.sender.accepting
    assert not http2.finished
    assert _received(http2, answer(1, b"a"), answer(3, b"b")) == [first, second]
    assert (first.fate, second.fate) == (None, None)
    assert http2.finished


def test_goaway_in_two_steps() -> None:
    """The first announces the end (RFC 9113 section 6.8), the second says what was taken."""
    http2 = connected()
    first, second = begun(http2), begun(http2)
    assert _received(http2, goaway(2**31 - 1)) == []
    assert not http2.sender.accepting
    assert _received(http2, goaway(1)) == [second]
    assert _received(http2, answer(1, b"a")) == [first]


def test_goaway_before_the_end() -> None:
    """Its words are why the exchanges that it left were lost."""
    http2 = connected()
    exchange = begun(http2)
    taken(http2)
    assert _received(http2, goaway(1, 11, "too_many_pings")) == []
    assert http2.end("Socket closed") == [exchange]
    assert (exchange.fate, exchange.text) == (
        Fate.LOST,
        "GOAWAY received; error code 11 (ENHANCE_YOUR_CALM): too_many_pings",
    )


def test_end() -> None:
    """What was written may have been taken; what was not even written cannot have been."""
    http2 = connected()
    written = begun(http2)
    taken(http2)
    unwritten = begun(http2)
    http2.sender.take()
    assert http2.end("Socket closed") == [written, unwritten]
    assert (written.fate, unwritten.fate, written.text) == (Fate.LOST, Fate.UNTAKEN, "Socket closed")
    assert http2.finished
    assert http2.end("again") == http2.receive(answer(1), 0) == []


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([data(1, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([headers(1, [("content-type", "x")])], ErrorCode.PROTOCOL_ERROR),
        ([headers(1, [(":status", "2000")])], ErrorCode.PROTOCOL_ERROR),
        ([headers(1, [(":status", "xyz")])], ErrorCode.PROTOCOL_ERROR),
        ([headers(1, [("a", "b"), (":status", "200")])], ErrorCode.PROTOCOL_ERROR),
        ([headers(1, [(":status", "200"), (":path", "/")])], ErrorCode.PROTOCOL_ERROR),
        ([headers(1), headers(1)], ErrorCode.PROTOCOL_ERROR),
        ([headers(1), headers(1, DONE)], ErrorCode.PROTOCOL_ERROR),
        ([headers(1), trailers(1, [(":status", "200"), *DONE])], ErrorCode.PROTOCOL_ERROR),
        ([trailers(1, [(":status", "100")])], ErrorCode.PROTOCOL_ERROR),
        ([h2.window_update(1, 0)], ErrorCode.FLOW_CONTROL_ERROR),
    ],
)
def test_broken_answers(parts: list[bytes], code: ErrorCode) -> None:
    """End their own stream alone."""
    http2 = connected()
    broken, other = begun(http2), begun(http2)
    taken(http2)
    assert _received(http2, *parts) == [broken]
    assert (broken.fate, broken.code) == (Fate.BROKEN, code)
    assert taken(http2) == [(h2.RST_STREAM, 0, 1, h2.UINT32.pack(code))]
    assert _received(http2, trailers(1), answer(3, b"y")) == [other]


def test_oversized_headers() -> None:
    """End their stream where no table is kept, so that the next can be read; else the connection."""
    many = [(":status", "200"), *((f"x-{i}", "") for i in range(3000))]
    block = encoded(many)
    cut = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    block_frames = (
        h2.frame(h2.HEADERS, 0, 1, cut[0]),
        *(h2.frame(h2.CONTINUATION, 0, 1, part) for part in cut[1:]),
        h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1),
    )
    http2 = connected()
    other, broken = begun(http2), begun(http2)
    drops_table = h2.frame(h2.HEADERS, h2.END_HEADERS, 3, b"\x20" + encoded(OK))
    broken, other = other, broken
    assert _received(http2, drops_table, *block_frames) == [broken]
    assert (broken.fate, broken.code) == (Fate.BROKEN, ErrorCode.ENHANCE_YOUR_CALM)
    assert _received(http2, trailers(3)) == [other]
    http2 = connected()
    begun(http2)
    assert len(_received(http2, *block_frames)) == 1
    assert _error(http2) == ErrorCode.ENHANCE_YOUR_CALM


_PUSH = h2.frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, h2.UINT32.pack(2) + encoded(OK))


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([h2.frame(h2.DATA, 0, 1, bytes(16_385))], ErrorCode.FRAME_SIZE_ERROR),
        ([b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.frame(h2.PING, 0, 0, b"1234567")], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.frame(h2.PING, 0, 1, b"12345678")], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.SETTINGS, 0, 0, b"12345")], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.frame(h2.SETTINGS, h2.ACK, 0, b"123456")], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.frame(h2.SETTINGS, 0, 1)], ErrorCode.PROTOCOL_ERROR),
        ([h2.settings({h2.INITIAL_WINDOW_SIZE: 1 << 31})], ErrorCode.FLOW_CONTROL_ERROR),
        ([h2.settings({h2.MAX_FRAME_SIZE: 16_383})], ErrorCode.PROTOCOL_ERROR),
        ([h2.settings({h2.MAX_FRAME_SIZE: 1 << 24})], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.RST_STREAM, 0, 1, b"123")], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.frame(h2.RST_STREAM, 0, 0, b"1234")], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.RST_STREAM, 0, 5, b"1234")], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.WINDOW_UPDATE, 0, 0, b"123")], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.window_update(0, 0)], ErrorCode.FLOW_CONTROL_ERROR),
        ([h2.window_update(0, 2**31 - 1)], ErrorCode.FLOW_CONTROL_ERROR),
        ([h2.window_update(5, 1)], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.GOAWAY, 0, 0, b"1234567")], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.frame(h2.GOAWAY, 0, 1, bytes(8))], ErrorCode.PROTOCOL_ERROR),
        ([headers(0)], ErrorCode.PROTOCOL_ERROR),
        ([headers(2)], ErrorCode.PROTOCOL_ERROR),
        ([headers(5)], ErrorCode.PROTOCOL_ERROR),
        ([data(5, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([_PUSH], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1)], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, 0, 1), data(1, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, 0, 1), h2.frame(h2.CONTINUATION, 4, 3)], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, 0, 1), *[h2.frame(h2.CONTINUATION, 0, 1)] * 1001], ErrorCode.ENHANCE_YOUR_CALM),
        (
            [h2.frame(h2.HEADERS, 0, 1), *[h2.frame(h2.CONTINUATION, 0, 1, bytes(16_384))] * 5],
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
        ([h2.frame(h2.DATA, h2.PADDED, 1)], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.DATA, h2.PADDED, 1, b"\x02x")], ErrorCode.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, h2.END_HEADERS | h2.HAS_PRIORITY, 1, b"1234")], ErrorCode.FRAME_SIZE_ERROR),
        ([h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff\xff\xff")], ErrorCode.COMPRESSION_ERROR),
        ([h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xbe")], ErrorCode.COMPRESSION_ERROR),
    ],
)
def test_broken_connections(parts: list[bytes], code: ErrorCode) -> None:
    """End all of their exchanges, and tell the peer why."""
    http2 = connected()
    exchange = begun(http2)
    taken(http2)
    assert _received(http2, *parts) == [exchange]
    assert exchange.fate is Fate.LOST
    assert exchange.text
    assert _error(http2) == code


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "HTTP/1, not HTTP/2: HTTP/1.1 400 Bad Request"),
        (b"HTTP/1.0", "HTTP/1, not HTTP/2: HTTP/1.0"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS"),
        (b"SSH-2.0-OpenSSH", "does not speak HTTP/2: it began with b'SSH-2.0"),
        (h2.frame(h2.PING, 0, 0, bytes(8)), "does not speak HTTP/2"),
        (h2.frame(h2.SETTINGS, h2.ACK, 0), "does not speak HTTP/2"),
        (b"", "Socket closed"),
    ],
)
def test_other_protocols(first: bytes, words: str) -> None:
    """A peer that speaks something else is told by what it says first, as far as it gets."""
    for step in (1, 100):
        http2 = Http2(as_fields)
        for at in range(0, len(first), step):
            http2.receive(first[at : at + step], 0)
        http2.end("Socket closed")
        assert words in http2.why
        assert not http2.settled
