"""Leads the traffic of a run: a canary's share as its ramp goes up, and back to the baseline where it is surely worse.

Lives where the run is led. What it decides goes to all who send, again each second: whoever joins, or missed it, hears
it then. It tells which stage is reached and what is given up, not weights: those each works out for itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import gevent

from tfs_locust.judge.canary import Pair
from tfs_locust.judge.moments import ROLLBACK, SHARE
from tfs_locust.judge.rollback import why_give_up
from tfs_locust.measure.view import View
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.judging import Judgement
from tfs_locust.swarm.settings import Settings, SettingsError

_TICK_S = 0.1
EVERY_S = 1.0
_logger = logging.getLogger(__name__)

Courses = dict[str, tuple[int, bool]]
"""Of each user class the stage of its ramp, and whether its canaries are given up."""


@dataclass(slots=True)
class Course:
    """How far a user class's traffic has come."""

    plan: Blueprint
    pairs: list[Pair] = field(default_factory=list)
    stage: int = 0
    given_up: bool = False
    times_asked: int = 0


class Steering:
    """Leads the traffic of all user classes that have any, until :meth:`stop`."""

    def __init__(
        self,
        plans: Sequence[Blueprint],
        settings: Settings,
        judgement: Judgement,
        *,
        find: Callable[[Blueprint], tuple[Blueprint, list[Pair]]],
        began_s: Callable[[], float | None],
        look: Callable[[], View | None],
        tell: Callable[[Courses], None],
        end: Callable[[str], object],
        every_s: float = EVERY_S,
    ) -> None:
        """``find`` asks the server what the targets are, and which two are compared; ``began_s`` says by
        ``time.perf_counter`` when the warm-up is over, None as long as nobody knows; ``look`` how the run stands;
        ``tell`` hands on what is decided; ``end`` ends the run for a reason."""
        self._courses = [Course(one) for one in plans]
        self._settings, self._judgement = settings, judgement
        self._find, self._began_s, self._look = find, began_s, look
        self._tell, self._end, self._every_s = tell, end, every_s
        self._greenlet = gevent.spawn(self._steer)

    def stop(self) -> None:
        """The load ends."""
        self._greenlet.kill(block=False)

    def courses(self) -> Courses:
        """How far all have come."""
        return {one.plan.name: (one.stage, one.given_up) for one in self._courses}

    def _steer(self) -> None:
        self._find_pairs()
        next_s = 0.0
        while True:
            began_s = self._began_s()
            now_s = time.perf_counter()
            before = self.courses()
            if began_s is not None:
                for one in self._courses:
                    self._go_up(one, now_s - began_s)
            again = now_s >= next_s
            view = self._look() if again else None
            if view is not None:
                for one in self._courses:
                    self._watch(one, view)
            if again or self.courses() != before:
                self._tell(self.courses())
            next_s = now_s + self._every_s if again else next_s
            gevent.sleep(min(_TICK_S, self._every_s))

    def _find_pairs(self) -> None:
        """Which versions are compared. The server is asked where only it knows."""
        for one in self._courses:
            try:
                one.plan, one.pairs = self._find(one.plan)
            except SettingsError as error:  # whoever sends has told, or will: there is no load without this
                _logger.warning("the canary is not compared: %s", "; ".join(error.problems))
        self._judgement.pairs = [pair for one in self._courses for pair in one.pairs]
        self._judgement.steered = {
            target.model
            for one in self._courses
            for target in one.plan.traffic.targets(one.plan.target.model, "")  # type: ignore[union-attr]  # it has one
            if target.version is not None
        }

    def _go_up(self, one: Course, at_s: float) -> None:
        """The next stage of its ramp may have come."""
        ramp = one.plan.ramp
        stage = 0 if ramp is None else ramp.stage_at(at_s)
        if ramp is None or one.given_up or stage == one.stage:
            return
        one.stage = stage
        for pair in one.pairs:
            self._judgement.mark(SHARE, f"the canary has {ramp.stages[stage]}", model=pair.model, version=pair.canary)
        _logger.info("%s: the canary has %s of the traffic from now on", one.plan.name, ramp.stages[stage])

    def _watch(self, one: Course, view: View) -> None:
        """Give the canary up if it is surely worse."""
        wanted = self._settings.canary_rollback
        if one.given_up or not (one.plan.ramp is not None if wanted is None else wanted):
            return
        one.times_asked += 1
        for pair in one.pairs:
            reasons = why_give_up(
                view,
                pair,
                self._judgement.objectives,
                confidence=self._settings.confidence,
                times_asked=one.times_asked,
            )
            if reasons:
                one.given_up = True
                text = f"version {pair.canary} of {pair.model} is given up for {pair.baseline}: {'; '.join(reasons)}"
                self._judgement.mark(ROLLBACK, text, model=pair.model, version=pair.baseline)
                _logger.error("%s: %s", one.plan.name, text)
        if one.given_up and self._settings.abort_on_fail:
            self._end("the canary is given up")
