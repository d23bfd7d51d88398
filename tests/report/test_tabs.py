"""The tabs of the web page: the report's numbers as text, and words where there is no number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.report.runs import live, run
from tests.unit.measured import MS, SECOND, sample
from tests.unit.virtual_server import VirtualServer, fixed, search
from tfs_locust.judge.capacity import CapacityRun, SearchSettings
from tfs_locust.judge.level import Unit
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.tally import Tally
from tfs_locust.report import capacity, units
from tfs_locust.report.live import Live
from tfs_locust.report.recent import Rates
from tfs_locust.report.tabs import BATCHING, MOST_ROWS, TABS, VERDICT, load_rows, serving_rows, tables

GRPC = ("ResNet", "grpc", "resnet", "1")
RATES = Rates(210.0, 200.0, {GRPC: 130.0})


def _plain(row: dict[str, str]) -> dict[str, str]:
    """With spaces as they are written."""
    return {name: text.replace("\N{NO-BREAK SPACE}", " ") for name, text in row.items()}


def _rows(live: Live, tab: str) -> dict[str, dict[str, str]]:
    """The rows of a tab by what they are about."""
    return {row["what"]: row for row in map(_plain, tables(live, RATES)[tab])}


def _looking_at(*, models: int = 1, warmup_s: int = 0, requests: int = 1) -> Live:
    """A run that has sent some requests to each of some models in its first second."""
    tally = Tally("worker", 1, origin_ns=0, warmup_ns=warmup_s * SECOND)
    for number in range(models):
        for _ in range(requests + (number == 7)):
            tally.started += 1
            tally.record(sample(5 * MS, model=f"m{number:04}"))
    aggregate = Aggregate()
    aggregate.accept(tally.look(SECOND))
    return Live("one", aggregate.view(), users={}, target_users=1, started_s=0.0)


@pytest.mark.parametrize("ended", [False, True])
def test_each_row_has_a_text_for_each_column(ended: bool) -> None:
    """Every cell is text, under the key of a column; and no key is `name`, by which the page would sort."""
    found = tables(live(ended=ended), RATES)
    assert found.keys() == {tab.key for tab in TABS}
    for tab in TABS:
        assert found[tab.key]
        assert "name" not in tab.columns
        for row in found[tab.key]:
            assert row.keys() <= tab.columns.keys()
            assert all(type(text) is str for text in row.values())


def test_load() -> None:
    """All that was sent, the warm-up's requests too; rates are those of the last seconds."""
    shown = {row["what"]: row["now"] for row in load_rows(live(), RATES)}
    assert shown["achieved"] == "200/s"
    assert shown["offered by schedule"] == "closed loop"
    assert shown["requests"].startswith("4,002, failed ")
    assert shown["unsent"] == "2"
    assert shown["in flight"] == "0"


