"""PASS, FAIL, or INVALID: what a run is worth, every reason why, and the exit codes.

The order matters. A run that cannot be believed is INVALID whatever it measured; the objectives it broke are named
among the reasons. A believable run that surely broke one objective is a FAIL, even if another is still open. An open
objective makes the run INVALID: it was too short for the question. Only what is left is a PASS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from fractions import Fraction

from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.decide import CONFIDENCE, Judged, judge_objective
from tfs_locust.judge.lifecycle import Lifecycle
from tfs_locust.judge.moments import ROLLBACK
from tfs_locust.judge.series import Series, judge_series
from tfs_locust.judge.slo import SERIES, Objective
from tfs_locust.judge.stability import judge_stability, told
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View, Worker, WorkerState


class ExitCode(IntEnum):
    """What the process ends with. Listed here and nowhere else."""

    PASS = 0  # every objective is kept, and the run can be believed
    FAIL = 1  # an objective is broken; of `compare`: a regression
    USAGE = 2  # a setting is wrong; nothing was run
    INVALID = 3  # the run cannot be believed, or was too short to decide


class State(str, Enum):
    """The verdict in one word."""

    PASS = "PASS"  # noqa: S105  # not a password
    FAIL = "FAIL"
    INVALID = "INVALID"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond these it was the generator, not the server, that was measured. None: not looked at."""

    send_lag_s: float | None = 0.010
    """Of the send lag (due to sent), at the strictest quantile that is judged, p99 at least."""
    loop_lag_s: float | None = 0.100
    """A heartbeat later than this is a standstill of the worker's event loop. Standstills may take the share of the run
    that the strictest judged quantile leaves free: 1 % for p99."""
    cpu_share: float | None = 0.95
    """Of one core: a worker is one process on one core."""
    throttled_share: float | None = 0.01
    """Of the time, by the worker's cgroup."""
    unsent_share: float | None = 0.001
    """Of the requests that were due."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run is worth."""

    state: State
    reasons: tuple[str, ...]
    """Why it is not a PASS; each begins with its kind, as in ``worker-lost: ...``. Empty for a PASS."""
    objectives: tuple[Judged, ...]
    confidence: float
    limits: Limits
    aborted: str
    """Why the run was ended before its time; else empty."""

    @property
    def exit_code(self) -> ExitCode:
        """What the process ends with."""
        return ExitCode[self.state.value]


def judge(
    view: View,
    objectives: Sequence[Objective],
    *,
    confidence: float = CONFIDENCE,
    limits: Limits | None = None,
    aborted: str = "",
    series: Mapping[str, Series] | None = None,
    lifecycle: Lifecycle | None = None,
    ended: bool = True,
) -> Verdict:
    """The verdict on a run that has ended. ``series`` are those that objectives may name, by name; ``lifecycle`` is
    what those on versions and outages are judged by.

    Of a stretch of a run that goes on (``ended`` is False) requests in flight and last reports are not asked for.

    ``aborted`` tells why the run was ended before its time, for a reason that is not in the measurement. A run that is
    ended because an objective is surely broken is not aborted in this sense: its FAIL is decided.
    """
    limits = limits or Limits()
    judged = judge_all(view, objectives, confidence, series, lifecycle)
    broken = [f"objective-failed: {describe(one)}" for one in judged if one.state is Decision.FAIL]
    marks = () if lifecycle is None else lifecycle.marks
    broken += [f"canary-given-up: {one.text}" for one in marks if one.kind == ROLLBACK]
    undecided = [f"undecided: {describe(one)}" for one in judged if one.state is Decision.UNDECIDED]
    doubts = list(_doubts(view, objectives, limits, ended=ended))
    if aborted:
        doubts.append(f"aborted: {aborted}")
    if not broken and not _ended_well(view):
        doubts.insert(0, "no-data: no request ended well after the warm-up")
    if doubts:
        state, reasons = State.INVALID, [*doubts, *broken, *undecided]
    elif broken:
        state, reasons = State.FAIL, [*broken, *undecided]
    else:
        state, reasons = (State.INVALID if undecided else State.PASS), undecided
    return Verdict(state, tuple(reasons), judged, confidence, limits, aborted)


def judge_all(
    view: View,
    objectives: Iterable[Objective],
    confidence: float = CONFIDENCE,
    series: Mapping[str, Series] | None = None,
    lifecycle: Lifecycle | None = None,
) -> tuple[Judged, ...]:
    """What is known of each objective; whether the run can be believed is another question."""

    def judged(objective: Objective) -> Judged:
        if objective.metric == SERIES:
            return judge_series(objective, series or {})
        if objective.is_of_stability:
            return judge_stability(view, objective, lifecycle, confidence)
        return judge_objective(view, objective, confidence)

    return tuple(map(judged, objectives))


def hopeless(view: View, objectives: Sequence[Objective], confidence: float = CONFIDENCE) -> tuple[Judged, ...]:
    """The objectives that a run in progress has surely broken: reason enough to end it.

    It is asked again and again, and each time chance may speak, so a hundredth of the doubt is allowed each time. Means
    and rates are not looked at: they may still come right.
    """
    patient = 1 - (1 - confidence) / 100
    lasting = [
        o
        for o in objectives
        if o.metric == "error_rate" or (o.is_time and (o.statistic == "max" or isinstance(o.statistic, Fraction)))
    ]
    judged = (judge_objective(view, objective, patient) for objective in lasting)
    return tuple(one for one in judged if one.state is Decision.FAIL)


