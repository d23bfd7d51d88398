"""A transport that sends nothing and answers as told: for users' own tests of their locustfiles, and for ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Reply


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer, given ``after_s`` seconds after the call."""

    body: bytes = b""
    outcome: Outcome = Outcome.OK
    detail: str = ""
    after_s: float = 0.0


class Call(NamedTuple):
    """A request as it was prepared."""

    path: str
    body: bytes | None


Script = Callable[[Call], Answer]


class Scripted:
    """A :class:`~tfs_locust.transport.base.Transport` that answers from a script and remembers what it was asked.

    The script is a function of the call, or answers to be given in turn (a call beyond the last raises IndexError).
    A call that would take longer than its timeout ends as ``DEADLINE_EXCEEDED`` at the timeout.
    """

    def __init__(self, script: Script | Iterable[Answer], sleep: Callable[[float], None] = time.sleep) -> None:
        self.calls: list[Call] = []
        self.closed = False
        self._answers = None if callable(script) else list(script)
        self._script = script if callable(script) else self._in_turn
        self._sleep = sleep

    @property
    def peers(self) -> dict[str, int]:
        """Nothing: there are none."""
        return {}

    def prepare(self, path: str, body: bytes | None) -> Call:
        return Call(path, body)

    def call(self, request: Call, timeout_s: float) -> Reply:
        self.calls.append(request)
        sent_ns = time.perf_counter_ns()
        answer = self._script(request)
        if answer.after_s > timeout_s:
            answer = Answer(outcome=Outcome.DEADLINE_EXCEEDED, detail="Deadline Exceeded", after_s=timeout_s)
        if answer.after_s:
            self._sleep(answer.after_s)
        return Reply(sent_ns, time.perf_counter_ns(), answer.outcome, answer.body, answer.detail)

    def close(self) -> None:
        self.closed = True

    def _in_turn(self, _: Call) -> Answer:
        assert self._answers is not None
        if len(self.calls) > len(self._answers):
            raise IndexError(f"the script has {len(self._answers)} answers, and this is call {len(self.calls)}")
        return self._answers[len(self.calls) - 1]
