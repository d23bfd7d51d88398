"""What the server counted between two looks at its metrics page.

The page's numbers and where they may deceive: tensorflow_serving/util/prometheus_exporter.cc, batching/
batching_session.cc and batching_util.h. Counts are exact integers; sums have six significant digits, so that those of a
server which has run for long move in steps. Executed rows are therefore counted by ``padding_size``'s label, and what
the steps leave uncertain is named. A metric of which a line cannot be read tells nothing. There is
no start time on the page: a restart shows in counters that go back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tfs_locust.tfserving.server_page import (
    EXECUTED_ROWS,
    LOAD_ATTEMPTS,
    LOAD_LATENCY,
    PADDING_ROWS,
    QUEUEING,
    REQUEST_LATENCY,
    REQUESTS,
    Page,
    PageError,
    fetch_page,
    metric,
    parse_page,
)

__all__ = ["Page", "PageError", "ServerWindow", "VersionLoad", "delta", "fetch_page", "parse_page", "summed"]

_UNCERTAIN_ABOVE = 0.01
"""The share of a value that six digits may leave open before the value is named as uncertain."""


@dataclass(frozen=True, slots=True)
class VersionLoad:
    """What loading the SavedModel in one version folder took, retries included."""

    path: str
    attempts: int
    failures: int
    load_s: float

    @property
    def version(self) -> int | None:
        """The number that the folder is named by; None where it is none."""
        name = self.path.rstrip("/").rpartition("/")[2]
        return int(name) if name.isdecimal() else None


@dataclass(frozen=True, slots=True)
class ServerWindow:
    """What one server, or several together, counted in a window. None: the page does not tell.

    Batching is counted for all models together; requests and Predicts for the models that were asked for.
    """

    window_s: float
    restarted: bool = False
    """A counter went back: the counts are those since the restart."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Status -> requests. REST counts its status and metadata requests too; refusals by gRPC's threads never show."""
    predict_calls: int | None = 0
    """Predict requests answered well, over both interfaces."""
    calls_of_all: int | None = 0
    """Requests answered well for a prediction of any kind by any model."""
    queued_tasks: int | None = None
    """Tasks taken out of a batching queue: requests, or the pieces of requests that were split."""
    queueing_s_total: float | None = None
    """Seconds that these tasks waited in the queue."""
    executed_batches: int | None = None
    executed_rows: int | None = None
    """Rows in executed batches, without padding."""
    padding_rows: int | None = None
    loads: tuple[VersionLoad, ...] = ()
    """Versions that were loaded, or failed to load, in the window."""
    uncertain: frozenset[str] = frozenset()
    """Fields of which the six digits of the page's sums leave more than 1 % open."""

    @property
    def mean_rows_per_batch(self) -> float | None:
        """Rows in an executed batch on average, without padding."""
        return _ratio(self.executed_rows, self.executed_batches)

    @property
    def requests_per_batch(self) -> float | None:
        """Requests (or pieces of split ones) that shared an executed batch on average."""
        return _ratio(self.queued_tasks, self.executed_batches)

    @property
    def padding_ratio(self) -> float | None:
        """The share of executed rows that were padding."""
        if self.executed_rows is None or self.padding_rows is None:
            return None
        return _ratio(self.padding_rows, self.executed_rows + self.padding_rows)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def summed(windows: Iterable[ServerWindow], *, window_s: float) -> ServerWindow:
    """Several servers' windows, or one server's windows one after the other, as one of ``window_s`` seconds."""
    total = ServerWindow(window_s)
    for window in windows:
        names = (one.name for one in fields(ServerWindow))
        total = ServerWindow(**{name: _plus(getattr(total, name), getattr(window, name)) for name in names})
    return replace(total, window_s=window_s)


