"""The live numbers of a run for Prometheus: a collector that makes its series at scrape time and holds none itself.

A process that leads a run shows the whole of it, as ``tfs_locust_...``; a worker shows its own part as
``tfs_locust_worker_...``. So no sum over all processes counts anything twice. Counters count what objectives see, as
the report does: what the warm-up sent has counters of its own. docs/metrics.md lists every series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.decide import Judged
from tfs_locust.judge.slo import Objective
from tfs_locust.judge.verdict import State
from tfs_locust.measure.cell import WARMUP, Cell
from tfs_locust.measure.histogram import Histogram
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.measure.view import View, WorkerState
from tfs_locust.report.live import Live

RUN = "tfs_locust"
"""Prefix of the series of a whole run."""
WORKER = "tfs_locust_worker"
"""Prefix of the series of one worker process."""
MOST_KEYS = 200
"""So many combinations of scenario, protocol, model, version and outcome have series of their own. What comes later in
a run is put together as ``other``: a server with ten thousand versions must not make ten thousand series."""
MOST_NAMES = 50
"""And so many of plain Locust users, which know no model: names of many pages leave room for what is measured."""

_OTHER = "other"
_LABELS = Key._fields
_MS = 1_000_000
_TIMES_NS = tuple(
    round(ms * _MS)
    for ms in (
        *(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500),
        *(1_000, 2_500, 5_000, 10_000, 30_000, 60_000),
    )
)
"""Few, for each is a line of a page for each key; the bounds of objectives are added."""
_LAGS_NS = tuple(round(ms * _MS) for ms in (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000))


class Exporter(Collector):
    """Asks ``look`` for the run at each scrape; register it with a registry of ``prometheus_client``."""

    def __init__(self, look: Callable[[], Live | None], prefix: str = RUN) -> None:
        """``look`` gives None as long as there is no run."""
        self._look = look
        self._prefix = prefix
        self._run_id = ""
        self._known: set[Key] = set()
        """The keys that have series of their own, in the run at hand."""
        self._names = 0
        """How many of these know no model."""

    def describe(self) -> Iterator[Metric]:
        """Nothing: names depend on no run, but to find them out would take a look at one."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The series, as they are now."""
        live = self._look()
        if live is None:
            return
        if live.run_id != self._run_id:
            self._run_id, self._known, self._names = live.run_id, set(), 0
        view = live.view
        yield from self._requests(view, live.asked)
        yield from self._load(live)
        yield from self._generator(view)
        if self._prefix == RUN:
            yield from self._whole_run(live)
        yield self._info("run" if self._prefix == RUN else "", "What is run, and where", live.info)

    def _requests(self, view: View, objectives: Sequence[Objective]) -> Iterator[Metric]:
        judged, warmup = self._by_key(view)
        requests = self._counter("requests", "Requests that ended or were given up unsent, after the warm-up", _LABELS)
        warming = self._counter("warmup_requests", "Requests of the warm-up, which no objective sees", _LABELS)
        rows = self._counter("rows", "Rows in the requests", _LABELS)
        sent = self._counter("request_bytes", "Bytes of the requests' bodies", _LABELS)
        received = self._counter("response_bytes", "Bytes of the answers' bodies", _LABELS)
        for key, cell in warmup.items():
            warming.add_metric(key, cell.count)
        for key, cell in judged.items():
            requests.add_metric(key, cell.count)
            rows.add_metric(key, cell.rows)
            sent.add_metric(key, cell.request_bytes)
            received.add_metric(key, cell.response_bytes)
        yield from (requests, warming, rows, sent, received)
        edges = _Edges(sorted({*_TIMES_NS, *(round(one.bound) for one in objectives if one.is_time)}))
        timed = {key: cell for key, cell in judged.items() if key.outcome is not Outcome.UNSENT}
        # one made and handed on after the other: whoever asks may have other things to do in between
        for name, text, times_of in (
            ("response_time", "From when a request was due until its end", attrgetter("response")),
            ("service_time", "From when a request was sent until its end", attrgetter("service")),
        ):
            times = self._histogram(name, text, _LABELS)
            for key, cell in timed.items():
                _add(times, dict(zip(_LABELS, key, strict=True)), times_of(cell), edges)
            yield times

    def _by_key(self, view: View) -> tuple[dict[Key, Cell], dict[Key, Cell]]:
        """The cells that objectives see and the warm-up's, phases put together, and keys beyond the most, too."""
        judged: dict[Key, list[Cell]] = {}
        warmup: dict[Key, list[Cell]] = {}
        for cell_key, cell in view.cells.items():
            key = cell_key.key
            if not self._has_its_own(key):
                key = Key(_OTHER, _OTHER, _OTHER, _OTHER, key.outcome)
            (warmup if cell_key.phase == WARMUP else judged).setdefault(key, []).append(cell)
        return (
            {key: _merged(cells) for key, cells in judged.items()},
            {key: _merged(cells) for key, cells in warmup.items()},
        )

    def _has_its_own(self, key: Key) -> bool:
        """Whether a key has series of its own; a new one gets them where there is room."""
        if key in self._known:
            return True
        if self._names >= MOST_NAMES if not key.model else len(self._known) - self._names >= MOST_KEYS:
            return False
        self._known.add(key)
        self._names += not key.model
        return True

    def _load(self, live: Live) -> Iterator[Metric]:
        view = live.view
        yield self._gauge("in_flight", "Requests that were sent and have not ended", view.in_flight)
        users = GaugeMetricFamily(f"{self._prefix}_users", "Users that there are", labels=["class"])
        for name, number in sorted(live.users.items()):
            users.add_metric([name], number)
        yield users
        unsent = view.abandoned + sum(worker.unsent for worker in view.workers)
        for name, text, value in (
            ("offered", "Requests that schedules had due, the warm-up's included; none in a closed loop", view.offered),
            ("unsent", "Of these, requests that are not known to have been sent", unsent),
            ("checked", "Answers that were decoded and checked", sum(worker.checked for worker in view.workers)),
        ):
            counter = self._counter(name, text, ())
            counter.add_metric((), value)
            yield counter

    def _generator(self, view: View) -> Iterator[Metric]:
        send = self._histogram("send_lag", "From when a request was due until it was sent, after the warm-up", ())
        loop = self._histogram("loop_lag", "How late heartbeats of a worker's event loop were, after the warm-up", ())
        _add(send, {}, view.send_lag, _Edges(_LAGS_NS))
        _add(loop, {}, view.loop_lag, _Edges(_LAGS_NS))
        yield from (send, loop)
        health = [worker.health for worker in view.workers if worker.is_at_work] or [w.health for w in view.workers]
        cpu = max((one.cpu_share for one in health if one.cpu_share is not None), default=None)
        throttled = max((one.throttled_share for one in health if one.throttled_share is not None), default=None)
        yield self._gauge("cpu_ratio", "Part of one core that a worker uses; of several, the most", cpu)
        yield self._gauge(
            "throttled_ratio", "Part of the time a worker is held back by its cgroup; the most", throttled
        )

    def _whole_run(self, live: Live) -> Iterator[Metric]:
        yield self._gauge("target_users", "Users that there are to be", live.target_users)
        workers = GaugeMetricFamily(f"{RUN}_workers", "Processes that send load, by state", labels=["state"])
        states = Counter(worker.state for worker in live.view.workers)
        for state in WorkerState:
            workers.add_metric([state.value], states[state])
        yield workers
        yield self._gauge("load_seconds", "How long load was sent after the warm-up", live.view.load_ns / 1e9)
        yield self._gauge("run_start_timestamp_seconds", "When the run began, in Unix time", live.started_s)
        yield self._gauge(
            "run_end_timestamp_seconds", "When the run ended, in Unix time; absent until then", live.ended_s
        )
        batching = live.sections.get("server", {}).get("batching", {})
        yield self._gauge("batch_fill_ratio", "Rows in a batch by the largest batch", batching.get("fill_ratio"))
        yield self._gauge(
            "batch_padding_ratio", "Part of the executed rows that was padding", batching.get("padding_ratio")
        )
        yield from _objectives(live.objectives)
        if live.verdict is not None:
            verdict = GaugeMetricFamily(f"{RUN}_verdict", "1 for the verdict of the run that ended", labels=["state"])
            for word in State:
                verdict.add_metric([word.value], live.verdict.state is word)
            yield verdict

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> CounterMetricFamily:
        return CounterMetricFamily(f"{self._prefix}_{name}", text, labels=labels)

    def _histogram(self, name: str, text: str, labels: Sequence[str]) -> HistogramMetricFamily:
        return HistogramMetricFamily(f"{self._prefix}_{name}_seconds", text, labels=labels)

    def _gauge(self, name: str, text: str, value: float | None) -> GaugeMetricFamily:
        """Without a sample where there is no value."""
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, value=value)

    def _info(self, name: str, text: str, labels: Mapping[str, str]) -> InfoMetricFamily:
        return InfoMetricFamily("_".join(filter(None, (self._prefix, name))), text, value=dict(labels))


