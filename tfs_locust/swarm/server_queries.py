"""Asks a Prometheus for its series of the server, once the load has ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import gevent

from tfs_locust.report.queries import Answered
from tfs_locust.tfserving.prometheus_query import Query, QueryError, query_range

_WITHIN_S = 10.0


def ask(prometheus: str, queries: Sequence[Query], *, start_s: float, end_s: float) -> list[Answered]:
    """An answer to each query, all asked at the same time; what fails is told in it. Times are Unix times."""
    asking = [gevent.spawn(_ask, prometheus, query, start_s, end_s) for query in queries]
    gevent.joinall(asking)
    return [
        one.value or Answered(query, reason=repr(one.exception)) for query, one in zip(queries, asking, strict=True)
    ]


def _ask(prometheus: str, query: Query, start_s: float, end_s: float) -> Answered:
    try:
        points = query_range(prometheus, query, start_s=start_s, end_s=end_s, timeout_s=_WITHIN_S).points
    except QueryError as error:
        return Answered(query, reason=str(error))
    if any(math.isinf(value) for _, value in points):
        return Answered(query, reason=f"query {query.name!r}: has infinite values: {query.promql}")
    return Answered(query, points)
