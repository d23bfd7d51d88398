"""The dashboards as Grafana will read them, and the names of series that they, rules and documentation use."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.dashboards import GRAFANA, NAMES, dashboard, panels, queries, variables
from tests.deploy.prometheus import RULES
from tests.swarm.processes import ROOT
from tests.unit.measured import MS, SECOND, sample
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.tally import Tally
from tfs_locust.report.exporter import RUN, WORKER, Exporter
from tfs_locust.report.live import Live

KINDS = {"timeseries", "stat", "heatmap", "table", "state-timeline"}
each = pytest.mark.parametrize("name", NAMES)


def test_they_are_what_the_script_makes(tmp_path: Path) -> None:
    """Nobody has to keep two things alike by hand."""
    done = subprocess.run(
        [sys.executable, str(GRAFANA / "build.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in (GRAFANA / "dashboards").iterdir()}, (
        "run python docker/grafana/build.py"
    )


@each
def test_every_panel_says_what_it_shows(name: str) -> None:
    """Title, description, unit, data source, a legend for each query; kinds of panels that Grafana 10 has."""
    for panel in panels(name):
        assert panel["type"] in KINDS, panel["title"]
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs, panel["title"]
        assert len(refs) == len(set(refs))
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        # a table has a column without a heading where labels alone are shown
        assert panel["type"] == "table" or all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    titles = [panel["title"] for panel in panels(name)]
    assert len(titles) == len(set(titles))


@each
def test_panels_have_their_place(name: str) -> None:
    """Each has an id of its own, lies within 24 columns, and over no other."""
    made = dashboard(name)["panels"]
    assert len({panel["id"] for panel in made}) == len(made)
    for panel in made:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
        assert min(place["y"], place["h"] - 1) >= 0, panel["title"]
    for one, other in combinations(made, 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), f"{one['title']} and {other['title']}"


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h"))
    )


@each
def test_variables_are_those_there_are(name: str) -> None:
    """Queries use no variable that the dashboard does not have; it has none that no query uses."""
    there = {one["name"] for one in dashboard(name)["templating"]["list"]}
    texts = [text for _, text in queries(name)] + [series for series, _ in variables(name)]
    used = {found for text in texts for found in re.findall(r"\$(\w+)", text)}
    assert used - {"__rate_interval", "__range"} == there - {"datasource"}


def _shown(prefix: str) -> set[str]:
    """The names of all series that there can be, without the parts of histograms."""
    tally, aggregate = Tally("w", 1, origin_ns=0), Aggregate()
    tally.record(sample(MS))
    tally.health.cpu_share = tally.health.throttled_share = 0.5
    aggregate.accept(tally.snapshot(SECOND, final=True))
    view = aggregate.view()
    verdict = judge(view, parse_objectives(["p99<1s"]))
    server: Any = {"server": {"batching": {"fill_ratio": 1.0, "padding_ratio": 0.0}}}
    live = Live("r", view, {"U": 1}, 1, 0.0, 1.0, verdict.objectives, verdict, sections=server, info={"run": "r"})
    ending = {"counter": "_total", "info": "_info"}
    families = list(Exporter(lambda: live, prefix).collect())
    assert all(family.samples for family in families if "warmup" not in family.name)
    return {family.name + ending.get(family.type, "") for family in families}


def _used(text: str) -> set[str]:
    """Names of our series in an expression; a colon before or after one makes it a recording rule's."""
    names = re.findall(r"(?<![\w:])tfs_locust_\w+(?![\w:])", text)
    return {re.sub("_(bucket|count|sum)$", "", name) for name in names}


def test_dashboards_and_rules_use_series_that_there_are() -> None:
    """Every name is one that the exporter shows."""
    texts = [text for name in NAMES for _, text in queries(name)]
    texts += [series for name in NAMES for series, _ in variables(name)]
    texts += [re.sub(r"- name: .*", "", rules.read_text()) for rules in RULES]
    used = {name for text in texts for name in _used(text)}
    assert len(used) > 30
    assert used <= _shown(RUN) | _shown(WORKER)


def test_recording_rules_that_are_used_are_there() -> None:
    """Every name with a colon in it, but TensorFlow's own, is recorded."""
    rules = "\n".join(file.read_text() for file in RULES)
    recorded = set(re.findall(r"record: (\S+)", rules))
    texts = [text for name in NAMES for _, text in queries(name)] + re.findall(r".*rate30s.*", rules)
    used = {name for text in texts for name in re.findall(r"\b\w+:tfs?_[\w:]+", text)}
    assert used <= recorded


def test_documentation_lists_all_series_and_no_others() -> None:
    """docs/metrics.md is what the exporter shows."""
    text = (ROOT / "docs" / "metrics.md").read_text().partition("## The series")[2].partition("\n## ")[0]
    common, of_the_run = text.split("All of these begin with")
    listed = {name for row in re.findall(r"^\| (`.*?) \|", common, re.MULTILINE) for name in _names(row)}
    alone = {name for row in re.findall(r"^\| (`.*?) \|", of_the_run, re.MULTILINE) for name in _names(row)}
    assert {f"{RUN}_{name}" for name in listed} | alone == _shown(RUN)
    assert {f"{WORKER}_{name}" for name in listed} | {f"{WORKER}_info"} == _shown(WORKER)


def _names(cell: str) -> list[str]:
    return [re.sub(r"\{.*", "", name) for name in re.findall("`(.*?)`", cell)]