def _merged(cells: Sequence[Cell]) -> Cell:
    """All in one; mostly there is only one, and others may look at it as well."""
    if len(cells) == 1:
        return cells[0]
    merged = Cell()
    for cell in cells:
        merged.merge(cell)
    return merged


def _objectives(judged: Sequence[Judged]) -> Iterator[Metric]:
    labels = ["objective"]
    met = GaugeMetricFamily(f"{RUN}_slo_met", "Whether what was measured is within the objective", labels=labels)
    decided = GaugeMetricFamily(f"{RUN}_slo_decided", "Whether that is sure, at the run's confidence", labels=labels)
    budget = GaugeMetricFamily(
        f"{RUN}_slo_budget_remaining_ratio",
        "Part of the requests allowed beyond the objective's bound that is left; below 0 when overspent",
        labels=labels,
    )
    for one in {one.objective.expression: one for one in judged}.values():
        label = [one.objective.expression]
        decided.add_metric(label, one.state is not Decision.UNDECIDED)
        within = one.is_within
        if within is not None:
            met.add_metric(label, within)
        if one.budget_left is not None:
            budget.add_metric(label, one.budget_left)
    yield from (met, decided, budget)


class _Edges:
    """Bounds of buckets, and how they are written; one for all histograms of a kind, for there may be hundreds."""

    def __init__(self, bounds_ns: Sequence[int]) -> None:
        self.texts = [*(repr(bound_ns / 1e9) for bound_ns in bounds_ns), "+Inf"]
        self._bounds_ns = np.array(bounds_ns)

    def counts(self, histogram: Histogram) -> list[int]:
        """How many durations are not longer than each bound, and how many there are.

        Exact where a bound has at most three significant digits. Of a bucket of the histogram that a bound falls into,
        all are counted as within it.
        """
        size = len(histogram.buckets)
        buckets = np.fromiter(histogram.buckets.keys(), np.int64, size)
        counts = np.fromiter(histogram.buckets.values(), np.float64, size)  # exact to 2**53
        within = np.bincount(np.searchsorted(self._bounds_ns, buckets), counts, minlength=len(self.texts))
        return [int(count) for count in within.cumsum()]


def _add(family: HistogramMetricFamily, labels: Mapping[str, str], histogram: Histogram, edges: _Edges) -> None:
    # as the family's add_metric, without the labels being put together anew for each bucket
    counts = edges.counts(histogram)
    name = f"{family.name}_bucket"
    for text, count in zip(edges.texts, counts, strict=True):
        family.add_sample(name, {**labels, "le": text}, count)
    family.add_sample(f"{family.name}_count", dict(labels), counts[-1])
    family.add_sample(f"{family.name}_sum", dict(labels), histogram.total_ns / 1e9)
