"""Switches, outages and availability in the report: all figures are there, read again the same, told, and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium import webdriver

from tests.browser import browser, needs_browser
from tests.report.runs import MANIFEST, run
from tests.report.stability_runs import OBJECTIVES, eventful, eventful_result
from tests.report.test_page import ask, show
from tests.report.test_renderings import Page, plots
from tests.unit.measured import MS, SECOND, sample, told
from tfs_locust.judge.lifecycle import look
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.report.commands import judge_command
from tfs_locust.report.console import closing_table
from tfs_locust.report.files import read, write
from tfs_locust.report.html import page
from tfs_locust.report.lifecycle import lifecycle_of, section
from tfs_locust.report.markdown import summary
from tfs_locust.report.report import Result, build

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="module")
def result() -> Result:
    """Of an eventful run."""
    return eventful_result()


def test_the_fields_that_pipelines_read(result: Result) -> None:
    """Their names are an interface."""
    life = result["lifecycle"]
    (switch,) = life["switches"]
    assert (switch["to_version"], switch["available_s"], switch["errors"]) == ("2", 2.0, 0)
    assert switch["first_answer_s"] == pytest.approx(2.15, abs=0.2)
    assert switch["last_old_answer_s"] == pytest.approx(2, abs=0.2)
    assert switch["first_answers"]["slow"] == 20
    (outage,) = life["outages"]
    assert outage["start_s"] == pytest.approx(20, abs=0.1)
    assert outage["detected_s"] == pytest.approx(20, abs=0.1)
    assert outage["first_success_s"] == pytest.approx(20.5, abs=0.1)
    assert 20.5 <= outage["recovered_s"] <= 21.1
    availability = life["availability"]
    assert availability["by_request"] == pytest.approx(1 - 0.5 / 28, abs=0.01)
    assert (availability["seconds"], availability["by_second"]) == (28, pytest.approx(27.5 / 28, abs=0.02))
    assert [(one["second"], one["kind"]) for one in life["marks"]] == [(8, "switch"), (20, "restart")]
    assert [(one["model"], one["version"]) for one in life["versions"]] == [("resnet", "1"), ("resnet", "2")]
    ok = sum(sum(one["by_second"]) for one in life["versions"])
    assert ok == sum(one["answers"] for one in life["versions"])
    assert ok == result["totals"]["ok"] + result["warmup"]["ok"]


def test_what_was_found_is_read_again_as_it_was() -> None:
    """Through JSON, whole."""
    view, found = eventful()
    assert lifecycle_of({"lifecycle": json.loads(json.dumps(section(view, found)))}) == found
    assert lifecycle_of({}) is None


def test_it_is_judged_again_from_the_file(result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same objectives give the same verdict, stricter ones another."""
    write(tmp_path, result)
    assert result["verdict"]["state"] == "PASS"
    assert read(tmp_path)["objectives"] == result["objectives"]
    for extra, code in ([], 0), (["switch_time<1s"], 1), (["canary: p99_ratio<1.1"], 3):
        arguments = [one for text in [*OBJECTIVES, *extra] for one in ("--tfs-slo", text)]
        assert judge_command([str(tmp_path), *arguments]) == code
    assert "version 1 to 2" in capsys.readouterr().out


def test_it_is_told(result: Result) -> None:
    """On the terminal and in Markdown, a line for each; a run in which nothing happened is told as before."""
    for text in (closing_table(result), summary(result).replace("\\", "")):
        assert "resnet: version 1 to 2 at 8.000 s: available after 2 s, first answer after 2." in text
        assert "20 of its first 100 answers were slow" in text
        assert "outage at 20." in text
        assert "first success after " in text
        assert "available: 98." in text
    quiet = run()
    view = Aggregate().view()
    nothing = build(view, judge(view, ()), {})
    assert not [line for line in closing_table(quiet).splitlines() if line.startswith(("available", "outage"))]
    assert "Versions and outages" not in page(nothing)


