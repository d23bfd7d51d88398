"""HTTP/1.1 answers without I/O: bytes in, an answer out, as RFC 9112 frames it.

Knows neither sockets nor clocks, nor what an answer says. Never sent here: HEAD, pipelined requests, upgrades.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator
from functools import lru_cache
from typing import NamedTuple

# What is not a number of bytes in Head.length:
CHUNKED = -1
UNTIL_CLOSE = -2

LONGEST_HEAD = 1 << 16
"""Bytes of a status line and its header fields, or of a chunked body's trailers."""
LONGEST_CHUNK_LINE = 1 << 12
LONGEST_BODY = 1 << 30
"""Bytes, decoded. TensorFlow Serving's tensors end at 2 GB, as protocol buffers; JSON that long is of no use."""


class BadAnswer(Exception):  # noqa: N818 - it reads as what happened
    """What came is no answer by RFC 9112, or ended before it was one. Its connection is of no more use."""


class AnswerTooLarge(BadAnswer):
    """Longer than LONGEST_BODY."""


class Head(NamedTuple):
    """What a status line and header fields say, as far as it matters here."""

    status: int
    length: int
    """The body's length in bytes, or CHUNKED, or UNTIL_CLOSE."""
    reusable: bool
    """Whether the connection may carry another request."""
    encoding: str
    """The body's content coding in lower case; empty where there is none."""


Answer = tuple[Head, bytes]

_START = b"HTTP/1."
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: .*)?")
_FOLD = re.compile(r"\r?\n[ \t]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_LENGTH = re.compile(r"[0-9]{1,19}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)


@lru_cache(maxsize=256)
def parse_head(block: bytes) -> Head:
    """A status line and its header fields, without the line ends behind the last of them. Raises BadAnswer.

    Remembered, because a server's heads repeat: within one second they differ in no more than Content-Length.
    Lines may end with LF alone (RFC 9112 section 2.2) and be folded (section 5.2).
    """
    lines = _FOLD.sub(" ", block.decode("latin-1")).replace("\r\n", "\n").split("\n")
    first = _STATUS_LINE.fullmatch(lines[0])
    if not first:
        raise BadAnswer(f"no status line of HTTP/1: {lines[0][:80]!r}")
    fields: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise BadAnswer(f"no header field: {line[:80]!r}")
        fields.setdefault(name.lower(), []).append(value.strip(" \t"))

    def listed(name: str) -> list[str]:
        return [element.strip().lower() for value in fields.get(name, ()) for element in value.split(",")]

    status = int(first[2])
    if status == 101:
        raise BadAnswer("the server switches to a protocol that was not asked for")
    length = _length(fields.get("content-length", []), listed("transfer-encoding"))
    if status < 200 or status in {204, 304}:  # RFC 9112 section 6.3, rule 1
        length = 0
    persistent = "keep-alive" in listed("connection") if first[1] == "0" else True
    return Head(
        status=status,
        length=length,
        reusable=persistent and "close" not in listed("connection") and length != UNTIL_CLOSE,
        encoding=", ".join(coding for coding in listed("content-encoding") if coding not in {"", "identity"}),
    )


def _length(given: list[str], codings: list[str]) -> int:
    """RFC 9112 section 6.3. What a sender must not do is an error here: an answer might be taken for another."""
    if codings:
        if given:
            raise BadAnswer("both Transfer-Encoding and Content-Length")
        if codings != ["chunked"]:
            raise BadAnswer(f"transfer coding {', '.join(codings)[:80]!r}")
        return CHUNKED
    if not given:
        return UNTIL_CLOSE
    if len(given) > 1 or not _LENGTH.fullmatch(given[0]):
        raise BadAnswer(f"Content-Length {', '.join(given)[:80]!r}")
    return _not_too_large(int(given[0]))


def _not_too_large(length: int) -> int:
    if length > LONGEST_BODY:
        raise AnswerTooLarge(f"an answer of {length} bytes: the most that is taken are {LONGEST_BODY}")
    return length


def whole_answer(data: bytes) -> Answer | None:
    """The answer, where ``data`` is exactly one with its length told: the common case, and the quick way.

    None says nothing: AnswerParser is to be asked.
    """
    block, end, body = data.partition(b"\r\n\r\n")
    try:
        head = parse_head(block)
    except BadAnswer:
        return None
    return (head, body) if end and len(body) == head.length and head.status >= 200 else None


