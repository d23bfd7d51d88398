"""The search for capacity in every form of the report."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.report.runs import run
from tests.unit.virtual_server import VirtualServer, fixed, search
from tfs_locust.judge.capacity import CapacityRun, SearchSettings
from tfs_locust.judge.level import Unit
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.measure.sample import Outcome
from tfs_locust.report import capacity, files
from tfs_locust.report.commands import render_command
from tfs_locust.report.console import closing_table
from tfs_locust.report.html import page
from tfs_locust.report.junit import junit_xml
from tfs_locust.report.markdown import summary
from tfs_locust.report.report import Result


def with_search(server: VirtualServer, *expressions: str, **options: Any) -> Result:
    """A run with a search of this server in it."""
    found = CapacityRun(SearchSettings(unit=server.unit, **options), parse_objectives(expressions))
    search(server, found)
    assert found.answer is not None
    return {**run(seconds=3), "capacity": capacity.section(found.answer, found.search.chosen)}


@pytest.fixture(scope="module")
def result() -> Result:
    """Batches of 8 in 20 ms: 32 users wait for four of them."""
    return with_search(VirtualServer(fixed(0.02), largest_batch=8, unit=Unit.USERS), "default")


@pytest.fixture(scope="module")
def limited() -> Result:
    """The generator sends no more than 400/s, the server would carry 1,000."""
    return with_search(VirtualServer(fixed(0.001), sends_at_most=400), "p99<100ms")


@pytest.fixture(scope="module")
def failing() -> Result:
    """A server that refuses everything."""
    return with_search(VirtualServer(fixed(0.01), unit=Unit.USERS, outcome=lambda _: Outcome.UNAVAILABLE))


def test_the_section(result: Result) -> None:
    """The names are an interface; numbers of users are integers."""
    levels = result["capacity"]["levels"]
    assert {name: value for name, value in result["capacity"].items() if name != "levels"} == {
        "state": "PASS",
        "value": 32,
        "unit": "users",
        "at_least": 32,
        "limited_by": "p99<100ms",
        "sentence": "carries 32 users (400/s) inside error_rate<0.1% and p99<100ms; "
        "33 users fail p99<100ms (100 ms); resolution 3.1 %",
        "achieved_per_s": 400.0,
        "rows_per_s": 1600.0,
        "bound": {"load": 33, "verdict": "FAIL", "limited_by": "p99<100ms", "why": "p99<100ms (100 ms)"},
        "confirmed": True,
        "resolution": 0.05,
        "resolution_reached": 0.03125,
        "objectives": ["error_rate<0.1%", "p99<100ms"],
        "objectives_by_default": False,
        "objectives_left_out": ["throughput>=10000/s"],
    }
    assert [one["load"] for one in levels] == [1, 2, 4, 8, 16, 32, 64, 45, 38, 35, 33, 32]
    assert all(type(one["load"]) is int for one in levels)
    best = levels[-1]
    assert (best["purpose"], best["verdict"], best["limited_by"], best["stable"]) == ("confirmation", "PASS", "", True)
    assert (best["offered_per_s"], best["p50_s"], best["judged_s"]) == (None, pytest.approx(0.08, rel=1e-3), 12.0)
    assert all(before["end_s"] <= after["begin_s"] for before, after in pairwise(levels))


def test_the_console_shows_the_knee(result: Result) -> None:
    """A row for each level by rising load, then the answer, and the verdict last."""
    lines = closing_table(result).splitlines()
    at = next(number for number, line in enumerate(lines) if line.split()[:2] == ["load", "achieved"])
    assert lines[at].split() == list(capacity.TABLE_HEAD)
    shown = [line.split("  ")[0] for line in lines[at + 1 : at + 13]]
    assert shown == [f"{n} user{'s' * (n > 1)}" for n in (1, 2, 4, 8, 16, 32, 32, 33, 35, 38, 45, 64)]
    assert lines[at + 1].endswith("open")
    assert lines[at + 12].endswith("FAIL p99<100ms")
    assert lines[at + 13] == "not searched by: throughput>=10000/s"
    assert lines[at + 14] == f"capacity: {result['capacity']['sentence']}"
    assert lines[-1].startswith("verdict: ")


def test_a_run_without_a_search_tells_nothing_of_it() -> None:
    """Absent or null: no line, no section, no file, no test case."""
    for without in (run(seconds=3), {**run(seconds=3), "capacity": None}):
        assert "capacity" not in closing_table(without)
        assert "Capacity" not in summary(without)
        assert "<h2>Capacity" not in page(without)
        assert "capacity" not in junit_xml(without)


def test_markdown(result: Result, failing: Result) -> None:
    """Heading, sentence, and a table that no objective breaks; objectives taken by default are told."""
    text = summary(result)
    assert "\n## Capacity\n\ncarries 32 users" in text
    assert "| 64 users | 400/s | 160 ms | 160 ms | 0 % | FAIL p99\\<100ms |" in text
    assert "no objective that limits the load was given, so p99\\<100ms and error\\_rate\\<0.1% were taken" in summary(
        failing
    )


def test_the_csv_has_each_level(result: Result, tmp_path: Path) -> None:
    """As they were measured, with names as in the JSON; it is written with the other files, and by render."""
    written = files.write(tmp_path, result)
    assert tmp_path / "capacity.csv" in written
    text = (tmp_path / "capacity.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["load"] for row in rows] == [str(one["load"]) for one in result["capacity"]["levels"]]
    assert set(rows[0]) <= set(result["capacity"]["levels"][0])
    assert rows[-1]["verdict"] == "PASS"
    assert render_command([str(tmp_path), "-o", str(tmp_path / "again")]) == 0
    for path in written:
        if path.name != "report.json":
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_junit(result: Result, limited: Result, failing: Result) -> None:
    """A number passes, no load is a failure, and what is not to be believed an error."""
    for given, kind, failures, errors in (
        (result, "system-out", 0, 0),
        (limited, "error", 0, 1),
        (failing, "failure", 1, 0),
    ):
        (suite,) = ET.fromstring(junit_xml(given))
        (without,) = ET.fromstring(junit_xml({**given, "capacity": None}))
        case = next(one for one in suite if one.get("classname") == "tfs_locust.capacity")
        assert case[0].tag == kind
        assert given["capacity"]["sentence"] in (case[0].text or case[0].get("message") or "")
        added = [int(suite.get(name, 0)) - int(without.get(name, 0)) for name in ("tests", "failures", "errors")]
        assert added == [1, failures, errors]


def test_a_limited_generator_is_no_number(limited: Result) -> None:
    """The value is null, in every form it says at least."""
    found = limited["capacity"]
    assert (found["value"], found["limited_by"], found["state"]) == (None, "generator", "INVALID")
    assert found["at_least"] < 400
    assert f"carries at least {found['at_least']:g}/s" in closing_table(limited)
    assert f"at least {found['at_least']:g}/s" in page(limited)


def test_the_plot_is_the_knee(result: Result, failing: Result) -> None:
    """Points by rising load with their verdicts, and the bounds on the response time; none where nothing ended well."""
    drawn = capacity.plot(result)
    assert drawn is not None
    assert drawn["label"][-1] == "64 users"
    assert drawn["verdict"][-1] == "FAIL p99<100ms"
    assert drawn["p99_ms"][-1] == pytest.approx(160, rel=1e-3)
    assert drawn["bounds"] == [{"ms": 100.0, "label": "p99<100ms"}]
    nothing = capacity.plot(failing)
    assert nothing is not None
    assert nothing["label"] == []
    assert "none found" in page(failing)
