"""The counters and histograms the embedded server keeps, and the Prometheus page that shows them.

Names, labels, bucket bounds and the text of the page are TensorFlow Serving's, oddities included: upper bounds are
exclusive, sums and bounds have six significant digits, times are microseconds (tensorflow_serving/util/
prometheus_exporter.cc, servables/tensorflow/util.cc, batching/batching_session.cc, batching/batching_util.h). It counts
what it is told and knows nothing of requests or models.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class _Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class _Family:
    """One metric: its name on the page, what it is, the names of its labels, a histogram's finite bounds."""

    name: str
    kind: _Kind
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(slots=True)
class _Histogram:
    counts: list[int]  # one more than there are finite bounds
    total: float = 0.0


@dataclass(slots=True)
class _Series:
    """The cells of one family, by label values."""

    scalars: dict[tuple[str, ...], int] = field(default_factory=dict)
    histograms: dict[tuple[str, ...], _Histogram] = field(default_factory=dict)


def _exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    return tuple(scale * growth**i for i in range(count))


_LATENCY_US = _exponential(10, 1.8, 33)
_LOAD_STAGE_US = _exponential(10, 1.8, 37)
_QUEUING_US = _exponential(100, 1.2, 52)
_GRAPH_RUN_US = _exponential(1000, 2, 20)
_ROWS = _exponential(1, 2, 14)
_EXAMPLES = _exponential(1, 2, 15)

_CC = ":tensorflow:cc:saved_model:"
_CORE = ":tensorflow:core:"
_SERVING = ":tensorflow:serving:"
_BATCHING = _SERVING + "batching_session:"

_LOAD_ATTEMPT_COUNT = _Family(_CC + "load_attempt_count", _Kind.COUNTER, ("model_path", "status"))
_LOAD_LATENCY = _Family(_CC + "load_latency", _Kind.COUNTER, ("model_path",))
_LOAD_STAGE = _Family(_CC + "load_latency_by_stage", _Kind.HISTOGRAM, ("model_path", "stage"), _LOAD_STAGE_US)
_SESSION_RUNS = _Family(_CORE + "direct_session_runs", _Kind.COUNTER)
_GRAPH_RUN_TIME = _Family(_CORE + "graph_run_time_usecs", _Kind.COUNTER)
_GRAPH_RUN_TIMES = _Family(_CORE + "graph_run_time_usecs_histogram", _Kind.HISTOGRAM, (), _GRAPH_RUN_US)
_GRAPH_RUNS = _Family(_CORE + "graph_runs", _Kind.COUNTER)
_INPUT_BATCH_SIZE = _Family(_BATCHING + "input_batch_size", _Kind.HISTOGRAM, (), _ROWS)
_PADDING_SIZE = _Family(_BATCHING + "padding_size", _Kind.HISTOGRAM, ("execution_batch_size",), _ROWS)
_PROCESSED_BATCH_SIZE = _Family(_BATCHING + "processed_batch_size", _Kind.HISTOGRAM, (), _ROWS)
_QUEUING_LATENCY = _Family(_BATCHING + "queuing_latency", _Kind.HISTOGRAM, ("thread_pool_name",), _QUEUING_US)
_WRAPPED_RUN_COUNT = _Family(_BATCHING + "wrapped_run_count", _Kind.COUNTER)
_MLMD_MAP = _Family(_SERVING + "mlmd_map", _Kind.GAUGE)
_WARMUP_LATENCY = _Family(_SERVING + "model_warmup_latency", _Kind.HISTOGRAM, ("model_path", "status"), _LATENCY_US)
_WARMUP_RECORDS = _Family(_SERVING + "model_warmup_records_read", _Kind.COUNTER, ("model_path", "status"))
_REQUEST_COUNT = _Family(_SERVING + "request_count", _Kind.COUNTER, ("model_name", "status"))
_EXAMPLE_TOTAL = _Family(_SERVING + "request_example_count_total", _Kind.COUNTER, ("model",))
_EXAMPLE_COUNTS = _Family(_SERVING + "request_example_counts", _Kind.HISTOGRAM, ("model",), _EXAMPLES)
_REQUEST_LATENCY = _Family(
    _SERVING + "request_latency", _Kind.HISTOGRAM, ("model_name", "API", "entrypoint"), _LATENCY_US
)
_REQUEST_LOG_COUNT = _Family(_SERVING + "request_log_count", _Kind.COUNTER, ("model_name", "status_code"))
_RUNTIME_LATENCY = _Family(_SERVING + "runtime_latency", _Kind.HISTOGRAM, ("model_name", "API", "runtime"), _LATENCY_US)

# in the order of the page: by name; a family shows its `# TYPE` line before anything was counted
_FAMILIES = tuple(
    sorted(
        (
            *(_LOAD_ATTEMPT_COUNT, _LOAD_LATENCY, _LOAD_STAGE),
            *(_SESSION_RUNS, _GRAPH_RUN_TIME, _GRAPH_RUN_TIMES, _GRAPH_RUNS),
            *(_INPUT_BATCH_SIZE, _PADDING_SIZE, _PROCESSED_BATCH_SIZE, _QUEUING_LATENCY, _WRAPPED_RUN_COUNT),
            *(_MLMD_MAP, _WARMUP_LATENCY, _WARMUP_RECORDS),
            *(_REQUEST_COUNT, _EXAMPLE_TOTAL, _EXAMPLE_COUNTS, _REQUEST_LATENCY, _REQUEST_LOG_COUNT, _RUNTIME_LATENCY),
        ),
        key=lambda family: family.name,
    )
)


