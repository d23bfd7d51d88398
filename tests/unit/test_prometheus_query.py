"""Queries to a Prometheus: asked as its API wants them, answers read, and every way they fail told apart."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.answering import answering, page, says
from tfs_locust.tfserving.prometheus_query import Query, QueryError, Series, parse_queries, query_range, read_answer

CPU = Query("cpu", "sum(rate(cpu_seconds_total{pod=~'s.*'}[30s])) / 4")


def _matrix(*results: Any) -> str:
    """An answer as Prometheus 2 and 3 give it."""
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": results}})


def _result(values: list[list[Any]], **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": values}


def test_a_series_over_the_run() -> None:
    """The expression, both ends and the step are asked for; values come as numbers with their times."""
    heads: list[str] = []
    body = _matrix(_result([[1700000000, "0.5"], [1700000001.5, "NaN"], [1700000003, "1e-1"]]))
    with answering(says(page(body)), heads) as address:
        series = query_range(
            f"http://{address}/prom/", CPU, start_s=1700000000, end_s=1700000003.25, step_s=1.5, timeout_s=10
        )
    assert series == Series(CPU, ((1700000000.0, 0.5), (1700000003.0, 0.1)))
    url = urlsplit(heads[0].split()[1])
    assert url.path == "/prom/api/v1/query_range"
    assert parse_qs(url.query) == {
        "query": [CPU.promql],
        "start": ["1700000000.000"],
        "end": ["1700000003.250"],
        "step": ["1.500"],
    }


@pytest.mark.parametrize(("seconds", "step"), [(10_000, 1.0), (109_990, 10.0), (864_000, 78.552)])
def test_a_long_run_asks_for_fewer_points(seconds: int, step: float) -> None:
    """Never more than the 11,000 that Prometheus gives."""
    heads: list[str] = []
    with answering(says(page(_matrix(_result([[0, "1"]])))), heads) as address:
        query_range(f"http://{address}", CPU, start_s=0, end_s=seconds, timeout_s=10)
    asked = parse_qs(heads[0].split()[1])["step"]
    assert float(asked[0]) == pytest.approx(step, abs=0.001)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{"status":"error","errorType":"bad_data","error":"invalid parameter \\"query\\": 1:4: parse error"}',
            'Prometheus refuses it: bad_data: invalid parameter "query": 1:4: parse error; the query is sum(',
        ),
        (_matrix(), "no value in the time of the run; does Prometheus scrape the server, and are the names and labels"),
        (_matrix(_result([[0, "NaN"]])), "no value in the time of the run;"),
        (
            _matrix(*(_result([[0, "1"]], pod=f"p{i}", c="x") for i in range(4))),
            "gives 4 series ({pod=p0, c=x}, {pod=p1, c=x}, {pod=p2, c=x}, ...) where one is expected; put sum(...)",
        ),
        ("<html>nginx</html>", "HTTP status 400 and no answer of Prometheus' API, but '<html>nginx</html>'; is --tfs-"),
        (
            '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"1"]}]}}',
            "HTTP status 400 and no answer of",
        ),
        ('{"status":"success"}', "HTTP status 400 and no answer of"),
        ("[1]", "HTTP status 400 and no answer of"),
    ],
)
def test_answers_without_a_series(text: str, reason: str) -> None:
    """Each says which query it was and what to do."""
    with pytest.raises(QueryError) as caught:
        read_answer(CPU, 400, text)
    assert str(caught.value).startswith(f"query 'cpu': {reason}")


@given(st.text(max_size=60) | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_no_answer_raises_anything_else(text: str) -> None:
    """Whatever answers on that port."""
    with pytest.raises(QueryError):
        read_answer(CPU, 200, text)


def test_no_prometheus() -> None:
    """Who does not answer is named."""
    with answering(says()) as address, pytest.raises(QueryError) as caught:
        query_range(f"http://{address}", CPU, start_s=0, end_s=1, timeout_s=10)
    assert str(caught.value) == (
        f"query 'cpu': http://{address}/api/v1/query_range: the connection was closed without an answer"
    )


def test_options() -> None:
    """The first = parts name and expression; all faults come at once."""
    assert parse_queries(["cpu = sum(x{a='b'})", "m=up == 1"]) == (
        Query("cpu", "sum(x{a='b'})"),
        Query("m", "up == 1"),
    )
    with pytest.raises(QueryError) as caught:
        parse_queries(["up", "a-b=up", "x=", "x=1", "x=2"])
    assert len(re.findall("expected NAME=PROMQL", str(caught.value))) == 3
    assert str(caught.value).endswith("; query 'x=2': the name 'x' is taken by '1'")


def test_an_answer_of_a_hundred_thousand_brackets() -> None:
    """Is no answer of Prometheus."""
    with pytest.raises(QueryError, match="no answer of Prometheus' API"):
        read_answer(Query("cpu", "up"), 200, "[" * 100_000)