def _plus(one: Any, other: Any) -> Any:
    """The sum of two fields; what only one of them tells counts alone."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Mapping):
        return {key: one.get(key, 0) + other.get(key, 0) for key in sorted({*one, *other})}
    if isinstance(one, (bool, frozenset)):
        return one | other
    return one + other


def delta(before: Page, after: Page, models: Collection[str] | None = None) -> ServerWindow:
    """What the server counted between two pages, for ``models`` (None: for all)."""
    unread = before.unread | after.unread
    restarted = _restarted(before, after, unread)
    counted = _Counted({} if restarted else before.counters, after.counters, unread)

    def asked_for(labels: Mapping[str, str]) -> bool:
        return models is None or labels.get("model_name") in models

    def predicts(labels: Mapping[str, str]) -> bool:
        # gRPC's are Predict, REST's are predict
        return asked_for(labels) and labels.get("API", "").lower() == "predict"

    def predictions(labels: Mapping[str, str]) -> bool:
        return bool(labels.get("API"))  # REST's status and metadata requests have an empty one

    def answered(which: Where) -> int:
        return counted.count(REQUEST_LATENCY + "_count", where=which) or 0  # no cell before the first

    # one cell for each size that batches were executed with: exact, where the sum of the rows has six digits
    cells = counted.by_label("execution_batch_size", *(name + "_count" for name in PADDING_ROWS))
    padded_rows = sum(int(size) * count for size, count in cells.items() if size.isdecimal())
    padding = counted.total(*(name + "_sum" for name in PADDING_ROWS))
    if padding is not None:  # six digits may leave it anywhere
        padding = replace(padding, value=min(max(padding.value, 0.0), padded_rows))
    executed_rows = _Amount(padded_rows - padding.value, padding.open_by) if padding else None
    queueing_us = counted.total(*(name + "_sum" for name in QUEUEING))
    uncertain = {"padding_rows": padding, "executed_rows": executed_rows, "queueing_s_total": queueing_us}
    window = ServerWindow(
        window_s=after.at_s - before.at_s,
        restarted=restarted,
        requests=counted.by_label("status", REQUESTS, where=asked_for),
        predict_calls=None if REQUEST_LATENCY in unread else answered(predicts),
        calls_of_all=None if REQUEST_LATENCY in unread else answered(predictions),
        queued_tasks=counted.count(*(name + "_count" for name in QUEUEING)),
        queueing_s_total=None if queueing_us is None else max(queueing_us.value, 0.0) / 1e6,
        executed_batches=counted.count(*(name + "_count" for name in EXECUTED_ROWS)),
        executed_rows=None if executed_rows is None else round(executed_rows.value),
        padding_rows=None if padding is None else round(padding.value),
        loads=_loads(counted),
        uncertain=frozenset(name for name, amount in uncertain.items() if amount and amount.is_uncertain),
    )
    if window.executed_batches is window.queued_tasks is None and after.unused.intersection(QUEUEING):
        # the server could have batched, and never has: these cells come with the first batch
        return replace(
            window, queued_tasks=0, queueing_s_total=0.0, executed_batches=0, executed_rows=0, padding_rows=0
        )
    return window


def _restarted(before: Page, after: Page, unread: Collection[str]) -> bool:
    """Whether a counter went back, or a version's load took another time without having been loaded again."""
    for series, value in before.counters.items():
        if metric(series[0]) not in unread and after.counters.get(series, 0) < value:
            return True
    if LOAD_LATENCY in unread or LOAD_ATTEMPTS in unread:
        return False
    for (name, labels), value in before.counters.items():
        if name == LOAD_LATENCY and after.counters.get((name, labels), value) != value:
            path = dict(labels).get("model_path")
            if _attempts(before, path) == _attempts(after, path):
                return True
    return False


def _attempts(page: Page, path: str | None) -> float:
    return sum(
        value
        for (name, labels), value in page.counters.items()
        if name == LOAD_ATTEMPTS and dict(labels).get("model_path") == path
    )


@dataclass(frozen=True, slots=True)
class _Amount:
    """A difference of sums, and the most that it may be wrong by."""

    value: float
    open_by: float

    @property
    def is_uncertain(self) -> bool:
        return self.open_by > _UNCERTAIN_ABOVE * max(self.value, 1.0)


Where = Callable[[Mapping[str, str]], bool]


class _Counted:
    """The counters of two pages, by name; those of metrics that could not be read are left out."""

    def __init__(self, before: Mapping[Any, float], after: Mapping[Any, float], unread: Collection[str]) -> None:
        self._cells: dict[str, list[tuple[dict[str, str], float, float]]] = {}
        for (name, labels), value in after.items():
            if metric(name) in unread:
                continue
            cell = (dict(labels), before.get((name, labels), 0.0), value)
            self._cells.setdefault(name, []).append(cell)

    def total(self, *names: str, where: Where = lambda _: True) -> _Amount | None:
        """The growth of all cells of all ``names`` together; None where there is no cell."""
        cells = [cell for name in names for cell in self._cells.get(name, ()) if where(cell[0])]
        if not cells:
            return None
        open_by = sum(_half_step(value) for _, *values in cells for value in values)
        return _Amount(sum(after - before for _, before, after in cells), open_by)

    def count(self, *names: str, where: Where = lambda _: True) -> int | None:
        total = self.total(*names, where=where)
        return None if total is None else round(total.value)

    def by_label(self, label: str, *names: str, where: Where = lambda _: True) -> dict[str, int]:
        """The growth by one label's values; those that did not grow are left out."""
        grown: dict[str, int] = {}
        for labels, before, after in (cell for name in names for cell in self._cells.get(name, ())):
            if where(labels) and after > before:
                value = labels.get(label, "")
                grown[value] = grown.get(value, 0) + round(after - before)
        return grown


def _half_step(value: float) -> float:
    """How far a number may be from what six significant digits show of it; below 1e6 that is no matter here."""
    return 0.5 * 10.0 ** (math.floor(math.log10(value)) - 5) if value >= 1e6 else 0.0


def _loads(counted: _Counted) -> tuple[VersionLoad, ...]:
    attempts = counted.by_label("model_path", LOAD_ATTEMPTS)
    failures = counted.by_label("model_path", LOAD_ATTEMPTS, where=lambda labels: labels.get("status") != "success")
    times_us = counted.by_label("model_path", LOAD_LATENCY)
    return tuple(
        VersionLoad(path, attempts[path], failures.get(path, 0), times_us.get(path, 0) / 1e6)
        for path in sorted(attempts)
    )
