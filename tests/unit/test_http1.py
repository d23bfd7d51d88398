"""Answers in HTTP/1.1: whatever their framing and however they are cut, and whatever comes instead."""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tfs_locust.transport.http1 import (
    CHUNKED,
    LONGEST_BODY,
    LONGEST_CHUNK_LINE,
    LONGEST_HEAD,
    UNTIL_CLOSE,
    Answer,
    AnswerParser,
    AnswerTooLarge,
    BadAnswer,
    Head,
    decoded,
    parse_head,
    whole_answer,
)

_unhurried = settings(deadline=None)  # how long an example takes on a busy machine says nothing


def head(text: str) -> Head:
    """Of a status line and fields in lines of their own."""
    return parse_head(text.strip().replace("\n", "\r\n").encode("latin-1"))


def parsed(pieces: list[bytes], ends: bool = False) -> Answer | None:
    """What a parser makes of pieces, and of the end after them."""
    parser = AnswerParser()
    for piece in pieces:
        if answer := parser.feed(piece):
            return answer
    return parser.end() if ends else None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` in pieces."""
    places = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:stop] for start, stop in pairwise(places)]


@dataclass
class Stream:
    """Bytes, and the answer that they are."""

    data: bytes
    answer: Answer
    ends: bool = False


_FIELDS = ["Server: nginx\r\n", "DATE:\tSun, 23 Nov 2025 01:10:00 GMT \r\n", "X-Fold: a,\r\n\t b\r\n", "x-empty:\r\n"]
_INTERIM = [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2]


@st.composite
def _chunked(draw: st.DrawFn, body: bytes) -> bytes:
    extension = draw(st.sampled_from([b"", b";a=b", b' ; a="b;c"', b";;"]))
    pieces = [piece for piece in cut(body, draw(st.lists(st.integers(0, 500), max_size=5))) if piece]
    number = draw(st.sampled_from([b"%x", b"%X", b"0%x"]))
    chunks = b"".join(number % len(piece) + extension + b"\r\n" + piece + b"\r\n" for piece in pieces)
    return chunks + b"000" + extension + b"\r\n" + draw(st.sampled_from([b"", b"Sum: 1\r\nMore: 2\r\n"])) + b"\r\n"


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Every framing, with interim answers before it, every end of lines, header fields in any order and case."""
    body = draw(st.binary(max_size=300))
    status = draw(st.sampled_from([200, 204, 304, 404, 503]))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    closes = draw(st.booleans())
    fields = draw(st.lists(st.sampled_from(_FIELDS)))
    if framing == "length":
        fields.append(
            f"{draw(st.sampled_from(['content-length', 'Content-Length', 'CONTENT-LENGTH']))}: {len(body)}\r\n"
        )
    if framing == "chunked":
        fields.append("Transfer-Encoding: Chunked\r\n")
    if closes:
        fields.append("Connection: foo, Close\r\n")
    reason = draw(st.sampled_from([" OK", " Gr\xf6\xdfer", " ", ""]))
    text = f"HTTP/1.1 {status}{reason}\r\n" + "".join(draw(st.permutations(fields))) + "\r\n"
    if draw(st.booleans()):
        text = text.replace("\r\n", "\n")
    if status in {204, 304}:
        framing, sent, body = "none", b"", b""
    else:
        sent = draw(_chunked(body)) if framing == "chunked" else body
    length = {"length": len(body), "chunked": CHUNKED, "close": UNTIL_CLOSE, "none": 0}[framing]
    expected = Head(status, length, reusable=not closes and framing != "close", encoding="")
    data = draw(st.sampled_from(_INTERIM)) + text.encode("latin-1") + sent
    return Stream(data, (expected, body), ends=framing == "close")


@_unhurried
@given(streams(), st.lists(st.integers(0, 2000), max_size=10))
def test_every_cut_gives_the_same_answer(stream: Stream, places: list[int]) -> None:
    """Where the pieces of a stream begin and end is of no matter."""
    assert parsed(cut(stream.data, places), stream.ends) == stream.answer


@_unhurried
@given(streams())
def test_byte_by_byte(stream: Stream) -> None:
    """Nor is it where each byte comes alone; none but the last completes the answer."""
    pieces = [bytes([byte]) for byte in stream.data]
    assert parsed(pieces[:-1]) is None
    assert parsed(pieces, stream.ends) == stream.answer


@_unhurried
@given(streams())
def test_the_quick_way_says_the_same_or_nothing(stream: Stream) -> None:
    """What whole_answer makes of a stream is what the parser makes of it."""
    assert whole_answer(stream.data) in {None, stream.answer}


def test_the_quick_way_is_taken() -> None:
    """For an answer as TensorFlow Serving sends it, in one piece, and for no less and no more."""
    fields = b"Content-Type: application/json\r\nDate: Sun, 23 Nov 2025 01:10:00 GMT\r\nContent-Length: 7\r\n"
    data = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n[[1.0]]"
    assert whole_answer(data) == (Head(200, 7, reusable=True, encoding=""), b"[[1.0]]")
    for other in (b"", data[:-1], data[:20], data + b"x", data * 2, b"x" + data):
        assert whole_answer(other) is None


@_unhurried
@given(streams(), st.binary(min_size=1, max_size=9))
def test_more_than_the_answer(stream: Stream, more: bytes) -> None:
    """Bytes after an answer leave it as it is, and its connection is not used again."""
    if not stream.ends:
        (expected, body) = stream.answer
        assert parsed([stream.data + more]) == (expected._replace(reusable=False), body)
        assert whole_answer(stream.data + more) is None


@_unhurried
@given(streams(), st.integers(0, 2000))
def test_a_part_is_no_answer(stream: Stream, place: int) -> None:
    """A connection that ends within an answer has brought none, but where its end is the answer's."""
    assume(not stream.ends)
    with pytest.raises(BadAnswer, match="connection closed before end of the"):
        parsed([stream.data[: place % len(stream.data)]], ends=True)


def _fuzzed(data: bytes, places: list[int], ends: bool) -> None:
    said = "an answer"
    try:
        parsed(cut(data, places), ends)
    except BadAnswer as error:
        said = str(error)
    assert 0 < len(said) < 500
    whole_answer(data)


@_unhurried
@given(st.binary(max_size=500), st.lists(st.integers(0, 500), max_size=5), st.booleans())
def test_arbitrary_bytes(data: bytes, places: list[int], ends: bool) -> None:
    """Are an answer, or the beginning of one, or a BadAnswer: no other error."""
    _fuzzed(data, places, ends)


@_unhurried
@given(
    streams(), st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), min_size=1, max_size=4), st.booleans()
)
@example(
    Stream(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (Head(200, 0, True, ""), b"")),
    [(500, b"-1")],
    True,
)
def test_streams_with_faults(stream: Stream, faults: list[tuple[int, bytes]], ends: bool) -> None:
    """So are streams in which a few bytes are others."""
    data = stream.data
    for place, other in faults:
        place %= len(data) + 1
        data = data[:place] + other + data[place + 1 :]
    _fuzzed(data, [place for place, _ in faults], ends)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP/1.1 200 OK\nContent-Length: 5", (5, True)),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close", (5, False)),
        ("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: keep-alive\nconnection: a, CLOSE", (5, False)),
        ("HTTP/1.1 200 OK", (UNTIL_CLOSE, False)),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", (CHUNKED, True)),
        ("HTTP/1.0 200 OK\nContent-Length: 5", (5, False)),
        ("HTTP/1.0 200 OK\nContent-Length: 5\nConnection: Keep-Alive", (5, True)),
        ("HTTP/1.0 200 OK\nConnection: Keep-Alive", (UNTIL_CLOSE, False)),
        ("HTTP/1.1 204 No Content", (0, True)),
        ("HTTP/1.1 304 Not Modified\nContent-Length: 5", (0, True)),
        ("HTTP/1.1 100 Continue", (0, True)),
        ("HTTP/1.9 200", (UNTIL_CLOSE, False)),
        ("HTTP/1.1 200 OK\nContent-Length:  0005\t", (5, True)),
    ],
)
def test_heads(text: str, expected: tuple[int, bool]) -> None:
    """How long the body is, and whether the connection lives on (RFC 9112 sections 6.3 and 9.3)."""
    assert head(text)[1:3] == expected


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6",
        "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5",
        "HTTP/1.1 200 OK\nContent-Length: 5, 5",
        "HTTP/1.1 200 OK\nContent-Length: -5",
        "HTTP/1.1 200 OK\nContent-Length: +5",
        "HTTP/1.1 200 OK\nContent-Length: 5_0",
        "HTTP/1.1 200 OK\nContent-Length: \xb2",
        "HTTP/1.1 200 OK\nContent-Length:",
        "HTTP/1.1 200 OK\nContent-Length: " + "9" * 5000,
        "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.1 200 OK\nNo colon",
        "HTTP/1.1 200 OK\nSpace : a",
        "HTTP/1.1 200 OK\n: a",
        "HTTP/1.1 200 OK\nA: b\x00c",
        "HTTP/1.1 200 OK\nA: b\rc",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 \xb2\xb2\xb2 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200OK",
        "HTTP/2 200",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        "200 OK",
    ],
)
def test_no_heads(text: str) -> None:
    """What might be taken for another answer than the server meant is no answer."""
    with pytest.raises(BadAnswer):
        head(text)


_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"1 1\r\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\r",
        b"1" * 17 + b"\r\n",
        b"1;" + b"a" * LONGEST_CHUNK_LINE + b"\r\n",
        b"1" * (LONGEST_CHUNK_LINE + 1),
        b"0\r\n" + b"Trailer: of a good length\r\n" * 4000,
        b"0\r\n" + b"a" * (LONGEST_HEAD + 1),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_no_chunks(body: bytes) -> None:
    """Nor are chunks that are not what RFC 9112 section 7.1 makes them, or lines without end."""
    with pytest.raises(BadAnswer):
        parsed([_CHUNKED_HEAD + body])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x12\x04\x00\x00",
        b"HTTP/2",
        b"\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 " + b"a" * LONGEST_HEAD,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (LONGEST_HEAD // 6) + b"\r\n",
    ],
    ids=lambda data: repr(data[:20]),
)
@pytest.mark.parametrize("piecewise", [False, True])
def test_what_is_no_answer_is_known_early(data: bytes, piecewise: bool) -> None:
    """Another protocol is known by its first bytes, and headers without end by their length."""
    with pytest.raises(BadAnswer):
        parsed(cut(data, list(range(0, len(data), 1000))) if piecewise else [data])


def test_bodies_have_a_longest_length() -> None:
    """Announced or not, more is refused before it is there."""
    with pytest.raises(AnswerTooLarge):
        head(f"HTTP/1.1 200 OK\nContent-Length: {LONGEST_BODY + 1}")
    with pytest.raises(AnswerTooLarge):
        parsed([_CHUNKED_HEAD + b"%x\r\n" % (LONGEST_BODY + 1)])
    with pytest.raises(AnswerTooLarge):
        parsed([_CHUNKED_HEAD + b"1\r\na\r\n%x\r\n" % LONGEST_BODY])


@pytest.mark.parametrize("framing", ["length", "one chunk", "chunks", "close"])
def test_time_grows_with_the_length(framing: str) -> None:
    """16 MB in pieces of 16 KiB take not much longer per byte than 1 MB: nothing is moved or searched again."""

    def seconds(length: int) -> float:
        body = bytes(length)
        fields = {"length": f"Content-Length: {length}\r\n", "close": ""}.get(framing, "Transfer-Encoding: chunked\r\n")
        data = body
        if framing == "one chunk":
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (length, body)
        if framing == "chunks":
            data = b"400\r\n%b\r\n" % bytes(1024) * (length >> 10) + b"0\r\n\r\n"
        data = f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + data
        pieces = [data[at : at + (1 << 14)] for at in range(0, len(data), 1 << 14)]
        started = time.process_time()
        answer = parsed(pieces, ends=framing == "close")
        took = time.process_time() - started
        assert answer is not None
        assert answer[1] == body
        return took

    short = min(seconds(1 << 20) for _ in range(3))
    assert seconds(1 << 24) < 16 * (short + 0.005) * 4


def test_content_codings() -> None:
    """gzip is taken off, although none is asked for; another coding, and what only says it is gzip, is an error."""
    body = b'{"predictions": [1.0]}' * 100
    fields = "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Encoding: "
    assert decoded(head(fields + "Identity"), body) == body
    for coding in ("gzip", "X-GZip"):
        assert decoded(head(fields + coding), gzip.compress(body)) == body
    for coding, sent in (
        ("br", body),
        ("gzip, gzip", gzip.compress(body)),
        ("gzip", body),
        ("gzip", gzip.compress(body)[:-1]),
        ("gzip", gzip.compress(body) + b"more"),
        ("gzip", b""),
    ):
        with pytest.raises(BadAnswer):
            decoded(head(fields + coding), sent)


def test_what_grows_beyond_measure_when_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused, having taken no more memory than the longest body may."""
    monkeypatch.setattr("tfs_locust.transport.http1.LONGEST_BODY", 1 << 20)
    coded = head("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Encoding: gzip")
    assert decoded(coded, gzip.compress(bytes(1 << 20))) == bytes(1 << 20)
    with pytest.raises(AnswerTooLarge):
        decoded(coded, gzip.compress(bytes((1 << 20) + 1)))
