"""Whether a view keeps to one objective, and how sure that is.

* A **quantile** is judged by a count: ``p99<100ms`` says that at most 1 % of the requests are beyond 100 ms. A request
  that failed or was never sent has no answer, so it is beyond every bound: a server cannot pass by failing fast.
* **error_rate** is the share of requests that did not end well, unsent ones included.
* Both are shares of a count, so both are decided with a binomial confidence bound: PASS if even the upper bound of the
  share is allowed, FAIL if even the lower one is not, else UNDECIDED.
* **mean** and **max** are of the requests that ended well. **throughput** and **rows** are what ended well while load
  was on, by the time it was on. They are compared as they are.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from fractions import Fraction

from tfs_locust.judge.binomial import Decision, decide, lower_bound, requests_to_decide, upper_bound
from tfs_locust.judge.slo import Objective
from tfs_locust.measure.cell import RUN, Cell
from tfs_locust.measure.histogram import Beyond, Histogram
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View

CONFIDENCE = 0.95

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """The count that decided a share."""

    requests: int
    beyond: int
    """How many broke the bound: were too slow, or failed."""
    allowed: float
    """The share that may."""
    lower: float
    """Confidence bounds of the true share."""
    upper: float
    confidence: float
    further_requests: int | None
    """About how many more would decide, at this share; 0 if it is decided, None if no number would."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One objective and what became of it."""

    objective: Objective
    state: Decision
    measured: float | None
    """In seconds, as a share, or by the second; None if there is no such number."""
    bound: float
    """In the same unit."""
    evidence: Evidence | None
    """Of quantiles and error_rate."""
    note: str
    """Why there is no number, or no decision; else empty."""


def judge_objective(view: View, objective: Objective, confidence: float = CONFIDENCE) -> Judged:
    """What the view says about the objective."""
    cells = {key: cell for key, cell in view.judged().items() if objective.covers(key.key)}
    ok, bad, ok_while_on = Cell(), Cell(), Cell()
    for key, cell in cells.items():
        (ok if key.key.outcome is Outcome.OK else bad).merge(cell)
        if key.key.outcome is Outcome.OK and key.phase == RUN:
            ok_while_on.merge(cell)
    if not ok.count + bad.count:
        return Judged(objective, Decision.UNDECIDED, None, _in_report_units(objective), None, _no_data(view, objective))
    times = ok.service if objective.metric == "service" else ok.response
    if isinstance(objective.statistic, Fraction):
        return _judge_quantile(objective, objective.statistic, times, bad.count, confidence)
    if objective.metric == "error_rate":
        evidence, state = _evidence(Beyond(bad.count, bad.count), ok.count + bad.count, objective.bound, confidence)
        share = bad.count / (ok.count + bad.count)
        note = "" if state is not Decision.UNDECIDED else _why_open(evidence)
        return Judged(objective, state, share, float(objective.bound), evidence, note)
    return _judge_number(objective, times, ok_while_on, view.load_ns)


def _judge_quantile(
    objective: Objective, quantile: Fraction, times: Histogram, failed: int, confidence: float
) -> Judged:
    # durations are whole ns: one is < 1.5 ns exactly if it is < 2, and <= 1.5 exactly if it is <= 1
    inclusive = objective.operator == "<"
    bound_ns = math.ceil(objective.bound) if inclusive else math.floor(objective.bound)
    slow = times.beyond(bound_ns, inclusive=inclusive)
    requests = times.count + failed
    beyond = Beyond(slow.surely + failed, slow.possibly + failed)
    evidence, state = _evidence(beyond, requests, 1 - quantile, confidence)
    measured_ns = times.at_rank(math.ceil(quantile * requests))
    notes = []
    if measured_ns is None:
        notes.append(f"{failed:,} of {requests:,} requests failed, and these are beyond every bound")
    if state is Decision.UNDECIDED:
        notes.append(_why_open(evidence))
    measured = None if measured_ns is None else measured_ns / _SECOND_NS
    return Judged(objective, state, measured, _in_report_units(objective), evidence, "; ".join(notes))


def _judge_number(objective: Objective, times: Histogram, ok_while_on: Cell, load_ns: int) -> Judged:
    bound = _in_report_units(objective)
    measured: Fraction | None = None  # in the objective's own unit, exact
    if not objective.is_time:
        amount = ok_while_on.count if objective.metric == "throughput" else ok_while_on.rows
        if load_ns:
            measured = Fraction(amount * _SECOND_NS, load_ns)
        missing, shown = "no time passed", measured
    else:
        if times.count:
            measured = Fraction(
                times.maximum_ns if objective.statistic == "max" else Fraction(times.total_ns, times.count)
            )
        missing, shown = "no request ended well", None if measured is None else measured / _SECOND_NS
    if measured is None or shown is None:
        # nothing ended well: that breaks the objective; no time at all says nothing
        state = Decision.FAIL if objective.is_time else Decision.UNDECIDED
        return Judged(objective, state, None, bound, None, missing)
    kept = _COMPARE[objective.operator](measured, objective.bound)
    return Judged(objective, Decision.PASS if kept else Decision.FAIL, float(shown), bound, None, "")


def _evidence(beyond: Beyond, requests: int, allowed: Fraction, confidence: float) -> tuple[Evidence, Decision]:
    share = float(allowed)
    with_doubtful = decide(beyond.possibly, requests, share, confidence)
    without = decide(beyond.surely, requests, share, confidence)
    state = with_doubtful if with_doubtful is without else Decision.UNDECIDED
    further = 0 if state is not Decision.UNDECIDED else requests_to_decide(beyond.possibly, requests, share, confidence)
    evidence = Evidence(
        requests=requests,
        beyond=beyond.possibly,
        allowed=share,
        lower=lower_bound(beyond.surely, requests, confidence),
        upper=upper_bound(beyond.possibly, requests, confidence),
        confidence=confidence,
        further_requests=further,
    )
    return evidence, state


def _why_open(evidence: Evidence) -> str:
    """An undecided share, in words."""
    allowed, lower, upper, confidence = (
        f"{share * 100:.4g} %" for share in (evidence.allowed, evidence.lower, evidence.upper, evidence.confidence)
    )
    counted = (
        f"{evidence.beyond:,} of {evidence.requests:,} requests are beyond, {allowed} may be; "
        f"the true share is {lower} to {upper} at {confidence} confidence"
    )
    if evidence.further_requests is None:
        return f"{counted}; more requests at this share would not decide it"
    if evidence.further_requests == 0:
        return f"{counted}; a bound of at most three significant digits would decide it"
    return f"{counted}; about {evidence.further_requests:,} more requests at this share would decide it"


def _no_data(view: View, objective: Objective) -> str:
    """Nothing is in scope: say what is."""
    if not objective.scope:
        return "no data"
    seen = {key.key for key in view.judged()}
    there = "; ".join(
        f"{field} is {', '.join(sorted({str(getattr(key, field)) for key in seen})) or 'nothing'}"
        for field, _ in objective.scope
    )
    return f"no data in its scope: in this run {there}"


def _in_report_units(objective: Objective) -> float:
    return float(objective.bound / _SECOND_NS) if objective.is_time else float(objective.bound)
