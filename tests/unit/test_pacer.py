"""One pacer comes to all that it follows, in the order of their times, and lets others have their turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.event import Event

from tfs_locust.swarm.pacer import Pacer

MS = 1_000_000


class Visits:
    """What a pacer came to, in order, and when."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.times_ns: list[int] = []
        self._changed = Event()

    def note(self, name: str, now_ns: int) -> None:
        self.names.append(name)
        self.times_ns.append(now_ns)
        self._changed.set()

    def wait(self, count: int) -> list[str]:
        """The names, as soon as there are so many."""
        with gevent.Timeout(10):
            while len(self.names) < count:
                self._changed.clear()
                self._changed.wait()
        return self.names


class One:
    """Wants to be come to at each of some times, and may do something then."""

    def __init__(self, visits: Visits, name: str, then: tuple[int, ...] = (), do: Callable[[], None] = str) -> None:
        self.name = name
        self._visits, self._then, self._do = visits, list(then), do

    def come(self, now_ns: int) -> int | None:
        self._visits.note(self.name, now_ns)
        self._do()
        return self._then.pop(0) if self._then else None


@pytest.fixture
def pacer() -> Iterator[Pacer]:
    """Closed in the end."""
    made = Pacer()
    yield made
    made.close()


@pytest.fixture
def visits() -> Visits:
    """None yet."""
    return Visits()


def test_order(pacer: Pacer, visits: Visits) -> None:
    """By time, never before it; of equal times, whoever asked first."""
    now_ns = time.perf_counter_ns()
    for name, at in (("c", 6), ("a", 2), ("d", 6), ("b", 4)):
        pacer.follow(One(visits, name), now_ns + at * MS)
    assert visits.wait(4) == ["a", "b", "c", "d"]
    assert all(at >= now_ns + due * MS for at, due in zip(visits.times_ns, (2, 4, 6, 6), strict=True))


def test_each_says_when_to_come_again(pacer: Pacer, visits: Visits) -> None:
    """And is left alone when it says never."""
    now_ns = time.perf_counter_ns()
    pacer.follow(One(visits, "a", (now_ns + 3 * MS, now_ns + 3 * MS, now_ns + 7 * MS)), now_ns)
    pacer.follow(One(visits, "b", (now_ns + 5 * MS,)), now_ns + 2 * MS)
    assert visits.wait(6) == ["a", "b", "a", "a", "b", "a"]
    pacer.follow(One(visits, "last"), time.perf_counter_ns() + 5 * MS)
    assert visits.wait(7)[6:] == ["last"]


def test_put_off(pacer: Pacer, visits: Visits) -> None:
    """Who is followed anew is come to at the new time alone, and nobody else is kept waiting for it."""
    now_ns = time.perf_counter_ns()
    late, early = One(visits, "late"), One(visits, "early")
    pacer.follow(late, now_ns + 2 * MS)
    pacer.follow(One(visits, "other"), now_ns + 4 * MS)
    pacer.follow(early, now_ns + 3_600_000 * MS)
    pacer.follow(late, now_ns + 60 * MS)
    pacer.follow(early, now_ns + 3 * MS)
    assert visits.wait(3) == ["early", "other", "late"]
    assert visits.times_ns[2] >= now_ns + 60 * MS
    assert visits.times_ns[1] < now_ns + 60 * MS


def test_left(pacer: Pacer, visits: Visits) -> None:
    """It is not come to, whether it is left before its time, by one that is come to first, or by itself."""
    now_ns = time.perf_counter_ns()
    gone, second = One(visits, "gone"), One(visits, "second", (now_ns + 5 * MS,))
    itself = One(visits, "itself", (now_ns + 5 * MS,), lambda: pacer.leave(itself))
    pacer.follow(gone, now_ns + MS)
    pacer.leave(gone)
    pacer.leave(One(visits, "never followed"))
    pacer.follow(One(visits, "first", (), lambda: pacer.leave(second)), now_ns + 2 * MS)
    pacer.follow(second, now_ns + 2 * MS)
    pacer.follow(itself, now_ns + 3 * MS)
    pacer.follow(One(visits, "last"), now_ns + 9 * MS)
    assert visits.wait(3) == ["first", "itself", "last"]


def test_followed_while_coming(pacer: Pacer, visits: Visits) -> None:
    """What is followed by one that is come to has its turn; what puts itself off is come to when it said so."""
    now_ns = time.perf_counter_ns()
    late = One(
        visits, "late", (now_ns,), lambda: pacer.follow(late, now_ns + 9 * MS) if len(visits.names) == 1 else None
    )
    pacer.follow(late, now_ns)
    visits.wait(1)
    makers = (One(visits, "maker", then, lambda: pacer.follow(One(visits, "new"), 0)) for then in ((), (now_ns + MS,)))
    for maker in makers:
        pacer.follow(maker, now_ns + 2 * MS)
    assert visits.wait(8) == ["late", "maker", "new", "maker", "new", "maker", "new", "late"]
    assert visits.times_ns[-1] >= now_ns + 9 * MS
    pacer.follow(One(visits, "last"), time.perf_counter_ns() + MS)
    assert visits.wait(9)[8:] == ["last"]


def test_others_have_their_turn(pacer: Pacer, visits: Visits) -> None:
    """A thousand late things do not keep a greenlet waiting that became ready while they were done."""
    ready, seen = Event(), []

    def wait() -> None:
        ready.wait()
        seen.append(len(visits.names))

    waiting = gevent.spawn(wait)
    gevent.sleep(0)
    past = time.perf_counter_ns()
    pacer.follow(One(visits, "late", (past,) * 999, ready.set), past)
    visits.wait(1000)
    waiting.join(10)
    assert 1 <= seen[0] <= 64


def test_closed(pacer: Pacer, visits: Visits) -> None:
    """Nobody is come to any more."""
    pacer.follow(One(visits, "never"), time.perf_counter_ns())
    pacer.close()
    other = Pacer()
    other.follow(One(visits, "other"), time.perf_counter_ns() + 2 * MS)
    assert visits.wait(1) == ["other"]
    other.close()
    pacer._alarm = Pacer()._alarm  # for the fixture to close
