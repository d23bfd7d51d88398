"""When calls in flight are to be given up: one timer for all of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from time import perf_counter_ns
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
_NEVER = 1 << 63


class Deadlines(Generic[Item]):
    """Items with the time at which each is over; an item is taken out by deleting it from the queue it was put in.

    A queue holds the items of one timeout, so that they are over in the order in which they came: to add and to take
    out costs a dictionary's time, however many there are.
    """

    def __init__(self, loop: Any, over: Callable[[list[Item], int], None]) -> None:
        """``over`` is called in gevent's hub with the items whose time has come, and the time in nanoseconds."""
        self._loop = loop
        self._over = over
        self._timer = loop.timer(0)
        self._rings_ns = _NEVER
        self._queues: dict[float, dict[Item, int]] = {}
        self._swept_at = 64

    def add(self, item: Item, now_ns: int, timeout_s: float) -> dict[Item, int]:
        """Put ``item`` into a queue, which is returned; both times are on the clock of ``time.perf_counter_ns``."""
        queue = self._queues.get(timeout_s)
        if queue is None:
            queue = self._new_queue(timeout_s)
        queue[item] = deadline_ns = now_ns + int(timeout_s * 1e9)
        if deadline_ns < self._rings_ns:
            self._wind(deadline_ns, now_ns)
        return queue

    def items(self) -> list[Item]:
        """All that wait."""
        return [item for queue in self._queues.values() for item in queue]

    def close(self) -> None:
        self._timer.close()

    def _new_queue(self, timeout_s: float) -> dict[Item, int]:
        if len(self._queues) >= self._swept_at:
            self._sweep()
            self._swept_at = 64 + 2 * len(self._queues)
        queue: dict[Item, int] = {}
        self._queues[timeout_s] = queue
        return queue

    def _sweep(self) -> None:
        for timeout_s in [timeout_s for timeout_s, queue in self._queues.items() if not queue]:
            del self._queues[timeout_s]

    def _wind(self, rings_ns: int, now_ns: int) -> None:
        self._rings_ns = rings_ns
        self._timer.close()
        self._timer = self._loop.timer(max(0, rings_ns - now_ns) / 1e9)
        # the loop's own time is that of its last turn: without the update it would ring early
        self._timer.start(self._ring, update=True)

    def _ring(self) -> None:
        now_ns = perf_counter_ns()
        over: list[Item] = []
        next_ns = _NEVER
        for queue in self._queues.values():
            due = list(takewhile(lambda item: queue[item] <= now_ns, queue))  # noqa: B023 - is done with at once
            for item in due:
                del queue[item]
            over += due
            if queue:
                next_ns = min(next_ns, next(iter(queue.values())))
        self._rings_ns = _NEVER
        if next_ns != _NEVER:
            self._wind(next_ns, now_ns)
        self._over(over, now_ns)
