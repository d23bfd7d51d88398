"""Does things when they are due, many a second: one alarm for all schedules of a process."""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import Protocol

from gevent import get_hub

from tfs_locust.swarm.alarm import Alarm

_AT_ONCE = 64
"""Things that are done before answers have their turn, where many are late."""


class Paced(Protocol):
    """Has things to do, one after the other."""

    def come(self, now_ns: int) -> int | None:
        """Do the next thing if its time has come; returns when to come again. None: never. Must not wait."""


class Pacer:
    """Comes to all that it follows when they asked for it. Times are those of ``time.perf_counter_ns``."""

    def __init__(self) -> None:
        self._alarm = Alarm(get_hub().loop, self._ring)
        self._queue: list[tuple[int, int, Paced]] = []
        self._next_ns: dict[Paced, int] = {}
        """When those that are followed are to be come to; what stands otherwise in the queue is passed over."""
        self._turn = count()

    def follow(self, one: Paced, at_ns: int) -> None:
        """Come to ``one`` at this time, rather than when it said."""
        self._next_ns[one] = at_ns
        heapq.heappush(self._queue, (at_ns, next(self._turn), one))
        if self._queue[0][2] is one:
            self._alarm.set(self._queue[0][0])  # which may be when it was to be come to before

    def leave(self, one: Paced) -> None:
        """Come to it no more."""
        self._next_ns.pop(one, None)

    def close(self) -> None:
        """Come to nobody any more."""
        self._next_ns.clear()
        self._queue.clear()
        self._alarm.close()

    def _ring(self) -> None:
        now_ns = time.perf_counter_ns()
        queue = self._queue
        for _ in range(_AT_ONCE):
            while queue and self._next_ns.get(queue[0][2]) != queue[0][0]:
                heapq.heappop(queue)
            if not queue or queue[0][0] > now_ns:
                break
            at_ns, turn, one = queue[0]
            next_ns = one.come(now_ns)
            if self._next_ns.get(one) != at_ns:
                continue  # it was left, or put off, by what it did
            if next_ns is None:
                self.leave(one)
                continue
            self._next_ns[one] = next_ns
            entry = next_ns, next(self._turn), one
            if queue[0][1] == turn:
                heapq.heapreplace(queue, entry)
            else:  # what it did is to be come to before it
                heapq.heappush(queue, entry)
        if queue:
            self._alarm.set(queue[0][0])