def test_the_first_answers_of_many_models_are_told() -> None:
    """Where there are more than a few; of two versions nobody asks how late the first answer was."""
    for models, is_told in ((6, True), (2, False)):
        tally = Tally("w", 1, origin_ns=0)
        for lap in range(3):
            for number in range(models):
                response_ms = 90 if number == 1 and not lap else 50 if not lap else 4
                tally.started += 1
                tally.record(sample(response_ms * MS, due_ns=lap * SECOND, model=f"m_{number}", version="1"))
        aggregate = Aggregate()
        aggregate.accept(told(tally, final=True))
        view = aggregate.view()
        result = build(view, judge(view, ()), MANIFEST, {"lifecycle": section(view, look(view))})
        sentence = (
            "first answers of 6 models and versions: p50 / p99 50 ms / 90 ms, those after them 4 ms / 4 ms; the "
            "slowest in 90 ms (m_1:1)"
        )
        assert (sentence in closing_table(result)) is is_told
        assert (sentence in " ".join(Page(page(result)).text)) is is_told
        assert result["lifecycle"]["first_touch"]["targets"] == models


def test_objectives_are_told_with_their_units(result: Result) -> None:
    """Seconds, and percent with the digits that matter."""
    table = closing_table(result)
    assert "switch_time<10s" in table
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.split()[:1]}
    assert rows["switch_time<10s"][1:] == ["s", "PASS"]
    assert rows["switch_success>=99.5%"] == ["100", "%", "PASS"]
    assert rows["availability>=80%"][1:] == ["%", "PASS"]


def test_the_page_tells_and_draws_it(result: Result) -> None:
    """A section of its own; marks as lines, the outage as a stretch, answers by version."""
    text = page(result)
    words = " ".join(Page(text).text)
    assert "Versions and outages" in words
    assert "Cold: 20 of its first 100 answers" in words
    drawn = plots(text)["lifecycle"]
    assert drawn["lines"] == [{"second": 8, "text": "switch 2"}, {"second": 20, "text": "restart"}]
    assert [round(one["from"]) for one in drawn["outages"]] == [20]
    assert [one["name"] for one in drawn["versions"]] == ["resnet:1", "resnet:2"]


@needs_browser
def test_marks_are_lines_on_every_plot(browser: webdriver.Chrome, tmp_path: Path, result: Result) -> None:
    """Two dotted lines and a stretch on each plot over time, and nothing that the browser minds."""
    show(browser, tmp_path / "report.html", result)
    for plot in ("throughput", "latency", "failures", "users", "versions"):
        shapes = ask(browser, f"return document.getElementById('{plot}')._fullLayout.shapes.map(one => one.type)")
        assert shapes.count("line") == 2, plot
        assert shapes.count("rect") == 2, plot  # the warm-up and the outage; nothing was left to drain
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_a_run_of_hours_is_a_report_of_bounded_size() -> None:
    """Old seconds are wider steps in it; every request is in the columns, and rates are by the second."""
    tally, hours = Tally("w", 1, origin_ns=0, fine_s=60), 2
    for at_s in range(hours * 3600):
        for number in range(3):
            outcome = Outcome.UNAVAILABLE if number == 2 else Outcome.OK
            tally.record(sample(MS, due_ns=at_s * SECOND, outcome=outcome))
        tally.record_users(at_s * SECOND, 5)
        if at_s % 100 == 0:
            tally.snapshot(at_s * SECOND, changes_only=True)
    tally.end_load(hours * 3600 * SECOND)
    aggregate = Aggregate()
    aggregate.accept(told(tally, hours * 3600 * SECOND, final=True))
    view = aggregate.view()
    result = build(view, judge(view, parse_objectives(["error_rate<50%"])), {})
    timeline = result["timeline"]
    assert len(timeline["second"]) < 200
    assert sum(timeline["step_s"]) == hours * 3600
    assert sum(timeline["requests"]) == result["totals"]["requests"] == 3 * hours * 3600
    assert set(timeline["step_s"]) == {1, 10, 60, 600}
    drawn = plots(page(result))["timeline"]
    assert set(drawn["ok"]) == {2}
    assert set(drawn["failures"]) == {1}
    assert set(drawn["users"]) == {5}