class Metrics:
    """What one server has counted since it started. Thread-safe; times are microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series = MappingProxyType({family.name: _Series() for family in _FAMILIES})

    def count_request(self, model_name: str, status: str) -> None:
        """One answered request; ``status`` is the name of its Code. A malformed REST request has an empty name."""
        self._add(_REQUEST_COUNT, (model_name, status), 1)

    def observe_request_latency(self, model_name: str, api: str, entrypoint: str, us: float) -> None:
        """One successful request: ``Predict`` through ``GRPC``, ``predict`` (or empty: a GET) through ``REST``."""
        self._observe(_REQUEST_LATENCY, (model_name, api, entrypoint), us)

    def observe_runtime_latency(self, model_name: str, api: str, us: float) -> None:
        """One call of a session, its wait in the batching queue included."""
        self._observe(_RUNTIME_LATENCY, (model_name, api, "TF1"), us)

    def observe_request_examples(self, model_name: str, examples: int) -> None:
        """The Examples of one MultiInference request; no other call counts them in the real server."""
        with self._lock:
            self._observe_locked(_EXAMPLE_COUNTS, (model_name,), examples)
            self._add_locked(_EXAMPLE_TOTAL, (model_name,), examples)

    def observe_queuing_latency(self, us: float) -> None:
        """One task's wait in the batching queue; the thread pool's name is empty in the real server, too."""
        self._observe(_QUEUING_LATENCY, ("",), us)

    def observe_input_batch_size(self, rows: int) -> None:
        """The rows of one input tensor of a task: a request with three inputs is observed three times."""
        self._observe(_INPUT_BATCH_SIZE, (), rows)

    def observe_processed_batch_size(self, rows: int) -> None:
        """The rows of one executed batch, padding included."""
        self._observe(_PROCESSED_BATCH_SIZE, (), rows)

    def observe_padding_size(self, rows: int, execution_batch_size: int) -> None:
        """The rows that were added to one batch to make it ``execution_batch_size`` rows."""
        self._observe(_PADDING_SIZE, (str(execution_batch_size),), rows)

    def count_wrapped_run(self) -> None:
        """One executed batch."""
        self._add(_WRAPPED_RUN_COUNT, (), 1)

    def record_load_attempt(self, model_path: str, status: str) -> None:
        """One attempt to load the version at ``model_path``, ``success`` or ``fail``."""
        self._add(_LOAD_ATTEMPT_COUNT, (model_path, status), 1)

    def record_load_latency(self, model_path: str, us: int) -> None:
        """The time a load took; a counter, as in the real server."""
        self._add(_LOAD_LATENCY, (model_path,), us)

    def observe_load_stage(self, model_path: str, stage: str, us: float) -> None:
        """One stage of a load: ``restore_graph`` or ``init_graph``."""
        self._observe(_LOAD_STAGE, (model_path, stage), us)

    def observe_warmup(self, model_path: str, status: str, us: float) -> None:
        """One version's warm-up; ``status`` is the whole status (``OK``, ``INVALID_ARGUMENT: ...``)."""
        self._observe(_WARMUP_LATENCY, (model_path, status), us)

    def count_warmup_records(self, model_path: str, status: str, records: int) -> None:
        """The records one version's warm-up read."""
        self._add(_WARMUP_RECORDS, (model_path, status), records)

    def count_graph_run(self, us: int) -> None:
        """One run of a graph by a session."""
        with self._lock:
            self._add_locked(_SESSION_RUNS, (), 1)
            self._add_locked(_GRAPH_RUNS, (), 1)
            self._add_locked(_GRAPH_RUN_TIME, (), us)
            self._observe_locked(_GRAPH_RUN_TIMES, (), us)

    def page(self) -> str:
        """The Prometheus page: families by name, cells by label values, no HELP lines, no process metrics."""
        with self._lock:
            return "".join(line + "\n" for family in _FAMILIES for line in self._lines(family))

    def _add(self, family: _Family, labels: tuple[str, ...], amount: int) -> None:
        with self._lock:
            self._add_locked(family, labels, amount)

    def _observe(self, family: _Family, labels: tuple[str, ...], value: float) -> None:
        with self._lock:
            self._observe_locked(family, labels, value)

    def _add_locked(self, family: _Family, labels: tuple[str, ...], amount: int) -> None:
        scalars = self._series[family.name].scalars
        scalars[labels] = scalars.get(labels, 0) + amount

    def _observe_locked(self, family: _Family, labels: tuple[str, ...], value: float) -> None:
        histograms = self._series[family.name].histograms
        if (histogram := histograms.get(labels)) is None:
            histogram = histograms[labels] = _Histogram([0] * (len(family.bounds) + 1))
        # a value equal to a bound counts in the next bucket
        histogram.counts[bisect_right(family.bounds, value)] += 1
        histogram.total += value

    def _lines(self, family: _Family) -> Iterator[str]:
        series = self._series[family.name]
        yield f"# TYPE {family.name} {family.kind.value}"
        for values in sorted(series.scalars):
            yield f"{family.name}{{{_pairs(family.labels, values)}}} {series.scalars[values]}"
        for values in sorted(series.histograms):
            histogram = series.histograms[values]
            pairs = _pairs(family.labels, values)
            prefix = f"{family.name}_bucket{{{pairs}," if pairs else f"{family.name}_bucket{{"
            count = 0
            for bound, held in zip((*map(_six_digits, family.bounds), "+Inf"), histogram.counts, strict=True):
                count += held
                yield f'{prefix}le="{bound}"}} {count}'
            yield f"{family.name}_sum{{{pairs}}} {_six_digits(histogram.total)}"
            yield f"{family.name}_count{{{pairs}}} {count}"


def _six_digits(value: float) -> str:
    return f"{value:g}"


def _pairs(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
