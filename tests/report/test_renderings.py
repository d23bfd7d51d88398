"""The same result for terminals, pipelines, plotters and browsers."""

from __future__ import annotations

import base64
import gzip
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from tests.report.runs import run
from tests.unit.measured import MS
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.histogram import Histogram
from tfs_locust.report import units
from tfs_locust.report.console import closing_table
from tfs_locust.report.hgrm import percentile_text
from tfs_locust.report.html import page
from tfs_locust.report.junit import junit_xml
from tfs_locust.report.markdown import summary
from tfs_locust.report.report import Result, build


@pytest.fixture(scope="module")
def result() -> Result:
    """A run that breaks one objective."""
    return run()


@pytest.fixture(scope="module")
def nothing() -> Result:
    """A run in which nothing happened."""
    view = Aggregate().view()
    return build(view, judge(view, ()), {})


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.duration(0.0003125), "312.5 us"),
        (units.duration(0.09996), "99.96 ms"),
        (units.duration(0.00099999), "1 ms"),
        (units.duration(1.25), "1.25 s"),
        (units.duration(12345.6), "12350 s"),
        (units.duration(None), units.NOTHING),
        (units.duration(0.0), "0 s"),
        (units.share(0.001), "0.1 %"),
        (units.rate(12345.6), "12,346/s"),
        (units.rate(12.3456), "12.35/s"),
        (units.count(1234567), "1,234,567"),
        (units.measured("rows", 10.0), "10/s"),
        (units.measured("error_rate", 0.0), "0 %"),
        (units.measured("service", 0.02), "20 ms"),
    ],
)
def test_units(shown: str, expected: str) -> None:
    """Four significant digits in the unit that fits."""
    assert shown == expected


def test_the_console_ends_with_the_verdict(result: Result) -> None:
    """A short table, the reason, and the verdict as the last line."""
    lines = closing_table(result).splitlines()
    assert lines[-1] == "verdict: FAIL"
    assert lines[-2].startswith("  objective-failed: p99.9<80ms")
    assert len(lines) < 20
    throughput = units.rate(result["throughput"]["requests_per_s"])
    assert any(line.split() == ["throughput>=100/s", throughput, "PASS"] for line in lines)


def test_the_console_of_nothing(nothing: Result) -> None:
    """No numbers are made up."""
    text = closing_table(nothing)
    assert "0 requests in 0 s" in text
    assert text.endswith("verdict: INVALID\n")


def test_junit(result: Result) -> None:
    """A case for each objective and one for validity; a broken objective is a failure."""
    (suite,) = ET.fromstring(junit_xml(result))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "1", "0")
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        "the run can be believed": [],
        "p99<100ms": ["system-out"],
        "error_rate<1%": ["system-out"],
        "throughput>=100/s": ["system-out"],
        "p99.9<80ms": ["failure"],
    }


def test_junit_of_a_doubtful_run() -> None:
    """A lost worker and an open objective are errors, not failures."""
    (suite,) = ET.fromstring(junit_xml(run(seconds=2, per_second=50, lost=True, failing=0, objectives=("p99<1s",))))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "2")
    error = suite[0][0]
    assert (error.tag, (error.text or "").count("worker-lost")) == ("error", 2)


def test_markdown(result: Result) -> None:
    """The verdict is the heading; what users named cannot break a table."""
    text = summary(result)
    assert text.startswith("# FAIL\n")
    assert "| `p99<100ms` |" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("| `")} == {5}
    assert "| batch_queue_full |" in text


def test_hgrm_has_the_quantiles() -> None:
    """HdrHistogram's text: values rise to the maximum, counts to all, and the summary is exact."""
    histogram = Histogram()
    for number in range(1, 1001):
        histogram.record(number * MS)
    lines = percentile_text(histogram).splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [line.split() for line in lines[2:] if not line.startswith("#")]
    assert ["500.000", "0.500000000000", "500", "2.00"] in rows
    assert rows[-1] == ["1000.000", "1.000000000000", "1000"]
    for column in (0, 1, 2):
        numbers = [float(row[column]) for row in rows]
        assert numbers == sorted(numbers)
    assert "#[Mean    =      500.500, StdDeviation   =      288.675]" in lines
    assert "#[Max     =     1000.000, Total count    =         1000]" in lines


def test_hgrm_of_nothing() -> None:
    """An empty histogram is a table without lines."""
    assert "Total count    =            0]" in percentile_text(Histogram())


class Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in {"src", "href", "action"}]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone(result: Result) -> None:
    """It names no host, loads nothing from anywhere, and can be sent by mail."""
    text = page(result)
    assert Page(text).references == ["data:,"]
    assert not re.search(r"https?://|@import|url\((?!#)|fetch\(|XMLHttpRequest", text)
    assert len(text) < 2_500_000


def test_the_page_holds_the_installed_plotting_library(result: Result) -> None:
    """Unpacked it is the package's script, byte for byte; the same result makes the same page."""
    text = page(result)
    match = re.search(r'<script type="application/gzip" id="plotly">(.*?)</script>', text)
    assert match is not None
    script = files("plotly") / "package_data" / "plotly.min.js"
    assert gzip.decompress(base64.b64decode(match.group(1), validate=True)) == script.read_bytes()
    assert page(result) == text


def test_the_timeline_is_a_table_too(result: Result) -> None:
    """Each second has a row with what the plots show; what was not measured is a dash."""
    timeline = {**result["timeline"], "p50_s": [0.00125, None, *result["timeline"]["p50_s"][2:]]}
    words = [word.strip() for word in Page(page({**result, "timeline": timeline})).text if word.strip()]
    at = words.index("The same as a table")
    rows = [words[at + 8 + 7 * row :][:7] for row in range(len(timeline["second"]))]
    assert words[at + 1 : at + 8] == ["Second", "Ok", "Failures", "Users", "p50", "p99", "max"]
    assert [row[0] for row in rows] == [str(second) for second in timeline["second"]]
    assert [row[4] for row in rows[:2]] == ["1.25 ms", units.NOTHING]
    assert [row[6] for row in rows] == [units.duration(value) for value in timeline["max_s"]]


def test_the_page_says_what_the_result_says(result: Result) -> None:
    """Verdict, numbers, failures and workers are there as text, without a script."""
    text = " ".join(Page(page(result)).text)
    for expected in (
        "✗ FAIL",
        "objective-failed: p99.9<80ms",
        units.duration(result["response_time_s"]["p99"]),
        "deadline_exceeded",
        "worker-2",
        "ResNet <canary> & friends",
    ):
        assert expected in text


def test_the_page_escapes_what_users_named(result: Result) -> None:
    """A name is text, in the page and in its data."""
    hostile = {**result, "manifest": {"title": "</script><script>alert(1)</script>"}}
    hostile["objectives"] = [{**one, "expression": "model=</script><b>: p99<1s"} for one in result["objectives"]]
    text = page(hostile)
    assert "<script>alert" not in text
    assert "</script><b>" not in text


def plots(text: str) -> Result:
    """The data the page draws."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert match is not None
    return dict(json.loads(match.group(1)))


def test_the_curve_is_the_distribution(result: Result) -> None:
    """At two nines the curve is p99; it rises, and ends at the maximum."""
    data = plots(page(result))["percentiles"]
    at_p99 = data["response_ms"][data["nines"].index(2)]
    assert at_p99 == pytest.approx(result["response_time_s"]["p99"] * 1e3, rel=1e-3)
    assert data["response_ms"] == sorted(data["response_ms"])
    assert data["response_ms"][-1] == pytest.approx(result["response_time_s"]["max"] * 1e3)
    assert [(bound["label"], bound["ms"]) for bound in data["bounds"]] == [("p99<100ms", 100), ("p99.9<80ms", 80)]


def test_a_long_run_is_drawn_in_fewer_points(result: Result) -> None:
    """Of several seconds the mean rate and the worst latency is one point."""
    seconds = 2500
    timeline = {name: [0] * seconds for name in result["timeline"]} | {"step_s": [1] * seconds}
    timeline |= {
        "second": list(range(seconds)),
        "requests": [1, 2, 6] * 833 + [4],
        "p99_s": [0.1, None, 0.3] * 833 + [None],
    }
    data = plots(page({**result, "timeline": timeline}))["timeline"]
    assert (data["width"], len(data["second"]), data["second"][1]) == (3, 834, 3)
    assert (data["ok"][0], data["p99_ms"][0], data["p99_ms"][-1]) == (3.0, 300.0, None)


def test_a_page_of_nothing(nothing: Result) -> None:
    """It says that there is nothing."""
    text = " ".join(Page(page(nothing)).text)
    assert "? INVALID" in text
    assert "No worker ever reported." in text
    assert "No request ended after the warm-up." in text
