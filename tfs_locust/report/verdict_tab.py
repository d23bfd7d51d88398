"""The tab Verdict: each objective as it stands, what speaks against believing the run, and how it ended."""

from __future__ import annotations

from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.decide import Judged
from tfs_locust.judge.verdict import State, Verdict
from tfs_locust.report import units
from tfs_locust.report.capacity import capacity_of, notes
from tfs_locust.report.live import Live

Row = dict[str, str]

_ABOUT_OBJECTIVES = ("objective-failed:", "undecided:", "capacity:")
"""Reasons of a verdict that rows of their own tell."""


def verdict_rows(live: Live) -> list[Row]:
    """The verdict, the objectives, whether the run can be believed, and what the search for capacity found."""
    verdict = live.verdict or live.so_far
    if verdict is None:
        return []
    return [_verdict(live, verdict), *map(_objective, verdict.objectives), *_validity(live, verdict), *_capacity(live)]


def _verdict(live: Live, verdict: Verdict) -> Row:
    open_only = verdict.state is State.INVALID and all(one.startswith("undecided:") for one in verdict.reasons)
    because = ", for an objective is undecided" if open_only else ""
    if live.verdict is not None:
        return _row("verdict", state=verdict.state.value, why=f"exit code {int(verdict.exit_code)}{because}")
    if live.searches:
        return _row("verdict", state="open", why="the search for capacity goes on")
    return _row("verdict", state="open", why=f"{verdict.state.value} if the run ended now{because}")


def _objective(judged: Judged) -> Row:
    objective, evidence = judged.objective, judged.evidence
    sure = units.NOTHING
    if evidence is not None:
        sure = (
            f"{units.share(evidence.lower)} to {units.share(evidence.upper)}, allowed {units.share(evidence.allowed)}, "
            f"at {units.share(evidence.confidence)}"
        )
    state = judged.state.value
    if judged.state is Decision.UNDECIDED and judged.is_within is not None:
        state += ", within" if judged.is_within else ", beyond"
    return _row(
        objective.expression,
        measured=units.unbroken(units.measured(objective.metric, judged.measured)),
        bound=units.unbroken(f"{objective.operator} {units.measured(objective.metric, judged.bound)}"),
        state=state,
        sure=sure,
        budget=units.unbroken(units.share(judged.budget_left).replace("-", units.MINUS)),
        why=judged.note,
    )


def _validity(live: Live, verdict: Verdict) -> list[Row]:
    doubts = [reason for reason in verdict.reasons if not reason.startswith(_ABOUT_OBJECTIVES)]
    if not doubts:
        why = (
            "nothing speaks against what was measured"
            if live.verdict is not None
            else "nothing speaks against what was measured so far"
        )
        return [_row("validity", state="valid", why=why)]
    return [_row("validity", state="invalid", why=doubt) for doubt in doubts]


def _capacity(live: Live) -> list[Row]:
    capacity = capacity_of(dict(live.sections))
    if capacity is None:
        return []
    why = ". ".join([capacity["sentence"], *notes(capacity)])
    return [_row("capacity", state=capacity["state"], why=why)]


def _row(
    what: str,
    *,
    measured: str = "",
    bound: str = "",
    state: str = "",
    sure: str = "",
    budget: str = "",
    why: str = "",
) -> Row:
    return {
        "what": what,
        "measured": measured,
        "bound": bound,
        "state": state,
        "sure": sure,
        "budget": budget,
        "why": why,
    }
