"""What the levels of a search say together: between which loads the capacity lies, what limits it, how to tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tfs_locust.judge.level import (
    DOUBT,
    GENERATOR,
    NO_DATA,
    THROUGHPUT,
    LevelResult,
    Purpose,
    Unit,
    load_text,
    rate_text,
)
from tfs_locust.judge.slo import Objective
from tfs_locust.judge.verdict import State

MAX_LEVEL = "max_level"
"""What limits the answer where the largest load that may be tried passed."""
NOTHING_PASSED = "nothing-passed"
TIME = "time"
LEVELS = "levels"
CONFIRMATIONS = "confirmations"
INTERRUPTED = "interrupted"
"""What a search may run out of."""

_LACKED = {
    TIME: "the time was over",
    LEVELS: "no more levels were allowed",
    INTERRUPTED: "the search was interrupted",
    CONFIRMATIONS: "too many levels that had passed did not pass again",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a search."""

    state: State
    """PASS: there is a number, and it is confirmed. FAIL: no load passes. INVALID: all else."""
    value: float | None
    """The largest load that keeps to the objectives. None if it was not found, or if it was not the server's limit."""
    unit: Unit
    at_least: float | None
    """The largest load that passed, also where it is not the capacity."""
    limited_by: str
    """What the load above fails: an objective as it was written, or a word of :mod:`tfs_locust.judge.level`; else
    :data:`MAX_LEVEL`, :data:`NOTHING_PASSED`, :data:`TIME` or :data:`LEVELS`."""
    best: LevelResult | None
    """The newest measurement of ``at_least``."""
    bound: LevelResult | None
    """The lowest level that did not pass."""
    confirmed: bool
    """Whether the best level passed twice."""
    resolution: float
    """As it was asked for."""
    reached: float | None
    """How far the bound is above the best level, as a share."""
    objectives: tuple[str, ...]
    sentence: str
    levels: tuple[LevelResult, ...]


def bracket(results: Sequence[LevelResult]) -> tuple[LevelResult | None, LevelResult | None]:
    """The best level and the lowest that did not pass.

    A load at which any measurement did not pass has not passed. One that was climbed over undecided, because a higher
    one would decide it, may be the best, and is then still to be measured.
    """
    results = [one for at, one in enumerate(results) if not is_first_doubt(results[: at + 1])]
    failed = min((one for one in results if _has_failed(one)), key=lambda one: one.level.load, default=None)
    below = [one for one in results if failed is None or one.level.load < failed.level.load]
    best = max(below, key=lambda one: (one.level.load, one.passed, one.begin_s), default=None)
    return best, failed


def _has_failed(result: LevelResult) -> bool:
    """Whether the capacity is taken to be below it."""
    climbed_over = result.judgement.promising and result.level.purpose is Purpose.GROWTH
    return not (result.passed or climbed_over)


def is_first_doubt(results: Sequence[LevelResult]) -> bool:
    """Whether the last of them cannot be believed, for the first time at its load: once more may be better.

    A generator that was late for a moment, on a machine that it shares, is not yet the limit.
    """
    *earlier, last = results
    unbelievable = {DOUBT, GENERATOR}
    return last.judgement.limited_by in unbelievable and not any(
        one.level.load == last.level.load and one.judgement.limited_by in unbelievable for one in earlier
    )


def is_confirmed(best: LevelResult, results: Sequence[LevelResult]) -> bool:
    """Whether this level passed a confirmation."""
    return any(
        one.passed and one.level.purpose is Purpose.CONFIRMATION and one.level.load == best.level.load
        for one in results
    )


def answer(
    results: Sequence[LevelResult], unit: Unit, resolution: float, objectives: Sequence[Objective], lacked: str
) -> Answer:
    """The answer of a search that is over. ``lacked`` is what it ran out of; empty if it came to its end."""
    best, bound = bracket(results)
    passed = max(
        (one for one in results if one.passed and (bound is None or one.level.load < bound.level.load)),
        key=lambda one: (one.level.load, one.begin_s),
        default=None,
    )
    undecided = passed is not best  # only by climbing over it: it never passed
    at_least = None if passed is None else passed.level.load
    confirmed = passed is not None and is_confirmed(passed, results)
    limited_by = _limited_by(passed, bound, "" if lacked == CONFIRMATIONS else lacked)
    value = None if limited_by in {GENERATOR, DOUBT} or undecided else at_least
    if value is not None and confirmed:
        state = State.PASS
    elif limited_by == NOTHING_PASSED and bound is not None and bound.judgement.state is State.FAIL:
        state = State.FAIL
    else:
        state = State.INVALID
    told = Answer(
        state=state,
        value=value,
        unit=unit,
        at_least=at_least,
        limited_by=limited_by,
        best=passed,
        bound=bound,
        confirmed=confirmed,
        resolution=resolution,
        reached=bound.level.load / passed.level.load - 1 if passed and bound else None,
        objectives=tuple(one.expression for one in objectives),
        sentence="",
        levels=tuple(results),
    )
    return replace(told, sentence=_sentence(told, lacked))


def _limited_by(passed: LevelResult | None, bound: LevelResult | None, lacked: str) -> str:
    above = bound.judgement.limited_by if bound is not None else ""
    if above in {GENERATOR, DOUBT}:
        return above
    if lacked:
        return lacked
    if passed is None:
        return NOTHING_PASSED
    return above or MAX_LEVEL


def _sentence(answer: Answer, lacked: str) -> str:
    inside = " and ".join(answer.objectives)
    parts = []
    if answer.best is None:
        parts.append(f"no load was found that keeps to {inside}")
    else:
        load = _load(answer.best)
        parts.append(f"carries {'' if answer.value is not None else 'at least '}{load} inside {inside}")
    if answer.bound is not None:
        parts.append(_above(answer.bound))
    elif answer.limited_by == MAX_LEVEL:
        parts.append("more was not allowed")
    if answer.reached is not None:
        parts.append(f"resolution {float(f'{answer.reached * 100:.2g}'):g} %")
    if lacked:
        parts.append(_LACKED[lacked])
    if answer.best is not None and not answer.confirmed:
        parts.append("not confirmed")
    return "; ".join(parts)


def _load(result: LevelResult) -> str:
    load = load_text(result.level.load, result.level.unit)
    if result.level.unit is Unit.RATE or result.figures.achieved_per_s is None:
        return load
    return f"{load} ({rate_text(result.figures.achieved_per_s)})"


def _above(bound: LevelResult) -> str:
    """What the level above does wrong."""
    load, judgement = load_text(bound.level.load, bound.level.unit), bound.judgement
    if judgement.limited_by == GENERATOR:
        return f"at {load} the generator was the limit: {judgement.why}"
    if judgement.limited_by == THROUGHPUT:
        return f"{load} is too much: {judgement.why}"
    if judgement.limited_by in {DOUBT, NO_DATA}:
        return f"{load} was not measured: {judgement.why}"
    if judgement.state is State.FAIL:
        return f"{load} fail{'' if bound.level.unit is Unit.USERS and bound.level.load != 1 else 's'} {judgement.why}"
    return f"{load} leave{'' if bound.level.unit is Unit.USERS and bound.level.load != 1 else 's'} open {judgement.why}"
