"""The open loop of one process in one run: its parts of schedules, and the users that send what is due.

A user class whose arrival has a rate of its own has a schedule for each of its users, from when the user starts. The
others share the one schedule of the run, of which this process sends the stripe that the leading process gives it; what
is due goes to their users in turn.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from tfs_locust.load.schedule import ALL, Division, Schedule
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally, unsent
from tfs_locust.swarm.crew import Crew
from tfs_locust.swarm.lane import Lane
from tfs_locust.swarm.orders import Orders
from tfs_locust.swarm.pacer import Pacer
from tfs_locust.swarm.scenario import Scenario
from tfs_locust.swarm.stream import Stream

if TYPE_CHECKING:
    from tfs_locust.swarm.users import PredictUser

_AHEAD_NS = 100_000_000  # of the run's schedule are worked out; less than what changes are told ahead
_OWN_AHEAD_NS = 1_000_000_000  # of a user's own, which nobody changes
_LATE_NS = 1_000_000_000  # after its end, for what is due to be come to

_logger = logging.getLogger(__name__)


class OpenLoop:
    """Sends what is due, from the first open user until :meth:`close`."""

    def __init__(
        self,
        worker: str,
        index: int,
        seed: int,
        tally: Tally,
        scenarios: Collection[Scenario],
        on_fault: Callable[[str], None],
    ) -> None:
        """``worker`` is how the leading process calls this one, ``index`` its number. ``on_fault`` is told, in the hub,
        why there is nothing more to send before the end."""
        self._worker, self._index, self._seed = worker, index, seed
        shared = [one.arrival.is_open and one.arrival.rate is None for one in scenarios]
        self._all_share = all(shared)
        self._sharing = next((one for one, is_shared in zip(scenarios, shared, strict=True) if is_shared), None)
        """A scenario without a rate of its own: its requests are unsent where nobody is there to send them."""
        self._tally = tally
        self._on_fault = on_fault
        self._pacer, self._crew = Pacer(), Crew()
        self._own: dict[Lane, Stream] = {}
        self._started = 0
        self._shared: Stream | None = None
        self._orders = Orders(0, (), ())
        self._free: deque[Lane] = deque()
        """Lanes that share the run's schedule, and have room; some may have none any more."""
        self.ended = False
        self._all_done = Event()

    def run(self, user: PredictUser, scenario: Scenario) -> None:
        """Send for ``user`` until it is stopped and has nothing in flight. In the user's greenlet."""
        lane = user.lane = Lane(user, self._crew, scenario.max_in_flight, self._has_room)
        own = None
        if scenario.arrival.rate is not None:
            own = self._own[lane] = self._follow_own(lane, scenario)
        else:
            self._has_room(lane)
        try:
            lane.wait_for_stop()
            if own is not None:
                self._end({own: time.perf_counter_ns()})
            lane.wait_for_answers()
        finally:
            lane.close()
            if own is not None:
                del self._own[lane]
                self._pacer.leave(own)

    def follow(self, orders: Orders) -> None:
        """Send this process's part of the run's schedule, or change what it is. Orders that come too late are followed
        from where this process is, which is logged."""
        if self._sharing is None:
            return
        before, self._orders = self._orders, orders
        joins = self._shared is None
        if self._shared is None:
            zero_ns = time.perf_counter_ns() + orders.starts_in_ns
            if self._all_share and not self._tally.started:  # others need not wait for the schedule
                self._tally.start_load(zero_ns)
            stripe = Schedule(self._sharing.arrival, self._seed).stripe()
            self._shared = Stream(stripe, zero_ns, _AHEAD_NS, self._deal, self._give_up, self._on_fault)
        stripe = self._shared.stripe
        late_ns = 0
        for at_ns, rate in orders.changes[len(before.changes) :]:
            late_ns = max(late_ns, stripe.taken_ns - at_ns)
            stripe.change_rate(max(at_ns, stripe.taken_ns), rate)
        for at_ns, names in orders.divisions[len(before.divisions) :]:
            late_ns = max(late_ns, stripe.taken_ns - at_ns)
            stripe.divide(_part(max(at_ns, stripe.taken_ns), self._worker, names))
        if late_ns and not joins:
            _logger.warning("a change of the run's schedule was to be %.3f s earlier", late_ns / 1e9)
        if not self.ended:
            self._pacer.follow(self._shared, time.perf_counter_ns())

    def end(self, at_ns: int | None = None) -> None:
        """Nothing is due any more; returns when all that was due before has been come to.

        ``at_ns`` is the time of the run's schedule at which it ends, by default now. What is not come to within a
        second is unsent.
        """
        if self.ended:
            self._all_done.wait()
            return
        self.ended = True
        now_ns = time.perf_counter_ns()
        ends = dict.fromkeys(self._own.values(), now_ns)
        if self._shared is not None:
            ends[self._shared] = now_ns if at_ns is None else self._shared.zero_ns + at_ns
        self._end(ends)
        self._all_done.set()

    def leave(self) -> None:
        """End, but not before others have this process's part of the run's schedule: who leads it has been told."""
        give_up_ns = time.perf_counter_ns() + _LATE_NS
        while self._has_part and not self.ended and time.perf_counter_ns() < give_up_ns:
            gevent.sleep(0.01)
        divisions = self._orders.divisions
        self.end(divisions[-1][0] if divisions and not self._has_part else None)

    def close(self) -> None:
        """The run is over."""
        self._pacer.close()
        self._crew.close()

    @property
    def _has_part(self) -> bool:
        return bool(self._orders.divisions) and self._worker in self._orders.divisions[-1][1]

    def _end(self, ends: dict[Stream, int]) -> None:
        """End each at its time, and return when what was due before was dealt out, or given up."""
        for stream, at_ns in ends.items():
            stream.end(at_ns)
            if not stream.is_done:
                self._pacer.follow(stream, time.perf_counter_ns())
        give_up_ns = max(ends.values(), default=0) + _LATE_NS
        while not all(stream.is_done for stream in ends) and time.perf_counter_ns() < give_up_ns:
            gevent.sleep(0.001)
        for stream in ends:
            stream.give_up()

    def _follow_own(self, lane: Lane, scenario: Scenario) -> Stream:
        self._started += 1
        schedule = Schedule(scenario.arrival, (self._seed, scenario.name, self._index, self._started))

        def deal(due_ns: int) -> None:
            if lane.is_full:
                give_up(due_ns)
                return
            self._count(own=True)
            lane.send(due_ns)

        def give_up(due_ns: int) -> None:
            self._count(own=True)
            self._not_sent(due_ns, scenario)

        zero_ns = time.perf_counter_ns()
        if scenario.arrival.kind == "constant":  # users that start together are not to send together
            phase = random.Random(f"{self._seed} {scenario.name} {self._index} {self._started}").random()
            zero_ns += int(phase / (scenario.arrival.rate or 1.0) * 1e9)
        stream = Stream(schedule.stripe(ALL), zero_ns, _OWN_AHEAD_NS, deal, give_up, self._on_fault)
        if self.ended:
            stream.end(zero_ns)
        else:
            self._pacer.follow(stream, zero_ns)
        return stream

    def _deal(self, due_ns: int) -> None:
        """Give it to the user whose turn it is."""
        while self._free:
            lane = self._free.popleft()
            lane.is_listed = False
            if lane.has_room:
                self._count()
                lane.send(due_ns)
                self._has_room(lane)
                return
        self._give_up(due_ns)

    def _give_up(self, due_ns: int) -> None:
        self._count()
        if self._sharing is not None:
            self._not_sent(due_ns, self._sharing)

    def _count(self, *, own: bool = False) -> None:
        self._tally.offered += 1
        self._tally.offered_apart += own

    def _has_room(self, lane: Lane) -> None:
        if lane.has_room and not lane.is_listed and lane not in self._own:
            lane.is_listed = True
            self._free.append(lane)

    def _not_sent(self, due_ns: int, scenario: Scenario) -> None:
        key = scenario.key(scenario.asked_version, Outcome.UNSENT)
        self._tally.record(unsent(key, due_ns, time.perf_counter_ns(), 0))


def _part(from_ns: int, worker: str, names: tuple[str, ...]) -> Division:
    return Division(from_ns, names.index(worker), len(names)) if worker in names else Division(from_ns)
