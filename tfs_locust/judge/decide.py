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
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tfs_locust.judge.binomial import Decision, decide, lower_bound, requests_to_decide, upper_bound
from tfs_locust.judge.slo import Objective
from tfs_locust.measure.cell import RUN, Cell
from tfs_locust.measure.histogram import Beyond, Histogram, merged
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

    @property
    def is_within(self) -> bool | None:
        """Whether what was measured keeps to the objective, however sure that is; None where nothing was."""
        if self.state is not Decision.UNDECIDED:
            return self.state is Decision.PASS
        return None if self.evidence is None else self.evidence.beyond <= self.evidence.allowed * self.evidence.requests

    @property
    def budget_left(self) -> float | None:
        """The part that is left of the requests that may be beyond the bound: 1 at first, below 0 when more were.

        None where nothing was measured, or none may be beyond.
        """
        allowed = 0.0 if self.evidence is None else self.evidence.allowed * self.evidence.requests
        return None if self.evidence is None or not allowed else 1 - self.evidence.beyond / allowed


def judge_objective(view: View, objective: Objective, confidence: float = CONFIDENCE) -> Judged:
    """What the view says about the objective."""
    cells = {key: cell for key, cell in view.judged().items() if objective.covers(key.key)}
    ok = {key: cell for key, cell in cells.items() if key.key.outcome is Outcome.OK}
    requests = sum(cell.count for cell in cells.values())
    failed = requests - sum(cell.count for cell in ok.values())
    if not requests:
        return Judged(objective, Decision.UNDECIDED, None, _in_report_units(objective), None, _no_data(view, objective))
    if objective.metric == "error_rate":
        evidence, state = _evidence(Beyond(failed, failed), requests, objective.bound, confidence)
        note = "" if state is not Decision.UNDECIDED else why_open(evidence)
        return Judged(objective, state, failed / requests, float(objective.bound), evidence, note)
    if not objective.is_time:
        while_on = [cell for key, cell in ok.items() if key.phase == RUN]
        return _judge_rate(objective, while_on, view.load_ns)
    times = merged(cell.service if objective.metric == "service" else cell.response for cell in ok.values())
    if isinstance(objective.statistic, Fraction):
        return _judge_quantile(objective, objective.statistic, times, failed, confidence)
    return _judge_time(objective, times)


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
        notes.append(why_open(evidence))
    measured = None if measured_ns is None else measured_ns / _SECOND_NS
    return Judged(objective, state, measured, _in_report_units(objective), evidence, "; ".join(notes))


def _judge_time(objective: Objective, times: Histogram) -> Judged:
    if not times.count:  # nothing ended well, which breaks the objective
        return Judged(objective, Decision.FAIL, None, _in_report_units(objective), None, "no request ended well")
    is_max = objective.statistic == "max"
    measured_ns = Fraction(times.maximum_ns if is_max else Fraction(times.total_ns, times.count))
    return _judge_number(objective, measured_ns, float(measured_ns / _SECOND_NS))


def _judge_rate(objective: Objective, while_on: Sequence[Cell], load_ns: int) -> Judged:
    if not load_ns:
        return Judged(objective, Decision.UNDECIDED, None, _in_report_units(objective), None, "no time passed")
    amount = sum(cell.count if objective.metric == "throughput" else cell.rows for cell in while_on)
    by_second = Fraction(amount * _SECOND_NS, load_ns)
    return _judge_number(objective, by_second, float(by_second))


def _judge_number(objective: Objective, measured: Fraction, shown: float) -> Judged:
    """``measured`` is in the objective's own unit, and exact."""
    kept = _COMPARE[objective.operator](measured, objective.bound)
    return Judged(objective, Decision.PASS if kept else Decision.FAIL, shown, _in_report_units(objective), None, "")


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


def share_evidence(bad: int, requests: int, allowed: Fraction, confidence: float) -> tuple[Evidence, Decision]:
    """What a count says about the share of bad ones, of which ``allowed`` may be, and what it decides."""
    return _evidence(Beyond(bad, bad), requests, allowed, confidence)


def why_open(evidence: Evidence) -> str:
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
