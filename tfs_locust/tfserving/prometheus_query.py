"""Series that a Prometheus has of the server, such as its containers' CPU and memory, over the time of a run.

Source: Prometheus' HTTP API, ``/api/v1/query_range`` (prometheus.io/docs/prometheus/latest/querying/api/).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tfs_locust.tfserving.http_get import GetError, http_get

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_POINTS = 11_000
"""More in a series and Prometheus refuses the query."""
_MOST_SHOWN = 3


class QueryError(Exception):
    """A query that cannot be asked, or gave no usable series. The text names the query and says what to do."""


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and the name that its values go by."""

    name: str
    promql: str


@dataclass(frozen=True, slots=True)
class Series:
    """One value over time."""

    query: Query
    points: tuple[tuple[float, float], ...]
    """Unix time in seconds and value, in the order of time. Moments without a value, and those of NaN, are left out."""


def parse_queries(texts: Iterable[str]) -> tuple[Query, ...]:
    """Read ``NAME=PROMQL`` texts. Raises QueryError with every fault."""
    queries: dict[str, Query] = {}
    faults = []
    for text in texts:
        name, equals, promql = (part.strip() for part in text.partition("="))
        if not equals or not _NAME.fullmatch(name) or not promql:
            faults.append(
                f"query {text!r}: expected NAME=PROMQL, the name of letters, digits and _, such as "
                "cpu=sum(rate(container_cpu_usage_seconds_total{pod=~'serving.*'}[30s]))"
            )
        elif name in queries:
            faults.append(f"query {text!r}: the name {name!r} is taken by {queries[name].promql!r}")
        else:
            queries[name] = Query(name, promql)
    if faults:
        raise QueryError("; ".join(faults))
    return tuple(queries.values())


def query_range(
    prometheus: str,
    query: Query,
    *,
    start_s: float,
    end_s: float,
    step_s: float = 1.0,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
) -> Series:
    """The series of ``query`` between two Unix times, both included, a value for each ``step_s``.

    ``prometheus`` is a base URL such as ``http://prometheus:9090``, with a login and a path before ``/api`` if it has
    them. The step grows where Prometheus would refuse so many points. Raises QueryError.
    """
    step_s = max(step_s, (end_s - start_s) / (_MOST_POINTS - 1))
    asked = {"query": query.promql, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:.3f}"}
    try:
        answer = http_get(
            f"{prometheus.rstrip('/')}/api/v1/query_range?{urlencode(asked)}", timeout_s=timeout_s, headers=headers
        )
    except GetError as error:
        raise QueryError(f"query {query.name!r}: {error}") from error
    return read_answer(query, answer.status, answer.text)


def read_answer(query: Query, status: int, text: str) -> Series:
    """The series in an answer of ``/api/v1/query_range``. Raises QueryError."""
    try:
        document = json.loads(text)
        if document["status"] == "success":
            found = [(_labels(one["metric"]), tuple(_points(one["values"]))) for one in document["data"]["result"]]
        else:  # Prometheus explains itself in the body, whatever the HTTP status
            refusal = f"{document['errorType']}: {document['error']}"
            raise QueryError(f"query {query.name!r}: Prometheus refuses it: {refusal}; the query is {query.promql}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise QueryError(
            f"query {query.name!r}: HTTP status {status} and no answer of Prometheus' API, but {_shortened(text)!r}; "
            "is --tfs-prometheus its base URL, such as http://prometheus:9090?"
        ) from error
    if len(found) > 1:
        shown = ", ".join(labels for labels, _ in found[:_MOST_SHOWN]) + ", ..." * (len(found) > _MOST_SHOWN)
        raise QueryError(
            f"query {query.name!r}: gives {len(found)} series ({shown}) where one is expected; "
            f"put sum(...), max(...) or another aggregation around {query.promql}"
        )
    points = found[0][1] if found else ()
    if not points:
        raise QueryError(
            f"query {query.name!r}: no value in the time of the run; does Prometheus scrape the server, "
            f"and are the names and labels right? The query is {query.promql}"
        )
    return Series(query, points)


def _points(values: Any) -> Iterable[tuple[float, float]]:
    for at_s, value in values:
        number = float(value)  # texts: 0.5, NaN, +Inf
        if not math.isnan(number):
            yield float(at_s), number


def _labels(metric: Any) -> str:
    return "{" + ", ".join(f"{name}={value}" for name, value in metric.items()) + "}"


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
