"""Deadlines: each expires at its own time, and none that has ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfs_locust.transport.deadlines import Deadlines

_NS = 1_000_000_000

_unhurried = settings(deadline=None)  # how long an example takes on a busy machine says nothing


@dataclass(eq=False)
class Call:
    """What has a deadline."""

    timeout_s: float
    deadline_ns: int = 0  # for the tests to compare with
    end_ns: int = 0


@dataclass
class Loop:
    """A loop whose time a test tells: it holds the timer that is set, if one is."""

    now_ns: int = _NS
    started: int = 0
    rung: int = 0
    after_s: float = 0.0
    rings_ns: int = 0
    ring: Any = None
    expired: list[Call] = field(default_factory=list)

    def timer(self, after_s: float) -> Loop:
        self.after_s = after_s
        return self

    def start(self, ring: Any, update: bool) -> None:
        assert update
        self.started += 1
        self.rings_ns = self.now_ns + round(self.after_s * _NS)
        self.ring = ring

    def stop(self) -> None:
        self.ring = None

    def close(self) -> None:
        assert self.ring is None

    def run(self, until_ns: int) -> None:
        """Let time pass, and the timer ring."""
        while self.ring and self.rings_ns <= until_ns:
            self.now_ns = self.rings_ns
            self.rung += 1
            assert self.rung < 1000
            ring, self.ring = self.ring, None
            ring()
        self.now_ns = until_ns


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    """One, to whose clock the deadlines look too."""
    loop = Loop()
    monkeypatch.setattr(time, "perf_counter_ns", lambda: loop.now_ns)
    return loop


def _deadlines(loop: Loop) -> Deadlines[Call]:
    def expire(call: Call) -> None:
        call.end_ns = loop.now_ns
        loop.expired.append(call)

    return Deadlines(loop, expire)


def test_each_at_its_own_time(loop: Loop) -> None:
    """Whatever the order in which they came; what is removed, or has ended, never."""
    deadlines = _deadlines(loop)
    calls = [Call(timeout_s) for timeout_s in (3.0, 1.0, 2.0, 1.0, 2.0, 9.0)]
    for call in calls:
        deadlines.add(call, call.timeout_s, loop.now_ns)
        loop.run(loop.now_ns + 100_000_000)
    deadlines.remove(calls[3], 1.0)
    calls[4].end_ns = 1
    loop.run(61 * _NS)
    assert loop.expired == [calls[1], calls[2], calls[0], calls[5]]
    assert [(call.end_ns - _NS) / 1e9 for call in loop.expired] == [1.1, 2.2, 3.0, 9.5]
    assert loop.started < 10


def test_one_timer_for_many_calls(loop: Loop) -> None:
    """Calls that end in time cost no timer each, and leave nothing behind."""
    deadlines = _deadlines(loop)
    for _ in range(10_000):
        call = Call(1.0)
        deadlines.add(call, 1.0, loop.now_ns)
        loop.run(loop.now_ns + 1_000_000)
        deadlines.remove(call, 1.0)
    assert loop.started <= 11
    assert deadlines.calls() == []
    loop.run(loop.now_ns + 60 * _NS)
    assert loop.expired == []


@_unhurried
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 7.0]), st.integers(0, 3 * _NS), st.booleans()), max_size=30))
def test_any_order(steps: list[tuple[float, int, bool]]) -> None:
    """Of calls with these timeouts, after these pauses, those that are not removed at once expire on time."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        loop = Loop()
        monkeypatch.setattr(time, "perf_counter_ns", lambda: loop.now_ns)
        deadlines = _deadlines(loop)
        stay = []
        for timeout_s, pause_ns, stays in steps:
            call = Call(timeout_s, loop.now_ns + int(timeout_s * _NS))
            deadlines.add(call, timeout_s, loop.now_ns)
            if stays:
                stay.append(call)
            else:
                deadlines.remove(call, timeout_s)
            loop.run(loop.now_ns + pause_ns)
        loop.run(loop.now_ns + 60 * _NS)
        assert set(loop.expired) == set(stay)
        assert len(loop.expired) == len(stay)
        assert all(call.end_ns == call.deadline_ns for call in stay)
