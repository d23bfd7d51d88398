"""The page in a browser, opened from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import browser, needs_browser, set_screen
from tests.report.runs import run
from tests.unit.virtual_server import VirtualServer, fixed, search
from tfs_locust.judge.capacity import CapacityRun, SearchSettings
from tfs_locust.judge.level import Unit
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.report import capacity
from tfs_locust.report.html import page
from tfs_locust.report.report import Result, build

__all__ = ["browser"]  # a fixture

pytestmark = needs_browser


def show(browser: webdriver.Chrome, path: Path, result: Result, *, width: int = 1400, scheme: str = "light") -> None:
    """Open the page of a result, and wait until every plot is drawn or says why not."""
    path.write_text(page(result), encoding="utf-8")
    set_screen(browser, width=width, height=900, scheme=scheme)
    browser.get(path.as_uri())
    drawn = "return [...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg, p'))"
    WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: ask(browser, drawn))


def ask(browser: webdriver.Chrome, script: str) -> Any:
    return browser.execute_script(script)


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plots_are_drawn(browser: webdriver.Chrome, tmp_path: Path, width: int, scheme: str) -> None:
    """All five have their lines in the colours of the scheme, none is wider than the screen, nothing else is loaded."""
    show(browser, tmp_path / "report.html", run(), width=width, scheme=scheme)
    lines = {
        plot: ask(browser, f"return document.querySelectorAll('#{plot} .scatterlayer .js-line').length")
        for plot in ("percentiles", "throughput", "latency", "failures", "users")
    }
    # two curves and two bounds; p50, p99 and max
    assert lines == {"percentiles": 4, "throughput": 1, "latency": 3, "failures": 1, "users": 1}
    assert ask(browser, "return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    background = ask(browser, "return document.getElementById('latency')._fullLayout.paper_bgcolor")
    assert background == {"light": "#ffffff", "dark": "#1a1e22"}[scheme]
    assert ask(browser, "return performance.getEntriesByType('resource').filter(one => !/^data:/.test(one.name))") == []
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_a_page_of_nothing_draws_nothing(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Each plot says so, without an error."""
    view = Aggregate().view()
    show(browser, tmp_path / "report.html", build(view, judge(view, ()), {}))
    said = ask(browser, "return [...document.querySelectorAll('.plot')].map(plot => plot.textContent)")
    assert said == ["Nothing was measured."] * 5
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_knee_is_drawn(browser: webdriver.Chrome, tmp_path: Path, scheme: str) -> None:
    """Two lines and the objective's bound; the levels that fail are red, in the colours of the scheme."""
    server = VirtualServer(fixed(0.02), largest_batch=8, unit=Unit.USERS)
    found = CapacityRun(SearchSettings())
    search(server, found)
    assert found.answer is not None
    result = {**run(seconds=3), "capacity": capacity.section(found.answer, found.search.chosen)}
    show(browser, tmp_path / "report.html", result, scheme=scheme)
    assert ask(browser, "return document.querySelectorAll('#capacity .scatterlayer .js-line').length") == 3
    colors = ask(browser, "return document.getElementById('capacity').data[1].marker.color")
    red, orange = {"light": ("#b3261e", "#b3570d"), "dark": ("#f28b82", "#eda35c")}[scheme]
    assert colors == [orange] * 7 + [red] * 5
    assert ask(browser, "return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_what_is_pointed_at_is_shown_in_all(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The second under the pointer is read in the four plots over time."""
    show(browser, tmp_path / "report.html", run())
    middle = "const box = document.getElementById('latency').getBoundingClientRect();"
    x, y = ask(
        browser,
        f"document.getElementById('latency').scrollIntoView({{block: 'center'}}); {middle}"
        "return [box.left + box.width / 2, box.top + box.height / 2]",
    )
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
    read = (
        "return [...document.querySelectorAll('.plots .hoverlayer .legendtitletext')].map(title => title.textContent)"
    )
    titles = WebDriverWait(browser, 10, poll_frequency=0.05).until(
        lambda _: len(found := ask(browser, read)) == 4 and found
    )
    assert len(set(titles)) == 1
