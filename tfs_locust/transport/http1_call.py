"""A call in flight over HTTP/1.1, and the connection that carries it: what is known of them, no more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Reply
from tfs_locust.transport.dialing import Address, Channel
from tfs_locust.transport.http1 import Answer, AnswerParser, BadAnswer, decoded
from tfs_locust.transport.http_status import error_text, outcome_of

_OK = Outcome.OK
# what Reply(...) does, in half the time
_reply = cast("Callable[[tuple[int, int, Outcome, bytes, str]], Reply]", partial(tuple.__new__, Reply))


class Call:
    """One request: waiting for a connection, or on one, or ended and about to be told."""

    __slots__ = (
        "answer",
        "connection",
        "detail",
        "end_ns",
        "outcome",
        "request",
        "resume",
        "sent_ns",
        "waking",
    )

    def __init__(self, request: bytes, resume: Any) -> None:
        self.request = request
        self.resume = resume
        """Goes on in the caller's greenlet."""
        self.connection: Connection | None = None
        self.sent_ns = 0
        self.end_ns = 0
        """Zero until it has ended, with an answer or without."""
        self.waking: Any = None
        """Once it has ended: the loop's callback that is to ``resume``."""
        self.answer: Answer | None = None
        self.outcome = _OK
        """Without an answer: what became of it."""
        self.detail = ""

    def reply(self) -> Reply:
        """How it ended."""
        if self.answer is None:
            return Reply(self.sent_ns, self.end_ns, self.outcome, b"", self.detail)
        head, body = self.answer
        if head.encoding:
            try:
                body = decoded(head, body)
            except BadAnswer as error:
                if head.status == 200:
                    return Reply(self.sent_ns, self.end_ns, Outcome.BAD_ANSWER, b"", str(error))
        if head.status == 200:
            return _reply((self.sent_ns, self.end_ns, _OK, body, ""))
        detail = error_text(head.status, body)
        return Reply(self.sent_ns, self.end_ns, outcome_of(head.status, detail), b"", detail)


class Connection:
    """An open connection, idle or with the call that it carries."""

    __slots__ = ("address", "call", "channel", "fd", "parser", "recv", "send", "unsent", "used")

    def __init__(self, channel: Channel, address: Address) -> None:
        self.channel = channel
        self.address = address
        self.fd: int = channel.fileno()
        self.send = channel.send
        self.recv = channel.recv
        self.call: Call | None = None
        self.unsent: memoryview | None = None
        """What is left of a request that did not go out in one piece."""
        self.used = False
        """It has brought an answer."""
        self.parser: AnswerParser | None = None
        """Of an answer that did not come in one piece."""

    def take(self, data: bytes) -> Answer | None:
        """The answer that ``data`` completes, if it does; no data is the connection's end. Raises BadAnswer."""
        if self.parser is None:
            if not data:
                raise BadAnswer("connection closed before the answer")
            self.parser = AnswerParser()
        answer = self.parser.feed(data) if data else self.parser.end()
        if answer:
            self.parser = None
        return answer
