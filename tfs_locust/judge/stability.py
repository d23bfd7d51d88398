"""Whether a run keeps to an objective on versions, outages or availability.

* **availability** is the share of requests that were due and were served, decided with a binomial bound as an error
  rate is; what no worker came to counts against it, where there is no scope. **availability_by_second** is compared as
  it is: seconds are not independent of each other, and a bound for independent ones would be a lie.
* **switch_time**, **model_load_time** and **recovery_time** are kept if *every* switch, load or outage keeps to them.
  One that did not come off breaks them; one that the run was too short for leaves them open, and so does the time of a
  switch that was found by answers alone: when it was triggered nobody knows.
* **switch_success** is compared as it is: no run has the hundreds of switches that would prove 99.5 %. The note says
  what so many switches prove.
* The ratio of a **canary** is decided by its confidence bounds: kept if even the upper one is within, broken if even
  the lower one is not.

Nothing to judge is never a pass: a run without a switch says nothing of switches.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from tfs_locust.judge.binomial import Decision, lower_bound
from tfs_locust.judge.canary import Canary, Pair, Ratio, compared_at
from tfs_locust.judge.decide import Judged, share_evidence, why_open
from tfs_locust.judge.lifecycle import Lifecycle
from tfs_locust.judge.slo import RATIO, Objective
from tfs_locust.judge.switch import Switch
from tfs_locust.measure.numbers import near_one, number, percent
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_TIMES = {"switch_time", "model_load_time", "recovery_time"}
_NS = 1_000_000_000
_UNTRIGGERED = "nobody told when it was triggered: it was found by answers alone, and took this long at least"
_UNSEEN = "versions and outages were not looked at"


def judge_stability(view: View, objective: Objective, lifecycle: Lifecycle | None, confidence: float) -> Judged:
    """What was found says this about the objective. Without a ``lifecycle`` only availability by request is known."""
    if objective.metric == "availability":
        return _availability(view, objective, confidence)
    if lifecycle is None:
        return _open(objective, _UNSEEN)
    if objective.metric == "availability_by_second":
        share = lifecycle.availability.by_second
        return _open(objective, "no whole second of load") if share is None else _plain(objective, share)
    if objective.metric == RATIO:
        return judge_ratio(view, objective, lifecycle.canaries, confidence)
    if objective.metric == "recovery_time":
        return _recovery(objective, lifecycle)
    switches = [one for one in lifecycle.switches if _covers(objective, one.model, one.to_version)]
    if not switches:
        return _open(objective, "no switch of a version was seen" + (" in its scope" if objective.scope else ""))
    if objective.metric == "switch_success":
        return _success(objective, switches, confidence)
    return _switch_times(objective, switches)


def told(metric: str, value: float) -> str:
    """A measured value in words."""
    if metric == RATIO:
        return number(value)
    return f"{number(value)} s" if metric in _TIMES else near_one(value)


def _availability(view: View, objective: Objective, confidence: float) -> Judged:
    cells = [(key.key.outcome, cell.count) for key, cell in view.judged().items() if objective.covers(key.key)]
    due = sum(count for _, count in cells) + (0 if objective.scope else view.abandoned)
    served = sum(count for outcome, count in cells if outcome is Outcome.OK)
    if not due:
        return _open(objective, "no request was due" + (" in its scope" if objective.scope else ""))
    allowed = 1 - objective.bound
    evidence, state = share_evidence(due - served, due, allowed, confidence)
    note = why_open(evidence) if state is Decision.UNDECIDED else ""
    return Judged(objective, state, served / due, float(objective.bound), evidence, note)


def _success(objective: Objective, switches: Sequence[Switch], confidence: float) -> Judged:
    ended = [one for one in switches if one.success is not None]
    failed = [one for one in ended if not one.success]
    if not ended:
        return _open(objective, switches[0].why)
    share = (len(ended) - len(failed)) / len(ended)
    judged = _plain(objective, share)
    if len(ended) < len(switches) and judged.state is Decision.PASS:
        return _open(objective, next(one.why for one in switches if one.success is None), share)
    proved = lower_bound(len(ended) - len(failed), len(ended), confidence)
    why = "".join(f"; {one.why}" for one in failed[:1])
    note = (
        f"{len(ended) - len(failed)} of {len(ended)} switches came off, which proves {percent(proved)} "
        f"at {percent(confidence)} confidence{why}"
    )
    return Judged(objective, judged.state, share, judged.bound, None, note)


def _switch_times(objective: Objective, switches: Sequence[Switch]) -> Judged:
    loads = objective.metric == "model_load_time"
    taken = [(one.load_s if loads else one.settled_s, one) for one in switches]
    missing = [one for seconds, one in taken if seconds is None]
    failed = [one for one in missing if one.success is False]
    unseen = "the server was not asked when it was available"
    return _slowest(
        objective,
        [seconds for seconds, _ in taken if seconds is not None],
        broken=[one.why for one in failed],
        still_open=[
            *(one.why or unseen for one in missing if one not in failed),
            *(_UNTRIGGERED for _, one in taken if one.found_by == "answers" and not loads),
        ],
    )


def _recovery(objective: Objective, lifecycle: Lifecycle) -> Judged:
    if not lifecycle.outages:
        return _open(objective, "no outage was seen")
    bound_s = float(objective.bound) / _NS
    lasting = [one for one in lifecycle.outages if one.recovery_s is None]
    late = [f"not recovered {one.watched_s:.3g} s after its start" for one in lasting if one.watched_s >= bound_s]
    early = [f"the run ended {one.watched_s:.3g} s after its start" for one in lasting if one.watched_s < bound_s]
    return _slowest(
        objective,
        [one.recovery_s for one in lifecycle.outages if one.recovery_s is not None],
        broken=late,
        still_open=early,
    )


def _slowest(
    objective: Objective, seconds: Sequence[float], *, broken: Sequence[str], still_open: Sequence[str]
) -> Judged:
    """Every one is to keep to the bound, so the slowest is judged, and those of which there is no time with it."""
    slowest = max(seconds, default=None)
    bound_s = float(objective.bound) / _NS
    kept = slowest is None or _COMPARE[objective.operator](slowest, bound_s)
    if broken or not kept:
        return Judged(objective, Decision.FAIL, slowest, bound_s, None, "; ".join(broken[:1]))
    if still_open:
        return _open(objective, still_open[0], slowest)
    return Judged(objective, Decision.PASS, slowest, bound_s, None, "")


def judge_ratio(view: View, objective: Objective, pairs: Iterable[Canary | Pair], confidence: float) -> Judged:
    """Whether all of these pairs that the objective is about keep to its ratio."""
    canaries = [one for one in pairs if _covers(objective, one.model, one.canary)]
    if not canaries:
        return _open(objective, "no two versions of a model served side by side")
    ratios = [(compared_at(view, one, objective.statistic, confidence), one) for one in canaries]
    states = [_state(objective, ratio) for ratio, _ in ratios]
    worst = max((ratio.value for ratio, _ in ratios if ratio.value is not None), default=None)
    state = next((one for one in (Decision.FAIL, Decision.UNDECIDED) if one in states), Decision.PASS)
    note = _of_canary(*ratios[states.index(state)], confidence)
    return Judged(objective, state, worst, float(objective.bound), None, note)


def _state(objective: Objective, ratio: Ratio) -> Decision:
    compare = _COMPARE[objective.operator]
    if ratio.upper is not None and compare(ratio.upper, objective.bound):
        return Decision.PASS
    if ratio.lower is not None and not compare(ratio.lower, objective.bound):
        return Decision.FAIL
    return Decision.UNDECIDED


def _of_canary(ratio: Ratio, canary: Canary | Pair, confidence: float) -> str:
    versions = f"version {canary.canary} by version {canary.baseline} of {canary.model}"
    if ratio.lower is None and ratio.upper is None:
        return f"{versions}: too few requests"
    lower, upper = ("?" if one is None else number(one) for one in (ratio.lower, ratio.upper))
    return f"{versions}: {lower} to {upper} at {percent(confidence)} confidence"


def _covers(objective: Objective, model: str, version: str) -> bool:
    return all(value == {"model": model, "version": version}[field] for field, value in objective.scope)


def _plain(objective: Objective, measured: float) -> Judged:
    kept = _COMPARE[objective.operator](measured, float(objective.bound))
    return Judged(objective, Decision.PASS if kept else Decision.FAIL, measured, float(objective.bound), None, "")


def _open(objective: Objective, note: str, measured: float | None = None) -> Judged:
    bound = float(objective.bound / _NS) if objective.metric in _TIMES else float(objective.bound)
    return Judged(objective, Decision.UNDECIDED, measured, bound, None, note)
