"""Panels and dashboards in Grafana's JSON (schema 38, Grafana 10 and later): what all of ours have in common.

A panel here is a dictionary without id and place; :func:`dashboard` gives it both. Every query asks the data source
that the variable ``datasource`` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

Json = dict[str, Any]

SCHEMA = 38
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


def lines(title: str, description: str, unit: str, queries: Mapping[str, str], **more: Any) -> Json:
    """Values over time: ``queries`` are expressions by their legend; ``stacked`` shows them as parts of a whole."""
    stacked, limit = more.pop("stacked", False), more.pop("limit", None)
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if stacked else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "off" if limit is None else "dashed"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, description, unit, _targets(queries), options, **more)
    panel["fieldConfig"]["defaults"] |= {"custom": custom, "min": 0, "color": {"mode": "palette-classic"}}
    if limit is not None:
        panel["fieldConfig"]["defaults"]["thresholds"] = _thresholds({limit: RED})
    return panel


def number(title: str, description: str, unit: str, expression: str, **more: Any) -> Json:
    """The newest value, large. ``above`` are colours by the value from which on they hold.

    With ``names``, colours by name, it is the series' name that is shown, and of no other time than now.
    """
    above, names = more.pop("above", {}), more.pop("names", {})
    options = {
        "colorMode": "background" if names else "value",
        "graphMode": "none" if names else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "name" if names else "value",
    }
    targets = _targets({more.pop("legend", title): expression}, instant=bool(names))
    panel = _panel("stat", title, description, unit, targets, options, **{"width": 4, "height": 4, **more})
    panel["fieldConfig"]["defaults"] |= {"thresholds": _thresholds(above), "color": {"mode": "thresholds"}}
    panel["fieldConfig"]["defaults"] |= {"noValue": "not yet"} if names else {}
    panel["fieldConfig"]["overrides"] = [
        _override(name, color={"mode": "fixed", "fixedColor": color}) for name, color in names.items()
    ]
    return panel


def heatmap(title: str, description: str, unit: str, buckets: str, **more: Any) -> Json:
    """How a histogram's buckets fill over time: ``buckets`` is an expression with the one label ``le``."""
    options = {
        "calculate": False,
        "cellGap": 0,
        "cellValues": {"unit": "short", "decimals": 0},
        "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "steps": 64},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "show": True, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    targets = [target | {"format": "heatmap"} for target in _targets({"{{le}}": buckets})]
    return _panel("heatmap", title, description, unit, targets, options, **more)


def states(title: str, description: str, queries: Mapping[str, str], names: Mapping[int, tuple[str, str]]) -> Json:
    """A bar over time for each series; ``names`` are text and colour of each value."""
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    panel = _panel("state-timeline", title, description, "none", _targets(queries), options, width=12)
    values = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(names.items())
    }
    panel["fieldConfig"]["defaults"] |= {
        "custom": {"fillOpacity": 70, "lineWidth": 0},
        "mappings": [{"type": "value", "options": values}],
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds({}),
    }
    return panel


def table(
    title: str, description: str, columns: Sequence[tuple[str, str, str]], hidden: Iterable[str] = (), **more: Any
) -> Json:
    """The newest values, a row for each set of labels: ``columns`` are heading, unit and expression.

    Of a column without a heading the labels are shown alone.
    """
    # Grafana calls the only value "Value", and of several each by its query
    values = [f"Value #{ref}" for ref in ascii_uppercase[: len(columns)]] if len(columns) > 1 else ["Value"]
    headings = {value: heading for value, (heading, _, _) in zip(values, columns, strict=True)}
    unnamed = [value for value, heading in headings.items() if not heading]
    queries = {heading: expression for heading, _, expression in columns}
    targets = [target | {"format": "table"} for target in _targets(queries, instant=True)]
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": ""}}
    panel = _panel("table", title, description, "short", targets, options, **{"width": COLUMNS, **more})
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": dict.fromkeys(["Time", *unnamed, *hidden], True),
                "indexByName": {},
                "renameByName": {value: heading for value, heading in headings.items() if heading},
            },
        },
    ]
    panel["fieldConfig"]["overrides"] = [_override(heading, unit=unit) for heading, unit, _ in columns if heading]
    return panel


def variable(name: str, label: str, series: str) -> Json:
    """Values of the label ``name`` of a series to choose from, several or all."""
    query = f"label_values({series}, {name})"
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,  # whenever the time range changes: runs come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
    }


def mark(name: str, colour: str, seconds: str) -> Json:
    """A line across all panels at a time that a series tells in Unix seconds."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": f"{seconds} * 1000",
        "useValueForTime": True,
        "titleFormat": name,
        "textFormat": "{{instance}}",
    }


def dashboard(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Json],
    rows: Mapping[str, Sequence[Json]],
    marks: Sequence[Json] = (),
) -> Json:
    """All of a dashboard; ``rows`` are panels by the heading they stand under, from left to right."""
    datasource = {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": {},
        "options": [],
        "regex": "",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["tfs_locust"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # the same moment is marked in all panels
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Load and server", "tags": ["tfs_locust"], "asDropdown": False,
                   "keepTime": True, "includeVars": False, "targetBlank": False, "icon": "external link", "tooltip": "",
                   "url": ""}],
        "annotations": {"list": list(marks)},
        "templating": {"list": [datasource, *variables]},
        "panels": list(_placed(rows)),
    }  # fmt: skip


def _placed(rows: Mapping[str, Sequence[Json]]) -> Iterable[Json]:
    """Panels with id and place: beside each other as far as they fit, then below."""
    number, y = 0, 0
    for heading, panels in rows.items():
        number += 1
        yield {"id": number, "type": "row", "title": heading, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}  # fmt: skip
        x, y, height = 0, y + 1, 0
        for panel in panels:
            size = panel["gridPos"]
            if x + size["w"] > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            yield {"id": number, **panel, "gridPos": {"x": x, "y": y, **size}}
            x, height = x + size["w"], max(height, size["h"])
        y += height


def _panel(
    kind: str,
    title: str,
    description: str,
    unit: str,
    targets: list[Json],
    options: Json,
    *,
    width: int = 8,
    height: int = 8,
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": options,
    }


def _targets(queries: Mapping[str, str], *, instant: bool = False) -> list[Json]:
    when = {"instant": True, "range": False} if instant else {"range": True}
    return [
        {"refId": ref, "datasource": DATASOURCE, "expr": expression, "legendFormat": legend, **when}
        for ref, (legend, expression) in zip(ascii_uppercase, queries.items(), strict=False)
    ]


def _thresholds(above: Mapping[float, str]) -> Json:
    steps = [{"color": GREEN, "value": None}, *({"color": color, "value": value} for value, color in above.items())]
    return {"mode": "absolute", "steps": steps}


def _override(field: str, **properties: Any) -> Json:
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }
