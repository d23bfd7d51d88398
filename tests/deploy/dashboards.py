"""The dashboards as they are in the repository, and what they ask of Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.swarm.processes import ROOT

GRAFANA = ROOT / "docker" / "grafana"
NAMES = ("tfs_locust", "tf_serving")


def dashboard(name: str) -> Any:
    """One of them, as plain data."""
    return json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())


def panels(name: str) -> list[Any]:
    """Those that show something: all but headings of rows."""
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def queries(name: str) -> Iterator[tuple[str, str]]:
    """Each query with where it stands: ``panel / legend``, or the name of a mark."""
    made = dashboard(name)
    for panel in panels(name):
        for target in panel["targets"]:
            yield f"{panel['title']} / {target['legendFormat']}", target["expr"]
    for mark in made["annotations"]["list"]:
        yield mark["name"], mark["expr"]


def variables(name: str) -> Iterator[tuple[str, str]]:
    """Of each variable that is a label's values: the series and the label."""
    for one in dashboard(name)["templating"]["list"]:
        if one["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", one["query"]["query"])
            assert found, one
            yield found[1], found[2]


def filled_in(expression: str, values: Mapping[str, str]) -> str:
    """A query with Grafana's variables replaced; by ``.*``, as for all, where no value is given."""
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], ".*"), expression)
