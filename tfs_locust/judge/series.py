"""Objectives on a named series that another source has of the server, such as its containers' CPU.

**Every** value in the measured window must keep to the bound, so the worst one is judged: the highest of ``cpu<0.8``,
the lowest of ``free>=0.2``. Who means an average asks for one: ``avg_over_time(...)`` in the query. A series without a
value decides nothing, and a run with an open objective is INVALID.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass

from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.decide import Judged
from tfs_locust.judge.slo import Objective

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Series:
    """What there is of one series in the measured window."""

    values: tuple[float, ...] = ()
    reason: str = "no value"
    """Why there is no value."""


def judge_series(objective: Objective, series: Mapping[str, Series]) -> Judged:
    """What the series that the objective names says about it."""
    found = series.get(str(objective.statistic), Series(reason="this run asked for no such series"))
    bound = float(objective.bound)
    if not found.values:
        return Judged(objective, Decision.UNDECIDED, None, bound, None, found.reason)
    worst = max(found.values) if objective.operator.startswith("<") else min(found.values)
    kept = _COMPARE[objective.operator](worst, objective.bound)
    return Judged(objective, Decision.PASS if kept else Decision.FAIL, worst, bound, None, "")
