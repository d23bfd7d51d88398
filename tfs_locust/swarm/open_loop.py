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
from collections.abc import Iterable
from typing import TYPE_CHECKING

import gevent

from tfs_locust.load.schedule import ALL, Division, Schedule
from tfs_locust.measure.sample import Key, Outcome
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

    def __init__(self, worker: str, index: int, seed: int, tally: Tally, scenarios: Iterable[Scenario]) -> None:
        """``worker`` is how the leading process calls this one, ``index`` its number."""
        self._worker, self._index, self._seed = worker, index, seed
        self._sharing = next((one for one in scenarios if one.arrival.is_open and one.arrival.rate is None), None)
        """A scenario without a rate of its own: its requests are unsent where nobody is there to send them."""
        self._tally = tally
        self._pacer, self._crew = Pacer(), Crew()
        self._own: dict[Lane, Stream] = {}
        self._started = 0
        self._shared: Stream | None = None
        self._orders = Orders(0, (), ())
        self._free: deque[Lane] = deque()
        """Lanes that share the run's schedule, and have room; some may have none any more."""
        self._ended = False

    def run(self, user: PredictUser, scenario: Scenario) -> None:
        """Send for ``user`` until it is stopped and has nothing in flight. In the user's greenlet."""
        lane = user.lane = Lane(user, self._crew, scenario.max_in_flight, self._has_room)
        if scenario.arrival.rate is not None:
            self._follow_own(lane, scenario)
        else:
            self._has_room(lane)
        try:
            lane.wait()
        finally:
            stream = self._own.pop(lane, None)
            if stream is not None:
                self._pacer.leave(stream)

    def follow(self, orders: Orders) -> None:
        """Send this process's part of the run's schedule, or change what it is. Orders that come too late are followed
        from where this process is, which is logged."""
        if self._sharing is None:
            return
        before, self._orders = self._orders, orders
        joins = self._shared is None
        if self._shared is None:
            zero_ns = time.perf_counter_ns() + orders.starts_in_ns
            self._tally.start_load(zero_ns)
            self._shared = Stream(Schedule(self._sharing.arrival, self._seed).stripe(), zero_ns, _AHEAD_NS, self._deal)
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
        if not self._ended:
            self._pacer.follow(self._shared, time.perf_counter_ns())

    def end(self, at_ns: int | None = None) -> None:
        """Nothing is due any more; returns when all that was due before has been come to.

        ``at_ns`` is the time of the run's schedule at which it ends, by default now. What is not come to within a
        second is unsent.
        """
        if self._ended:
            return
        self._ended = True
        ends_ns = now_ns = time.perf_counter_ns()
        if self._shared is not None and at_ns is not None:
            ends_ns = self._shared.zero_ns + at_ns
        streams = [*self._own.values(), *([self._shared] if self._shared else [])]
        for stream in streams:
            stream.end(ends_ns if stream is self._shared else now_ns)
            self._pacer.follow(stream, now_ns)
        while not all(stream.is_done for stream in streams) and time.perf_counter_ns() < ends_ns + _LATE_NS:
            gevent.sleep(0.001)
        for stream in streams:
            for due_ns in stream.rest():
                self._tally.offered += 1
                self._not_sent(due_ns, self._sharing)

    def close(self) -> None:
        """The run is over."""
        self._pacer.close()
        self._crew.close()

    def _follow_own(self, lane: Lane, scenario: Scenario) -> None:
        self._started += 1
        schedule = Schedule(scenario.arrival, (self._seed, scenario.name, self._index, self._started))

        def deal(due_ns: int) -> None:
            self._tally.offered += 1
            if lane.has_room:
                lane.send(due_ns)
            else:
                self._not_sent(due_ns, scenario)

        zero_ns = time.perf_counter_ns()
        if scenario.arrival.kind == "constant":  # users that start together are not to send together
            phase = random.Random(f"{self._seed} {scenario.name} {self._index} {self._started}").random()
            zero_ns += int(phase / (scenario.arrival.rate or 1.0) * 1e9)
        stream = self._own[lane] = Stream(schedule.stripe(ALL), zero_ns, _OWN_AHEAD_NS, deal)
        if not self._ended:
            self._pacer.follow(stream, zero_ns)

    def _deal(self, due_ns: int) -> None:
        """Give it to the user whose turn it is."""
        self._tally.offered += 1
        while self._free:
            lane = self._free.popleft()
            lane.is_listed = False
            if lane.has_room:
                lane.send(due_ns)
                self._has_room(lane)
                return
        self._not_sent(due_ns, self._sharing)

    def _has_room(self, lane: Lane) -> None:
        if lane.has_room and not lane.is_listed and lane not in self._own:
            lane.is_listed = True
            self._free.append(lane)

    def _not_sent(self, due_ns: int, scenario: Scenario | None) -> None:
        if scenario is None:
            return
        version = "" if scenario.target.version is None else str(scenario.target.version)
        key = Key(scenario.name, scenario.protocol, scenario.target.model, version, Outcome.UNSENT)
        self._tally.record(unsent(key, due_ns, time.perf_counter_ns(), 0))


def _part(from_ns: int, worker: str, names: tuple[str, ...]) -> Division:
    return Division(from_ns, names.index(worker), len(names)) if worker in names else Division(from_ns)
