"""Whether a canary is surely worse while the run goes on, so that its traffic is to go back to the baseline.

Three things speak against it, each decided with confidence bounds: the ratio that an objective asks of it
(``canary: p99_ratio<1.1``), an objective for its version alone (``version=2: error_rate<1%``), and its error rate, if
that is higher than the baseline's. How much slower it may be nobody knows but who writes an objective.

The question is asked again and again, and each time chance may speak. So the k-th time gets doubt / (k (k + 1)) of the
doubt allowed: these add up to the whole doubt, however often it is asked (a union bound).
"""

from __future__ import annotations

from collections.abc import Iterable

from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.canary import Finding, Pair, errors_of, fails_more
from tfs_locust.judge.slo import RATIO, Objective
from tfs_locust.judge.stability import judge_ratio
from tfs_locust.judge.verdict import describe, hopeless
from tfs_locust.measure.numbers import percent
from tfs_locust.measure.view import View


def why_give_up(
    view: View, pair: Pair, objectives: Iterable[Objective], *, confidence: float, times_asked: int
) -> tuple[str, ...]:
    """A sentence for each thing that is surely wrong with the canary; none where there is none yet. ``times_asked``
    counts from 1."""
    sure = 1 - (1 - confidence) / (times_asked * (times_asked + 1))
    own = [one for one in objectives if _is_of(one, pair)]
    ratios = [judge_ratio(view, one, [pair], sure) for one in own if one.metric == RATIO]
    broken = [one for one in ratios if one.state is Decision.FAIL]
    broken += hopeless(view, [one for one in own if one.metric != RATIO], sure)
    reasons = [describe(one) for one in broken]
    canary, baseline = (errors_of(view, pair.model, version, sure) for version in (pair.canary, pair.baseline))
    if fails_more(canary, baseline) is Finding.WORSE:
        rates = f"{percent(canary.value)} of its requests fail, {percent(baseline.value)} of the baseline's"
        reasons.append(rates)
    return tuple(reasons)


def _is_of(objective: Objective, pair: Pair) -> bool:
    scope = dict(objective.scope)
    if objective.metric != RATIO and scope.get("version") != pair.canary:
        return False
    return all(scope.get(field, value) == value for field, value in (("model", pair.model), ("version", pair.canary)))
