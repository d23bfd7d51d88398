"""Each item is over at its time, in one call for all that are due, with one timer for all that wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tfs_locust.transport import deadlines
from tfs_locust.transport.deadlines import Deadlines


class _Timer:
    def __init__(self, after_s: float) -> None:
        self.after_s = after_s
        self.rings: Callable[[], None] | None = None

    def start(self, rings: Callable[[], None], update: bool) -> None:
        assert update
        self.rings = rings

    def close(self) -> None:
        self.rings = None


class _Loop:
    """A loop whose time the test tells."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.timers: list[_Timer] = []

    def timer(self, after_s: float) -> _Timer:
        self.timers.append(_Timer(after_s))
        return self.timers[-1]

    @property
    def running(self) -> list[_Timer]:
        return [timer for timer in self.timers if timer.rings]


class _Clock:
    """Deadlines, their loop, and what was over when."""

    def __init__(self) -> None:
        self.loop = _Loop()
        self.over: list[tuple[list[str], int]] = []
        self.deadlines = Deadlines[str](self.loop, lambda items, now_ns: self.over.append((items, now_ns)))

    def ring(self, now_ns: int) -> None:
        (timer,) = self.loop.running
        rings, timer.rings = timer.rings, None
        assert rings
        self.loop.now_ns = now_ns
        rings()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """At time 0."""
    clock = _Clock()
    monkeypatch.setattr(deadlines, "perf_counter_ns", lambda: clock.loop.now_ns)
    return clock


def test_in_turn(clock: _Clock) -> None:
    """The timer is set for the first, then for the next; what was taken out is not over."""
    a = clock.deadlines.add("a", 0, 1.0)
    clock.deadlines.add("b", 5, 1.0)
    clock.deadlines.add("c", 10, 1.0)
    assert [timer.after_s for timer in clock.loop.running] == [1.0]
    del a["b"]
    clock.ring(1_000_000_005)
    assert clock.over == [(["a"], 1_000_000_005)]
    assert [timer.after_s for timer in clock.loop.running] == [5e-9]
    clock.ring(2_000_000_000)
    assert clock.over[1:] == [(["c"], 2_000_000_000)]
    assert clock.loop.running == []


def test_items(clock: _Clock) -> None:
    """What waits is what was added and neither taken out nor over."""
    for item, timeout_s in (("a", 1.0), ("b", 2.0), ("c", 2.0)):
        queue = clock.deadlines.add(item, 0, timeout_s)
    del queue["b"]
    assert sorted(clock.deadlines.items()) == ["a", "c"]
    clock.ring(1_000_000_000)
    assert clock.deadlines.items() == ["c"]


def test_several_timeouts(clock: _Clock) -> None:
    """A later item may be over sooner: the timer is set anew."""
    clock.deadlines.add("long", 0, 5.0)
    clock.deadlines.add("short", 1_000_000_000, 1.0)
    assert [timer.after_s for timer in clock.loop.running] == [1.0]
    clock.deadlines.add("middle", 1_000_000_000, 2.0)
    assert [timer.after_s for timer in clock.loop.running] == [1.0]
    clock.ring(3_000_000_000)
    assert clock.over == [(["short", "middle"], 3_000_000_000)]
    clock.ring(5_000_000_000)
    assert clock.over[1:] == [(["long"], 5_000_000_000)]


def test_ring_too_early(clock: _Clock) -> None:
    """Loops are not exact: nothing is over before its time."""
    clock.deadlines.add("a", 0, 1.0)
    clock.ring(999_999_999)
    assert [items for items, _ in clock.over if items] == []
    clock.ring(1_000_000_000)
    assert [items for items, _ in clock.over if items] == [["a"]]


def test_many_timeouts_that_are_done_with(clock: _Clock) -> None:
    """Leave nothing behind, even if no two are the same."""
    for number in range(10_000):
        del clock.deadlines.add("a", 0, 100.0 - number / 1000)["a"]
    assert len(clock.deadlines._queues) <= 64
    assert len(clock.loop.running) == 1


def test_close(clock: _Clock) -> None:
    """No timer is left."""
    clock.deadlines.add("a", 0, 1.0)
    clock.deadlines.close()
    assert clock.loop.running == []
