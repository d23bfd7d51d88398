"""One load of the search for capacity: what is asked for, what was seen of it, and what that says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.decide import CONFIDENCE, Judged
from tfs_locust.judge.slo import Objective
from tfs_locust.judge.verdict import Limits, State, judge, measured
from tfs_locust.measure.cell import Cell
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View

GENERATOR = "generator"
"""What limits a level at which the generator could not keep up."""
THROUGHPUT = "throughput"
"""... at which an open loop got fewer good answers than it asked for."""
NO_DATA = "no-data"
DOUBT = "doubt"
"""... that cannot be believed for another reason, such as a lost worker."""

_BY_CHANCE = 4.5
"""Standard deviations by which a count may be short by chance; that of a Poisson process is its root. So rare (3 in a
million) that none of many levels fails by it; an overload that hides in it is seen in the times."""
_SECOND_NS = 1_000_000_000


class Unit(str, Enum):
    """What a load is counted in."""

    USERS = "users"  # closed loop: so many at a time
    RATE = "requests/s"  # open loop: so many by the second, answered or not

    def __str__(self) -> str:
        return self.value


class Purpose(str, Enum):
    """Why a level is measured."""

    GROWTH = "growth"
    BISECTION = "bisection"
    CONFIRMATION = "confirmation"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a level is judged by."""

    objectives: tuple[Objective, ...]
    confidence: float = CONFIDENCE
    limits: Limits = field(default_factory=Limits)
    shortfall: float = 0.05
    """The share of the offered rate that may be missing from the good answers of an open loop."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level to be measured."""

    load: float
    """A whole number of users, or requests/s."""
    unit: Unit
    purpose: Purpose
    rest_load: float
    """The load to cool down at after overload."""
    reference_s: float | None = None
    """The median response time of the server in the beginning, which it is to cool down to; None: not known."""
    ends_by_s: float = math.inf
    """The time of the run at which its measuring has to be over."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a stretch of a level says."""

    state: State
    """PASS: the objectives are kept; FAIL: surely not; INVALID: not decided, or not to be believed."""
    limited_by: str = ""
    """The objective that is not kept, as it was written; :data:`GENERATOR`, :data:`THROUGHPUT`, :data:`NO_DATA` or
    :data:`DOUBT`; of a PASS empty."""
    why: str = ""
    """The same in a few words, with numbers."""
    reasons: tuple[str, ...] = ()
    """All of them, each beginning with its kind as those of a verdict."""
    further_s: float = 0.0
    """If it is open: about how much longer would decide it. Infinite where no time would, 0 where that is not known."""
    promising: bool = False
    """It is open, and yet all that was seen is within the objectives."""

    @property
    def is_open(self) -> bool:
        """Whether measuring longer may decide it."""
        return self.state is State.INVALID and self.limited_by not in {GENERATOR, DOUBT}


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen of a level. Times are those of requests that ended well; None where there was none."""

    seconds: float = 0.0
    """How long the stretch was that the level is judged by."""
    requests: int = 0
    unsent: int = 0
    error_rate: float | None = None
    achieved_per_s: float | None = None
    """Requests that ended well."""
    rows_per_s: float | None = None
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    p99_9_s: float | None = None


@dataclass(frozen=True, slots=True)
class LevelResult:
    """What became of a level."""

    level: Level
    judgement: Judgement
    figures: Figures
    begin_s: float
    """The time of the run at which its load was set."""
    end_s: float
    """... at which its measuring was over."""
    windows: int = 0
    """How many were measured after the warm-up."""
    stable: bool = False
    """Whether three in a row agreed."""
    cooled_after_s: float | None = None
    """How long the server took to cool down; None: it was not waited for, or had not in the time there is for it."""

    @property
    def passed(self) -> bool:
        """Whether the objectives are kept."""
        return self.judgement.state is State.PASS


def figures(stretch: View) -> Figures:
    """What a stretch of a level shows."""
    ok, everything, unsent = Cell(), Cell(), 0
    for key, cell in stretch.judged().items():
        everything.merge(cell)
        if key.key.outcome is Outcome.OK:
            ok.merge(cell)
        elif key.key.outcome is Outcome.UNSENT:
            unsent += cell.count
    seconds = stretch.load_ns / _SECOND_NS

    def time_s(quantile: float) -> float | None:
        value_ns = ok.response.quantile(quantile)
        return None if value_ns is None else value_ns / _SECOND_NS

    return Figures(
        seconds=seconds,
        requests=everything.count,
        unsent=unsent,
        error_rate=1 - ok.count / everything.count if everything.count else None,
        achieved_per_s=ok.count / seconds if seconds else None,
        rows_per_s=ok.rows / seconds if seconds else None,
        p50_s=time_s(0.5),
        p90_s=time_s(0.9),
        p99_s=time_s(0.99),
        p99_9_s=time_s(0.999),
    )


def judge_level(level: Level, stretch: View, criteria: Criteria) -> Judgement:
    """Whether a stretch of a level keeps to the objectives.

    The generator comes first: what it could not send says nothing of the server. Then all else that makes a run
    INVALID; then broken objectives; then good answers of an open loop that fall short of the rate offered, for a
    backlog that grows will break any objective in time. What is still open comes last.
    """
    verdict = judge(stretch, criteria.objectives, confidence=criteria.confidence, limits=criteria.limits, ended=False)
    reasons = verdict.reasons
    missing = _missing(level, stretch, criteria.shortfall)
    if missing:
        reasons = (*reasons, f"overloaded: {missing}")
    if told := _first(reasons, "generator-limited"):
        return Judgement(State.INVALID, GENERATOR, told, reasons)
    for reason in reasons:
        if reason.partition(":")[0] not in {"objective-failed", "overloaded", "unsent", "undecided", "no-data"}:
            return Judgement(State.INVALID, DOUBT, reason, reasons)
    for one in verdict.objectives:
        if one.state is Decision.FAIL:
            return Judgement(State.FAIL, one.objective.expression, _in_short(one), reasons)
    if missing or (missing := _first(reasons, "unsent")):
        return Judgement(State.FAIL, THROUGHPUT, missing, reasons)
    if told := _first(reasons, "no-data"):
        return Judgement(State.INVALID, NO_DATA, told, reasons)
    undecided = [one for one in verdict.objectives if one.state is Decision.UNDECIDED]
    for one in undecided:
        further_s = max(_further(undecided, stretch.load_ns / _SECOND_NS))
        return Judgement(
            State.INVALID, one.objective.expression, _in_short(one), reasons, further_s, all(map(_is_within, undecided))
        )
    return Judgement(State.PASS)


def not_reached(why: str) -> Judgement:
    """A level that could not even be set up."""
    return Judgement(State.INVALID, GENERATOR, why, (f"generator-limited: {why}",))


def _first(reasons: Sequence[str], kind: str) -> str:
    """The text of the first reason of a kind; empty if there is none."""
    return next((reason.partition(": ")[2] for reason in reasons if reason.startswith(f"{kind}:")), "")


def _missing(level: Level, stretch: View, shortfall: float) -> str:
    """By how much an open loop got less than it asked for; empty if it did not."""
    seconds = stretch.load_ns / _SECOND_NS
    if level.unit is not Unit.RATE or not seconds:
        return ""
    offered = level.load * seconds
    achieved = (figures(stretch).achieved_per_s or 0.0) * seconds
    if offered - achieved <= max(shortfall * offered, _BY_CHANCE * math.sqrt(offered)):
        return ""
    told = f"achieved {rate_text(achieved / seconds)} of {rate_text(level.load)} offered"
    grown = sum(worker.missing for worker in stretch.workers)
    if grown > shortfall * offered:
        told += f", in flight {grown:,} more than before"
    return told


def _further(undecided: Sequence[Judged], seconds: float) -> Iterator[float]:
    """For each open objective about how many seconds more would decide it."""
    for one in undecided:
        evidence = one.evidence
        if evidence is None or not evidence.requests:
            yield 0.0
        elif not evidence.further_requests:  # none would, or it is the bound that is finer than the histogram
            yield math.inf
        else:
            yield evidence.further_requests / evidence.requests * seconds


def _is_within(judged: Judged) -> bool:
    """Whether what was seen, taken as it is, keeps to the objective."""
    evidence = judged.evidence
    return evidence is not None and evidence.beyond <= evidence.allowed * evidence.requests


def _in_short(judged: Judged) -> str:
    return f"{judged.objective.expression} ({measured(judged) or judged.note})"


def rate_text(by_second: float) -> str:
    """``11,800/s``; small ones with four digits."""
    return f"{by_second:,.0f}/s" if by_second >= 1000 else f"{by_second:.4g}/s"


def load_text(load: float, unit: Unit) -> str:
    """``12,400/s``, ``96 users``."""
    if unit is Unit.RATE:
        return rate_text(load)
    return f"{load:,.0f} user{'' if load == 1 else 's'}"