def describe(judged: Judged) -> str:
    """An objective and its measured value in one line."""
    objective = judged.objective
    if judged.measured is None:
        return f"{objective.expression} ({judged.note})"
    return f"{objective.expression}, measured {measured(judged)}" + (f" ({judged.note})" if judged.note else "")


def measured(judged: Judged) -> str:
    """The measured value with its unit; empty if there is none."""
    if judged.measured is None:
        return ""
    if judged.objective.is_of_stability:
        return told(judged.objective.metric, judged.measured)
    if judged.objective.is_time:
        return f"{judged.measured * 1e3:.4g} ms"
    if judged.objective.metric == "error_rate":
        return f"{judged.measured * 100:.4g} %"
    return f"{judged.measured:.4g}" if judged.objective.metric == SERIES else f"{judged.measured:,.1f}/s"


def _ended_well(view: View) -> bool:
    return any(cell.count for key, cell in view.judged().items() if key.key.outcome is Outcome.OK)


def _doubts(view: View, objectives: Sequence[Objective], limits: Limits, *, ended: bool) -> Iterator[str]:
    """Every reason not to believe what was measured."""
    if not view.workers:
        yield "no-data: no worker ever reported"
    quantiles = (o.statistic for o in objectives if o.is_time and isinstance(o.statistic, Fraction))
    strictest = max([Fraction(99, 100), *quantiles])
    for worker in view.workers:
        yield from _incomplete(worker) if ended else _unheard(worker)
        yield from _limited(worker, strictest, view.load_ns, limits)
    yield from _unsent(view, limits)


def _unsent(view: View, limits: Limits) -> Iterator[str]:
    """Requests that were due and that nobody sent: what was measured is another load than the one asked for."""
    judged = view.judged()
    unsent = view.abandoned + sum(cell.count for key, cell in judged.items() if key.key.outcome is Outcome.UNSENT)
    due = view.abandoned + sum(cell.count for cell in judged.values())
    if unsent and limits.unsent_share is not None and unsent > limits.unsent_share * due:
        gone = f" ({view.abandoned:,} of them fell to workers that are gone, or to none)" if view.abandoned else ""
        yield (
            f"unsent: of {due:,} requests that were due {unsent:,} are not known to have been sent{gone}: "
            f"{unsent / due:.2%}, the limit is {limits.unsent_share:.2%}"
        )
    if view.scheduled is not None and view.offered > view.scheduled:
        yield f"schedule: {view.offered:,} requests were come to, where {view.scheduled:,} were due"


def _incomplete(worker: Worker) -> Iterator[str]:
    match worker.state:
        case WorkerState.COMPLETE:
            if worker.missing:
                yield f"drain-unfinished: worker {worker.name} ended with {worker.missing:,} requests still in flight"
        case WorkerState.MISSING:
            yield f"worker-missing: {worker.name} never reported"
        case WorkerState.LOST:
            yield (
                f"worker-lost: {worker.name} is gone without its last report; {worker.missing:,} requests it had sent "
                f"are known to be missing, and all that it sent after report {worker.sequence}"
            )
        case WorkerState.RUNNING | WorkerState.LATE:
            yield (
                f"drain-unfinished: worker {worker.name} has not given its last report; {worker.missing:,} of its "
                "requests were in flight"
            )


def _unheard(worker: Worker) -> Iterator[str]:
    """What is missing of a worker while the run goes on."""
    match worker.state:
        case WorkerState.MISSING | WorkerState.LOST:
            yield from _incomplete(worker)
        case WorkerState.LATE:
            yield f"generator-limited: worker {worker.name} is late with its reports"


def _limited(worker: Worker, strictest: Fraction, load_ns: int, limits: Limits) -> Iterator[str]:
    """Signs that the generator could not keep up."""
    health = worker.health
    lag_ns = health.send_lag.quantile(strictest) or 0
    if limits.send_lag_s is not None and lag_ns > limits.send_lag_s * 1e9:
        yield (
            f"generator-limited: worker {worker.name} sent late: the send lag's p{float(strictest * 100):g} is "
            f"{lag_ns / 1e6:.4g} ms, the limit {limits.send_lag_s * 1e3:g} ms"
        )
    if limits.loop_lag_s is not None and load_ns:
        bound_ns = limits.loop_lag_s * 1e9
        still_ns = sum(late * beats for late, beats in health.loop_lag.buckets.items() if late > bound_ns)
        free = 1 - strictest
        if still_ns > free * load_ns:
            yield (
                f"generator-limited: worker {worker.name}'s event loop stood still for {still_ns / 1e9:.3g} s, "
                f"{still_ns / load_ns * 100:.4g} % of the run, where {float(free * 100):.4g} % is the limit"
            )
    for measured, limit, what in (
        (health.cpu_share, limits.cpu_share, "used {:.0%} of a core, the limit is {:.0%}"),
        (
            health.throttled_share,
            limits.throttled_share,
            "was held back by its cgroup for {:.1%} of the time, limit {:.1%}",
        ),
    ):
        if measured is not None and limit is not None and measured > limit:
            yield f"generator-limited: worker {worker.name} {what.format(measured, limit)}"
