"""An alarm rings when it was set to, once: never early, not after it was set anew, not after it was closed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from tfs_locust.swarm import alarm
from tfs_locust.swarm.alarm import Alarm

MS = 1_000_000


class Ringing:
    """An alarm, and when it rang."""

    def __init__(self) -> None:
        self.times_ns: list[int] = []
        self._rang = Event()
        self.alarm = Alarm(gevent.get_hub().loop, self._ring)

    def _ring(self) -> None:
        self.times_ns.append(time.perf_counter_ns())
        self._rang.set()

    def wait(self, rings: int = 1) -> int:
        """When it rang so many times, the time of the last."""
        with gevent.Timeout(10):
            while len(self.times_ns) < rings:
                self._rang.clear()
                self._rang.wait()
        return self.times_ns[-1]


@pytest.fixture(params=["linux", "elsewhere"])
def ringing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ringing]:
    """An alarm of the system's, and one where there is no timerfd."""
    monkeypatch.setattr(alarm.sys, "platform", request.param)
    made = Ringing()
    yield made
    made.alarm.close()


def _after(at_ns: int) -> None:
    """Return when an alarm set to this time has rung, and the loop has had two turns."""
    witness = Ringing()
    witness.alarm.set(at_ns)
    witness.wait()
    witness.alarm.close()
    gevent.sleep(0)
    gevent.sleep(0)


def test_never_early(ringing: Ringing) -> None:
    """Whatever the fraction of a millisecond."""
    for number in range(1, 20):
        at_ns = time.perf_counter_ns() + number * 137_731
        ringing.alarm.set(at_ns)
        assert ringing.wait(number) >= at_ns
    assert len(ringing.times_ns) == 19


def test_what_is_past_rings_at_once(ringing: Ringing) -> None:
    """Any time before now, zero among them."""
    for rings, at_ns in enumerate((0, 1, -5, time.perf_counter_ns()), 1):
        ringing.alarm.set(at_ns)
        ringing.wait(rings)
    _after(time.perf_counter_ns() + 2 * MS)
    assert len(ringing.times_ns) == 4


def test_set_anew(ringing: Ringing) -> None:
    """The last time counts, be it sooner or later than the one before."""
    now_ns = time.perf_counter_ns()
    ringing.alarm.set(now_ns + 3_600_000 * MS)
    ringing.alarm.set(now_ns + 5 * MS)
    assert now_ns + 5 * MS <= ringing.wait() < now_ns + 3_600_000 * MS
    now_ns = time.perf_counter_ns()
    ringing.alarm.set(now_ns + 5 * MS)
    ringing.alarm.set(now_ns + 20 * MS)
    assert ringing.wait(2) >= now_ns + 20 * MS
    _after(now_ns + 30 * MS)
    assert len(ringing.times_ns) == 2


def test_set_anew_by_its_own_ring() -> None:
    """As a schedule does: each ring sets the next."""
    made = Ringing()
    due_ns = [time.perf_counter_ns() + number * MS for number in range(10)]
    ring = made._ring

    def again() -> None:
        ring()
        if len(made.times_ns) < len(due_ns):
            made.alarm.set(due_ns[len(made.times_ns)])

    made.alarm._ring = again
    made.alarm.set(due_ns[0])
    made.wait(10)
    made.alarm.close()
    assert all(rang >= due for rang, due in zip(made.times_ns, due_ns, strict=True))


def test_closed(ringing: Ringing) -> None:
    """It does not ring any more, also where its time has come in the same turn of the loop."""
    now_ns = time.perf_counter_ns()
    ringing.alarm.set(now_ns + MS)
    while time.perf_counter_ns() < now_ns + 2 * MS:
        pass
    ringing.alarm.close()
    _after(now_ns + 5 * MS)
    assert ringing.times_ns == []
    ringing.alarm = Ringing().alarm  # for the fixture to close
