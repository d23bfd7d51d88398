"""Locust's page in a real browser, from the form to the downloads, with our tabs in it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import browser, needs_browser, set_screen
from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import LocustWeb, wait_until

__all__ = ["browser"]  # a fixture

pytestmark = needs_browser


class Page:
    """What a person sees and does."""

    def __init__(self, browser: webdriver.Chrome, web: LocustWeb) -> None:
        self.browser, self.web = browser, web

    def open(self, *, width: int = 1280, height: int = 800, scheme: str = "light") -> None:
        set_screen(self.browser, width=width, height=height, scheme=scheme)
        self.browser.get(self.web.url)
        wait_until(lambda: self.browser.find_elements(By.TAG_NAME, "main"))

    def fill(self, name: str, text: str) -> None:
        """Write into a field, over what is in it."""
        field = self.browser.find_element(By.NAME, name)
        wait_until(field.is_displayed)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def press(self, text: str) -> None:
        """A button, or the head of what can be opened."""
        button = f"//button[normalize-space()='{text}' and not(@disabled)]"
        wait_until(lambda: any(one.is_displayed() for one in self.browser.find_elements(By.XPATH, button)))
        shown = [one for one in self.browser.find_elements(By.XPATH, button) if one.is_displayed()]
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", shown[-1])

    def tab(self, title: str) -> None:
        """Go to a tab."""
        wait_until(lambda: self.browser.find_elements(By.XPATH, f"//*[@role='tab'][normalize-space()='{title}']"))
        found = self.browser.find_element(By.XPATH, f"//*[@role='tab'][normalize-space()='{title}']")
        self.browser.execute_script("arguments[0].click()", found)

    def table(self) -> list[dict[str, str]]:
        """The rows of the table that is shown."""
        read = """
            const texts = row => [...row.cells].map(cell => cell.textContent);
            const head = document.querySelector('main thead tr'), rows = document.querySelectorAll('main tbody tr');
            return head ? [texts(head), ...[...rows].map(texts)] : [[]]
        """
        head, *rows = self.browser.execute_script(read)  # type: ignore[no-untyped-call]
        return [dict(zip(head, row, strict=True)) for row in rows]

    def rows(self, title: str) -> dict[str, dict[str, str]]:
        """The rows of a tab, by their first cell."""
        self.tab(title)
        wait_until(lambda: self.table(), saying=lambda: self.web.output)
        return {next(iter(row.values())): row for row in self.table()}

    def faults(self) -> list[str]:
        """What the browser logged as wrong."""
        return [one["message"] for one in self.browser.get_log("browser") if one["level"] == "SEVERE"]  # type: ignore[no-untyped-call]


@pytest.fixture
def page(browser: webdriver.Chrome, serving: Serving, locust_web: Callable[..., LocustWeb]) -> Iterator[Page]:
    """The page of an example locustfile that was given no option; the browser leaves it before Locust ends."""
    web = locust_web("-f", Interface("grpc", serving.grpc).locustfile, "--host", serving.grpc)
    web.wait_for_page()
    yield Page(browser, web)
    # a page left open would go on asking a Locust that is gone, and log that among the faults of the next test
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]


def _number(text: str) -> float:
    digits = text.removesuffix("/s").replace(",", "")
    return float(digits) if digits.replace(".", "").isdigit() else 0.0


def test_a_run_from_the_form_to_the_downloads(page: Page, tmp_path: Path) -> None:
    """Custom options start it, users are added while it runs, each tab moves with the API, and without a reload
    shows how it ended; what is downloaded has the numbers of the tabs."""
    page.open()
    page.press("Custom parameters")
    for name, text in {
        "tfsModel": "dense",
        "tfsRows": "3",
        "tfsArrival": "constant:10",
        "tfsSlo": "p50<5s | error_rate<50%",
    }.items():
        page.fill(name, text)
    page.fill("userCount", "3")
    page.fill("spawnRate", "3")
    page.press("Start")

    def load() -> dict[str, str]:
        return {what: row["Now"] for what, row in page.rows("Load").items()}

    def serving() -> dict[str, str]:
        return next(iter(page.rows("TF Serving").values()))

    wait_until(lambda: 20 < _number(load().get("achieved", "")) < 40, saying=lambda: f"{load()} {page.web.output}")
    before = _number(page.web.tabs()["tfs-serving"][0]["requests"])
    wait_until(lambda: _number(serving().get("Requests", "")) >= before)
    shown = _number(serving()["Requests"])
    wait_until(lambda: _number(page.web.tabs()["tfs-serving"][0]["requests"]) >= shown)
    assert serving()["Model"] == "dense"
    assert page.rows("Verdict")["verdict"]["State"] == "open"
    assert page.rows("Batching")

    page.press("Edit")
    page.fill("userCount", "6")
    page.press("Update")
    wait_until(lambda: page.web.users() == 6, saying=lambda: page.web.output)
    wait_until(lambda: 50 < _number(load()["offered by schedule"]) < 70, saying=lambda: str(load()))
    wait_until(lambda: 50 < _number(serving()["Ok/s now"]) < 70, saying=lambda: str(serving()))

    page.press("Stop")
    wait_until(lambda: page.rows("Verdict")["verdict"]["State"] == "PASS", saying=lambda: page.web.output)
    row = serving()
    assert row["Failed"] == "0"

    page.browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": True}
    )
    page.tab("Download Data")
    for title in ("Download TF Serving report", "Download TF Serving report JSON", "Download TF Serving requests CSV"):
        page.browser.find_element(By.LINK_TEXT, title).click()
        suffix = {"JSON": "json", "CSV": "csv"}.get(title.split()[-1], "html")
        wait_until(lambda suffix=suffix: list(tmp_path.glob(f"tfs_locust_*.{suffix}")))  # type: ignore[misc]
    downloaded = {path.suffix: path.read_text() for path in tmp_path.glob("tfs_locust_*")}
    result: dict[str, Any] = json.loads(downloaded[".json"])
    assert result["totals"]["requests"] == _number(row["Requests"])
    assert result["totals"]["rows"] == 3 * result["totals"]["requests"]
    (key,) = csv.DictReader(io.StringIO(downloaded[".csv"]))
    assert int(key["requests"]) == result["totals"]["requests"]
    assert f"{result['totals']['requests']:,}" in downloaded[".html"]
    assert page.faults() == []


def test_custom_parameters_stand_together(page: Page) -> None:
    """The form shows them in the order in which they belong together, each with what its help says."""
    page.open()
    page.press("Custom parameters")
    labels = page.browser.execute_script(  # type: ignore[no-untyped-call]
        "return [...document.querySelectorAll('[name^=tfs]')].map(field => field.labels[0].textContent)"
    )
    assert labels[0].startswith("Tfs Model (Name of the model on the server.")
    assert [label.split(" (")[0] for label in labels[:5]] == [
        "Tfs Model",
        "Tfs Version",
        "Tfs Version Label",
        "Tfs Traffic",
        "Tfs Canary Ramp",
    ]
    assert labels[-1].startswith("Tfs Tls Key")
    assert page.faults() == []
