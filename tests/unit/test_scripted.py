"""The scripted transport answers as told and remembers what it was asked."""

from __future__ import annotations

import pytest

from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.scripted import Answer, Call, Scripted


def test_answers_are_given_in_turn() -> None:
    """Bodies, outcomes and details come as scripted; one call too many is the test's fault, and raises."""
    transport = Scripted([Answer(b"one"), Answer(outcome=Outcome.BATCH_QUEUE_FULL, detail="full")])
    request = transport.prepare("/p", b"body")
    first, second = transport.call(request, 1.0), transport.call(request, 1.0)
    assert (first.outcome, first.body) == (Outcome.OK, b"one")
    assert (second.outcome, second.body, second.detail) == (Outcome.BATCH_QUEUE_FULL, b"", "full")
    assert first.sent_ns <= first.end_ns <= second.sent_ns
    assert transport.calls == [Call("/p", b"body")] * 2
    with pytest.raises(IndexError, match="2 answers, and this is call 3"):
        transport.call(request, 1.0)


def test_a_function_answers_by_what_is_asked() -> None:
    """The script sees path and body."""
    transport = Scripted(lambda call: Answer((call.body or b"").upper()))
    assert transport.call(transport.prepare("/p", b"abc"), 1.0).body == b"ABC"


def test_a_slow_answer_ends_at_the_deadline() -> None:
    """Sleep is passed in, so no time passes: an answer in time waits for itself, a late one for the deadline."""
    slept: list[float] = []
    transport = Scripted([Answer(b"x", after_s=0.5), Answer(b"x", after_s=5.0)], sleep=slept.append)
    request = transport.prepare("/p", None)
    assert transport.call(request, 1.0).outcome is Outcome.OK
    assert transport.call(request, 1.0).outcome is Outcome.DEADLINE_EXCEEDED
    assert slept == [0.5, 1.0]


def test_closing_is_remembered() -> None:
    """So that a test can see that the run closed it."""
    transport = Scripted([])
    transport.close()
    assert transport.closed
