"""Many deadlines, one timer: a timer for each call would cost as much as the call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

_NEVER = 1 << 62
_NS = 1_000_000_000


class Timed(Protocol):
    """What has a deadline."""

    end_ns: int
    """Zero until it is over: what has ended in time, and is about to be removed, does not expire."""


Call = TypeVar("Call", bound=Timed)


class Deadlines(Generic[Call]):
    """Calls in flight, by their timeout.

    Calls of one timeout expire in the order in which they came, so that a dict per timeout is a queue with cheap
    removal, and nothing of a call is kept once it has ended. Users have few timeouts.
    """

    def __init__(self, loop: Any, expire: Callable[[Call], None]) -> None:
        """``loop`` is gevent's; ``expire`` is called in its hub, and must not wait."""
        self._loop = loop
        self._expire = expire
        self._queues: dict[float, dict[Call, int]] = {}
        """Timeout in seconds -> call -> when it began, on ``time.perf_counter_ns``."""
        self._timer: Any = None
        self._rings_ns = _NEVER

    def add(self, call: Call, timeout_s: float, now_ns: int) -> None:
        """Let ``call`` expire ``timeout_s`` seconds from now, unless it is removed before."""
        queue = self._queues.get(timeout_s)
        if not queue:  # else the timer rings for its first call, or earlier
            queue = self._queues.setdefault(timeout_s, {})
            deadline_ns = now_ns + int(timeout_s * _NS)
            if deadline_ns < self._rings_ns:
                self._ring_at(deadline_ns, now_ns)
        queue[call] = now_ns

    def remove(self, call: Call, timeout_s: float) -> None:
        """The call was given up, or its end is known."""
        queue = self._queues.get(timeout_s)
        if queue:
            queue.pop(call, None)

    def calls(self) -> list[Call]:
        """All that have not ended, and perhaps some that have."""
        return [call for queue in self._queues.values() for call in queue]

    def close(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _ring_at(self, deadline_ns: int, now_ns: int) -> None:
        self.close()
        self._rings_ns = deadline_ns
        self._timer = self._loop.timer(max(deadline_ns - now_ns, 0) / _NS)
        # the loop's own clock stands still while greenlets work, and the timer would ring early
        self._timer.start(self._ring, update=True)

    def _ring(self) -> None:
        now_ns = time.perf_counter_ns()
        next_ns = self._rings_ns = _NEVER
        for timeout_s, queue in list(self._queues.items()):
            over = []
            for call, began_ns in queue.items():
                deadline_ns = began_ns + int(timeout_s * _NS)
                if deadline_ns > now_ns and not call.end_ns:
                    next_ns = min(next_ns, deadline_ns)
                    break
                over.append(call)
            for call in over:
                del queue[call]
                if not call.end_ns:
                    self._expire(call)
            if not queue:
                del self._queues[timeout_s]
        if next_ns < _NEVER:
            self._ring_at(next_ns, time.perf_counter_ns())
