"""One request over HTTP/2 and what became of it. Plain state: the connection fills it in, its owner reads it."""

from __future__ import annotations

from enum import Enum
from typing import Any

from tfs_locust.transport.http2_frames import DATA, END_HEADERS, END_STREAM, HEADERS, SMALLEST_MAX_FRAME, unaddressed

_NEVER_WHOLE = 1 << 62


class Request:
    """A request as frames, but for the stream's id: made once, sent many times. It has a body of at least one byte."""

    __slots__ = ("between", "block", "body", "head", "size")

    def __init__(self, block: bytes, body: bytes) -> None:
        self.block = block
        self.body = body
        self.head = self.between = b""
        """``head``, id, ``between``, id, ``body`` is the whole request: HEADERS and one DATA frame."""
        self.size = _NEVER_WHOLE
        """Of the body, where windows and the peer's limits let it go as one DATA frame; else more than any of them."""
        if len(block) <= SMALLEST_MAX_FRAME and len(body) < 1 << 24:
            self.size = len(body)
            self.head = unaddressed(HEADERS, END_HEADERS, len(block))
            self.between = block + unaddressed(DATA, END_STREAM, len(body))


class Fate(Enum):
    """How an exchange ended that was not answered."""

    RESET = "reset"  # by the peer: ``code`` tells why
    BROKEN = "broken"  # the answer is not HTTP: ``text`` tells how
    LOST = "lost"  # the connection ended, and the peer may have taken the request
    UNTAKEN = "untaken"  # the peer has said that it did not take the request, or never saw it: it can be sent again


class Exchange:
    """A request on its way, its answer, or how it ended without one."""

    __slots__ = (
        "caller", "code", "connection", "end_ns", "fate", "headers", "outcome", "parts", "received", "refusals",
        "request", "sent_ns", "stream_id", "text", "trailers", "unsent", "window",
    )  # fmt: skip

    code: int
    text: str
    window: int

    def __init__(self, request: Request, caller: Any) -> None:
        self.request = request
        self.stream_id = 0
        self.sent_ns = 0
        """When its first bytes were given out to be sent; 0 before."""
        self.headers: Any = None
        """What the answer's fields mean, when they have come; of an answer without a body they are the trailers."""
        self.parts: list[bytes] | None = None
        """The answer's body, in the pieces in which it came."""
        self.received = 0
        """Of a body in more than one piece, the bytes."""
        self.trailers: Any = None
        self.unsent: memoryview | None = None
        """Of a large body, what is not cut into frames yet; ``window`` is then how much the peer takes of it."""
        self.fate: Fate | None = None
        self.refusals = 0
        """How often the peer has refused it and it was to be sent again."""
        # the owner's own: who waits, on which connection, when it ended and as what where that was the owner's doing
        self.caller = caller
        self.connection: Any = None
        self.outcome: Any = None
        self.end_ns = 0

    def ended(self, fate: Fate, text: str, code: int = 0) -> None:
        self.fate, self.text, self.code = fate, text, code

    def start_over(self) -> None:
        """Forget what came of it, to be sent again."""
        self.stream_id = self.sent_ns = self.received = 0
        self.headers = self.parts = self.trailers = self.fate = self.connection = None
