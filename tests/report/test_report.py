"""The result: the names that pipelines read, counts that add up, and a verdict that can be made again."""

from __future__ import annotations

import json

import pytest

from tests.report.runs import MANIFEST, run
from tests.unit.measured import MS
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.histogram import Histogram
from tfs_locust.report.files import to_json
from tfs_locust.report.report import Result, build, rejudge, times, times_of
from tfs_locust.report.stored import view_of


@pytest.fixture(scope="module")
def result() -> Result:
    """A result as a pipeline reads it."""
    return dict(json.loads(to_json(run())))


def test_the_fixed_names(result: Result) -> None:
    """These are the interface: a pipeline that reads them keeps working."""
    assert result["schema_version"] == 1
    assert result["verdict"]["state"] == "FAIL"
    assert [reason.split(":")[0] for reason in result["verdict"]["reasons"]] == ["objective-failed"]
    assert result["verdict"]["exit_code"] == 1
    for objective in result["objectives"]:
        assert {"expression", "state", "measured", "bound"} <= objective.keys()
    assert {"requests", "ok", "failed", "unsent", "rows"} <= result["totals"].keys()
    for name in ("response_time_s", "service_time_s"):
        assert {"mean", "p50", "p90", "p95", "p99", "p99_9", "max"} <= result[name].keys()
    assert result["throughput"].keys() == {"requests_per_s", "rows_per_s"}
    assert [worker["name"] for worker in result["workers"]] == ["worker-1", "worker-2"]
    assert result["manifest"] == MANIFEST


def test_the_objectives_are_told_with_their_numbers(result: Result) -> None:
    """Bounds and measured values are in seconds, shares and per second."""
    told = {one["expression"]: (one["state"], one["bound"]) for one in result["objectives"]}
    assert told == {
        "p99<100ms": ("PASS", 0.1),
        "error_rate<1%": ("PASS", 0.01),
        "throughput>=100/s": ("PASS", 100.0),
        "p99.9<80ms": ("FAIL", 0.08),
    }


def test_counts_add_up(result: Result) -> None:
    """20 s of 200/s and an unsent request of each worker: in totals, failures, keys, cells and timeline alike."""
    totals, warmup = result["totals"], result["warmup"]
    assert totals["requests"] + warmup["requests"] == 4002
    assert totals["requests"] == totals["ok"] + totals["failed"]
    assert sum(result["failures"].values()) == totals["failed"]
    assert result["failures"]["unsent"] == totals["unsent"] == 2
    for name in ("requests", "ok", "failed", "unsent", "rows"):
        assert sum(key[name] for key in result["keys"]) == totals[name]
    assert sum(cell["requests"] for cell in result["cells"]) == 4002
    assert sum(result["timeline"]["requests"]) == 4002
    assert sum(result["timeline"]["failures"]) == totals["failed"] + warmup["failed"]
    assert sum(worker["finished"] for worker in result["workers"]) == 4000
    assert result["response_time_s"]["count"] == totals["ok"]
    while_on = sum(c["requests"] for c in result["cells"] if (c["phase"], c["outcome"]) == ("run", "ok"))
    assert result["throughput"]["requests_per_s"] == pytest.approx(while_on / 18)
    assert (result["warmup_s"], result["load_s"]) == (2.0, 18.0)


def test_the_timeline_has_no_holes() -> None:
    """A second in which nothing was told is there, with zeros and without times."""
    aggregate = Aggregate()
    view = aggregate.view()
    assert build(view, judge(view, ()), {})["timeline"]["second"] == []
    timeline = run(per_second=1, seconds=10, failing=0)["timeline"]
    assert timeline["second"] == list(range(len(timeline["second"])))
    empty = timeline["requests"].index(0)
    assert (timeline["p50_s"][empty], timeline["max_s"][empty]) == (None, None)
    assert len({len(column) for column in timeline.values()}) == 1


def test_a_verdict_can_be_made_again(result: Result) -> None:
    """From the JSON alone the same objectives give the same verdict, other ones another."""
    same = rejudge(result, parse_objectives(o["expression"] for o in result["objectives"]), confidence=0.95)
    assert same == result
    other = rejudge(result, parse_objectives(["p99<100ms"]), confidence=0.95)
    assert (other["verdict"]["state"], other["cells"]) == ("PASS", result["cells"])


def test_a_doubtful_run_stays_doubtful() -> None:
    """Judging again with easier objectives does not bring back a lost worker."""
    lost = run(lost=True)
    again = rejudge(lost, parse_objectives(["p50<1s"]), confidence=0.95)
    assert again["verdict"]["state"] == "INVALID"
    assert [worker["missing"] for worker in again["workers"]] == [3, 3]


def test_histograms_are_kept(result: Result) -> None:
    """The times of the summary are those of the histograms in the cells."""
    response, service = times_of(result)
    assert times(response) == result["response_time_s"]
    assert times(service) == result["service_time_s"]
    assert sum(cell.count for cell in view_of(result).cells.values()) == 4002


def test_times_of_nothing() -> None:
    """Without a duration there is no number, and none is made up."""
    assert set(times(Histogram()).values()) == {0, None}
    one = Histogram()
    one.record(5 * MS)
    assert times(one) == dict.fromkeys(("mean", "min", "p50", "p90", "p95", "p99", "p99_9", "max"), 0.005) | {
        "count": 1
    }


def test_further_sections_are_kept() -> None:
    """Findings of others travel in the result under their own name."""
    view = Aggregate().view()
    assert build(view, judge(view, ()), {}, {"lifecycle": {"switches": 1}})["lifecycle"] == {"switches": 1}
