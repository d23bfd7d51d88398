"""Leads an open loop: from when on which worker sends which part of the run's schedule, and how fast it goes.

One for each run that has a rate, or a trace, for all its users; it lives where the run is led. The schedule starts when
all users are there, and any at all. Who takes part is looked at several times a second: when a worker has gone, or
come, the schedule is divided anew from half a second later on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import gevent

from tfs_locust.load.arrival import Arrival
from tfs_locust.load.schedule import Schedule
from tfs_locust.load.trace import TraceError
from tfs_locust.swarm.orders import Orders

LEAD_NS = 500_000_000
"""Between a change being told and its taking effect: all workers must have heard of it, and not have worked out more
of the schedule yet."""
END_LEAD_NS = 100_000_000
"""The same for the end, which needs no agreement on who sends what."""
_LOOK_S = 0.2


class Conductor:
    """Divides the schedule among those that ``present`` names, and tells them with ``tell``."""

    def __init__(
        self,
        arrival: Arrival,
        seed: int,
        rate: float | None,
        present: Callable[[], Sequence[str]],
        tell: Callable[[Orders], None],
    ) -> None:
        """``rate`` is that of the whole run; None for a trace, or where it is set later."""
        self.arrival, self._seed = arrival, seed
        self._present, self._tell = present, tell
        self._changes: list[tuple[int, float]] = [] if rate is None else [(0, rate)]
        self._divisions: list[tuple[int, tuple[str, ...]]] = []
        self._starts_ns: int | None = None
        self._ended_ns: int | None = None
        self._gone: set[str] = set()
        self._watcher: gevent.Greenlet[..., None] | None = None

    @property
    def rate(self) -> float | None:
        """The one that was set last."""
        return self._changes[-1][1] if self._changes else None

    def start(self) -> None:
        """All users are there: the schedule starts a little later, or as soon as there is somebody to send it. Does
        nothing the second time."""
        if self._watcher is None and self._ended_ns is None:
            self._look()
            self._watcher = gevent.spawn(self._watch)

    def leave(self, name: str) -> None:
        """This worker is about to go: the schedule is divided among the others."""
        self._gone.add(name)
        if self._watcher is not None and self._ended_ns is None:
            self._look()

    def set_rate(self, rate: float) -> None:
        """So many requests a second, from half a second later on."""
        if self._starts_ns is None:
            self._changes = [(0, rate)]
        elif self._ended_ns is None and rate != self.rate:
            self._changes.append((self._from_now_ns(LEAD_NS), rate))
            self._send()

    def end(self) -> int | None:
        """When the schedule ends, on its own clock: a little later. The first call decides. None: it has not begun."""
        if self._ended_ns is None:
            self._ended_ns = self._from_now_ns(END_LEAD_NS)
            if self._watcher is not None:
                self._watcher.kill(block=False)
        return None if self._starts_ns is None else self._ended_ns

    def scheduled(self) -> int | None:
        """Arrivals that were due from the start to the end. None: the file of a trace is not what it was."""
        if self._starts_ns is None or self._ended_ns is None:
            return 0
        try:
            return Schedule(self.arrival, self._seed, tuple(self._changes)).count(self._ended_ns)
        except TraceError:  # whoever sends it has told
            return None

    def _from_now_ns(self, lead_ns: int) -> int:
        return max(0, time.perf_counter_ns() + lead_ns - (self._starts_ns or 0))

    def _watch(self) -> None:
        while True:
            gevent.sleep(_LOOK_S)
            self._look()

    def _look(self) -> None:
        there = self._present()
        present = tuple(name for name in there if name not in self._gone)
        if not present and self._divisions and set(there) & set(self._divisions[-1][1]):
            return  # all are about to go: they send their parts until there is somebody else
        if self._starts_ns is None:
            if present:
                self._starts_ns = time.perf_counter_ns() + LEAD_NS
                self._divisions.append((0, present))
                self._send()
        elif present != self._divisions[-1][1]:
            self._divisions.append((self._from_now_ns(LEAD_NS), present))
            self._send()

    def _send(self) -> None:
        starts_in_ns = (self._starts_ns or 0) - time.perf_counter_ns()
        self._tell(Orders(starts_in_ns, tuple(self._divisions), tuple(self._changes)))