def decoded(head: Head, body: bytes) -> bytes:
    """``body`` without its content coding, which gzip may be although none is asked for. Raises BadAnswer."""
    if not head.encoding:
        return body
    if head.encoding not in {"gzip", "x-gzip"}:
        raise BadAnswer(f"the answer has the content coding {head.encoding[:80]!r}, which was not asked for")
    gzip = zlib.decompressobj(wbits=31)
    try:
        plain = gzip.decompress(body, LONGEST_BODY)
    except zlib.error as error:
        raise BadAnswer(f"the answer is no gzip: {error}") from error
    if gzip.unconsumed_tail:
        _not_too_large(LONGEST_BODY + 1)
    if not gzip.eof or gzip.unused_data:
        raise BadAnswer("the answer is no gzip: its end is missing, or not its end")
    return plain


class AnswerParser:
    """One answer, from pieces of any size. Interim answers (1xx) before it are passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False
        self._steps = self._answer()
        next(self._steps)

    def feed(self, data: bytes) -> Answer | None:
        """Take what was read; the answer, once it is complete. Raises BadAnswer. Not to be used after either.

        A byte beyond the answer makes its connection one that is not ``reusable``: nobody asked for it.
        """
        self._buffer += data
        return self._step()

    def end(self) -> Answer:
        """The connection has ended, which completes some answers. Raises BadAnswer where it does not."""
        self._ended = True
        answer = self._step()
        assert answer is not None
        return answer

    def _step(self) -> Answer | None:
        try:
            next(self._steps)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        return None

    def _answer(self) -> Generator[None, None, Answer]:
        yield
        head = yield from self._head()
        while head.status < 200:
            head = yield from self._head()
        if head.length == CHUNKED:
            body = yield from self._chunks()
        elif head.length == UNTIL_CLOSE:
            while not self._ended:
                _not_too_large(len(self._buffer))
                yield
            body = self._take(len(self._buffer))
        else:
            yield from self._until_there_are(head.length)
            body = self._take(head.length)
        return (head._replace(reusable=False) if self._buffer else head), body

    def _head(self) -> Generator[None, None, Head]:
        searched = 0
        while not (end := _HEAD_END.search(self._buffer, max(searched - 3, 0))):
            searched = len(self._buffer)
            if self._buffer[: len(_START)] != _START[:searched]:
                raise BadAnswer(f"no HTTP/1: {bytes(self._buffer[:40])!r}")
            if searched > LONGEST_HEAD:
                break
            yield from self._more("headers")
        if not end or end.end() > LONGEST_HEAD:
            raise BadAnswer(f"headers of more than {LONGEST_HEAD} bytes")
        return parse_head(self._take(end.end())[: end.start()])

    def _chunks(self) -> Generator[None, None, bytes]:
        """RFC 9112 section 7.1; extensions and trailers are passed over."""
        body = bytearray()
        while True:
            line = yield from self._line(LONGEST_CHUNK_LINE)
            chunk = _CHUNK_LINE.fullmatch(line)
            if not chunk:
                raise BadAnswer(f"no chunk: {line[:40]!r}")
            size = int(chunk[1], 16)
            if size == 0:
                break
            _not_too_large(len(body) + size)
            yield from self._until_there_are(size + 2)
            body += self._take(size)
            if self._take(2) != b"\r\n":
                raise BadAnswer("a chunk that is longer than it said")
        left = LONGEST_HEAD
        while line := (yield from self._line(left)):
            left -= len(line)
        return bytes(body)

    def _line(self, longest: int) -> Generator[None, None, bytes]:
        searched = 0
        while (end := self._buffer.find(b"\r\n", max(searched - 1, 0))) < 0:
            searched = len(self._buffer)
            if searched > longest:
                break
            yield from self._more("body")
        if not 0 <= end <= longest:
            raise BadAnswer(f"a line of more than {longest} bytes in a chunked body")
        return self._take(end + 2)[:-2]

    def _until_there_are(self, number: int) -> Generator[None, None, None]:
        while len(self._buffer) < number:
            yield from self._more("body")

    def _more(self, part: str) -> Generator[None, None, None]:
        if self._ended:
            raise BadAnswer(f"connection closed before end of the {part}")
        yield

    def _take(self, number: int) -> bytes:
        """The buffer's first bytes. Deleting them there moves none of the others."""
        with memoryview(self._buffer) as view:
            taken = bytes(view[:number])
        del self._buffer[:number]
        return taken