def test_serving_has_the_numbers_of_the_report() -> None:
    """Counts, rates and quantiles of each row are the report's, to the last digit shown."""
    result = run()
    rows = [_plain(row) for row in serving_rows(live(), RATES)]
    assert [(row["scenario"], row["protocol"]) for row in rows] == [
        ("Browser", "rest"),
        ("ResNet", "grpc"),
        ("all", ""),
    ]
    for row, key in zip(rows, [*result["keys"], result], strict=True):
        counts = key.get("totals", key)
        assert row["requests"] == units.count(counts["requests"])
        assert row["failed"] == units.count(counts["failed"])
        assert row["rate"] == units.rate(key["throughput"]["requests_per_s"])
        assert row["rows"] == units.rate(key["throughput"]["rows_per_s"])
        for name, column in (("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("p999", "p99_9")):
            assert row[name] == units.duration(key["response_time_s"][column])
        assert row["failures"] == ", ".join(f"{name} {count}" for name, count in key["failures"].items())
    assert [row["now"] for row in rows] == [units.NOTHING, "130/s", "200/s"]


def test_the_rows_with_most_requests_are_shown() -> None:
    """A thousand models do not make a thousand rows; one for all says how many are left out."""
    rows = serving_rows(_looking_at(models=MOST_ROWS + 50), Rates())
    assert len(rows) == MOST_ROWS + 1
    assert "m0007" in [row["model"] for row in rows]
    assert rows[-1]["scenario"] == "all, and 50 that are not shown"
    assert rows[-1]["requests"] == units.count(MOST_ROWS + 51)


def test_before_there_is_anything() -> None:
    """A warm-up says so with its count, and a run that has sent nothing says that."""
    (row,) = serving_rows(_looking_at(warmup_s=10, requests=3), Rates())
    assert row == {"scenario": "warming up: 3 requests so far, which do not count"}
    (row,) = serving_rows(_looking_at(models=0), Rates())
    assert row == {"scenario": "no request has ended yet"}


def test_verdict_while_the_run_goes_on() -> None:
    """Each objective with its numbers; the state so far is no verdict yet, and what speaks against the run is told."""
    rows = _rows(live(failing=0.2), VERDICT.key)
    assert rows["verdict"]["state"] == "open"
    assert rows["verdict"]["why"].endswith(" if the run ended now")
    assert rows["throughput>=100/s"]["bound"] == ">= 100/s"
    assert rows["throughput>=100/s"]["sure"] == rows["throughput>=100/s"]["budget"] == units.NOTHING
    errors = rows["error_rate<1%"]
    assert (errors["bound"], errors["state"]) == ("< 1 %", "FAIL")
    assert errors["sure"].endswith("allowed 1 %, at 95 %")
    assert errors["budget"].startswith(f"{units.MINUS}1")
    assert errors["budget"].endswith(" %")
    assert rows["validity"]["why"] == "nothing speaks against what was measured so far"


def test_an_open_objective_says_which_side_it_is_on() -> None:
    """Too few requests to be sure: within so far, and how many more it takes."""
    rows = _rows(live(seconds=1, failing=0, objectives=("p99<900ms",)), VERDICT.key)
    assert rows["p99<900ms"]["state"] == "UNDECIDED, within"
    assert "more requests at this share would decide it" in rows["p99<900ms"]["why"]
    assert rows["p99<900ms"]["budget"] == "100 %"
    assert rows["verdict"]["why"] == "INVALID if the run ended now, for an objective is undecided"


def test_every_doubt_is_a_row() -> None:
    """A worker that is gone, while the run goes on: validity has a row for it."""
    found = [row for row in tables(live(lost=True), RATES)[VERDICT.key] if row["what"] == "validity"]
    assert [row["state"] for row in found] == ["invalid", "invalid"]
    assert [row["why"].split(":")[0] for row in found] == ["worker-lost", "worker-lost"]


def test_verdict_when_the_run_has_ended() -> None:
    """The verdict and its exit code; rows of objectives are those of the report."""
    rows = _rows(live(ended=True), VERDICT.key)
    assert (rows["verdict"]["state"], rows["verdict"]["why"]) == ("FAIL", "exit code 1")
    assert rows["validity"]["why"] == "nothing speaks against what was measured"
    for one in run()["objectives"]:
        row = rows[one["expression"]]
        assert (row["state"], row["measured"]) == (one["state"], units.measured(one["metric"], one["measured"]))


def test_a_search_for_capacity() -> None:
    """While it goes on there is no answer; then its sentence is a row."""
    going = replace(live(), searches=True)
    assert _rows(going, VERDICT.key)["verdict"]["why"] == "the search for capacity goes on"
    found = CapacityRun(SearchSettings())
    search(VirtualServer(fixed(0.02), largest_batch=8, unit=Unit.USERS), found)
    assert found.answer is not None
    section = capacity.section(found.answer, found.search.chosen)
    row = _rows(replace(live(ended=True), sections={"capacity": section}), VERDICT.key)["capacity"]
    assert row["state"] == section["state"]
    assert row["why"].startswith(section["sentence"])


def _server(**more: Any) -> dict[str, Any]:
    """The section of a server that was seen to fill its batches, without a plan."""
    batching = {
        "mean_rows_per_batch": 7.9,
        "fill_ratio": 0.9875,
        "padding_ratio": 0.0125,
        "requests_per_batch": 1.98,
        "queueing_share": 0.21,
        "executed_batches": 12_345,
        "uncertain": [],
    }
    page = {"url": "http://s:8501/m", "state": "read", "reason": "", "looks": 3, "used": True, "guessed": False}
    server = {"asked": True, "pages": [page], "window_s": 35.0, "batching": batching, "plans": [], **more}
    return {"server": server, "diagnosis": []}


def _unseen(**page: Any) -> dict[str, Any]:
    batching = dict.fromkeys(_server()["server"]["batching"])
    seen = {"url": "http://s:8501/m", "state": "absent", "reason": "", "looks": 2, "used": True, **page}
    return _server(batching={**batching, "uncertain": []}, pages=[seen], window_s=None)


def test_batching_beside_its_plan() -> None:
    """Measured and expected in one row; of two scenarios that differ each with its name."""
    expected = {
        "mean_rows_per_batch": 8.0,
        "fill_ratio": 1.0,
        "padding_ratio": 0.0,
        "requests_per_batch": 2.0,
        "mean_queueing_s": 0.0012,
    }
    plans = [
        {"scenario": "A", "expected": expected, "statements": [{"id": "x", "warning": True, "sentence": "send more"}]},
        {"scenario": "B", "expected": {**expected, "fill_ratio": 0.5}, "statements": []},
    ]
    rows = _rows(replace(live(), sections=_server(plans=plans)), BATCHING.key)
    assert (rows["rows in a batch"]["measured"], rows["rows in a batch"]["planned"]) == ("7.9", "8")
    assert (rows["full"]["measured"], rows["full"]["planned"]) == ("98.75 %", "A 100 %, B 50 %")
    assert rows["queueing"]["measured"] == "21 % of the service time"
    assert rows["queueing"]["planned"] == "1.2 ms"
    assert rows["executed batches"]["measured"] == "12,345"
    assert rows["plan of A"]["measured"] == "Send more"


def test_what_the_diagnosis_found() -> None:
    """Each finding is a row with its sentence; one that says that the numbers are not the run's goes with them."""
    findings = [
        {"id": "queue-full", "sentence": "batching queue full: 3 % refused"},
        {"id": "no-data", "sentence": "nothing is known: other models were served, too"},
    ]
    rows = _rows(replace(live(), sections={**_server(), "diagnosis": findings}), BATCHING.key)
    assert rows["queue-full"]["measured"] == "Batching queue full: 3 % refused"
    assert rows["not to be relied on"]["measured"] == "Nothing is known: other models were served, too"
    assert rows["rows in a batch"]["planned"] == "not known: give --tfs-batching-parameters-file"


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({}, "The server is not looked at yet"),
        (_server(pages=[], batching=_unseen()["server"]["batching"]), "No metrics page is looked at. To see"),
        (_unseen(looks=1), "The server's page is looked at every few seconds"),
        (_unseen(reason="connection refused", looks=1), "http://s:8501/m: connection refused. To see"),
        (_unseen(used=False), "http://s:8501/m counted nothing of this run: it is another server's. To see"),
        (_unseen(), "The server's page counts no batch: batching is off there"),
    ],
)
def test_why_nothing_is_known_of_batching(sections: dict[str, Any], why: str) -> None:
    """One row says why, and what to give."""
    (row,) = tables(replace(live(), sections=sections), RATES)[BATCHING.key]
    assert row["what"] == "not known"
    assert row["measured"].startswith(why)


def test_what_is_uncertain_says_so() -> None:
    """Where the page's sums have too few digits, rows and padding are marked, what they do not touch is not."""
    section = _server()
    section["server"]["batching"]["uncertain"] = ["executed_rows"]
    rows = _rows(replace(live(), sections=section), BATCHING.key)
    assert rows["rows in a batch"]["measured"] == "7.9 (uncertain)"
    assert rows["requests in a batch"]["measured"] == "1.98"
