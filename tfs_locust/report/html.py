"""The result as one HTML file that opens offline: tables made here, plots drawn in the browser.

The plots are Plotly's. Its script is taken from the installed package when a page is made and written into the page,
packed: 2 MB where plain text is 5. Without script the page still says everything in its tables.
"""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from tfs_locust.judge.level import Unit, load_text
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.measure.histogram import Histogram
from tfs_locust.report import capacity, lifecycle, units
from tfs_locust.report.comparisons import sentence
from tfs_locust.report.peers import skew
from tfs_locust.report.queries import series_of
from tfs_locust.report.report import Result, times_of
from tfs_locust.report.server import findings
from tfs_locust.report.server import plots as server_plots

_POINTS_PER_DECADE = 40
_MAX_SECONDS = 1000
"""More points than a wide screen has columns cannot be told apart."""


def page(result: Result) -> str:
    """The whole page as text."""
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        duration=units.duration,
        signed=units.signed,
        milliseconds=lambda ms: units.duration(None if ms is None else ms / 1e3),
        share=units.share,
        rate=units.rate,
        count=units.count,
        measured=units.measured,
        number=units.number,
        levels=capacity.rising,
        level_verdict=capacity.verdict,
        load=lambda value, unit: load_text(value, Unit(unit)),
        capacity_notes=capacity.notes,
        available=units.available,
        happened=lifecycle.happened,
        outage_sentence=lifecycle.outage_sentence,
        canary_sentence=lifecycle.canary_sentence,
        first_touch_lines=lifecycle.first_touch_lines,
        inline=lambda name: Markup(_part(name)),  # noqa: S704  # our own files
    )
    return environment.get_template("page.html.j2").render(
        result=result,
        findings=findings(result),
        skew=skew(result["peers"]),
        comparisons=[(row, sentence(row)) for row in result.get("comparisons", [])],
        plots={
            "percentiles": _percentiles(result),
            "timeline": _timeline(result),
            "server": server_plots(result),
            "lifecycle": lifecycle.lines_on_plots(result),
            "capacity": capacity.plot(result),
        },
        library=_library(),
    )


def _part(name: str) -> str:
    return files("tfs_locust.report").joinpath("page").joinpath(name).read_text(encoding="utf-8")


def _library() -> str:
    """Plotly's script, of the installed package, as base64 of gzip; page.js unpacks it."""
    script = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, mtime=0)).decode("ascii")


def _percentiles(result: Result) -> Result:
    """Two curves over the number of nines: 0 is the fastest request, 2 is p99, 3 is p99.9."""
    response, service = times_of(result)
    decades = math.log10(response.count) if response.count else 0.0
    nines = [step / _POINTS_PER_DECADE for step in range(int(decades * _POINTS_PER_DECADE) + 1)]
    if decades > nines[-1]:
        nines.append(decades)  # where a single request remains: the slowest
    bounds = [
        {
            "nines": -math.log10(1 - objective.statistic),
            "ms": float(objective.bound) / 1e6,
            "label": objective.expression,
        }
        for objective in parse_objectives((one["expression"] for one in result["objectives"]), series_of(result))
        if isinstance(objective.statistic, Fraction) and objective.metric == "response"
    ]
    return {
        "nines": nines,
        "response_ms": _curve(response, nines),
        "service_ms": _curve(service, nines),
        "bounds": bounds,
    }


def _curve(histogram: Histogram, nines: Sequence[float]) -> list[float]:
    if not histogram.buckets:
        return []
    rising = histogram.rising()
    value_ns, seen = next(rising)
    curve = []
    for nine in nines:
        # a hair less than asked for: 0.99 of 100 is 99, and rounding must not make it more
        while seen < (1 - 10**-nine) * histogram.count * (1 - 1e-12):
            value_ns, seen = next(rising)
        curve.append(value_ns / 1e6)
    curve[-1] = histogram.maximum_ns / 1e6
    return curve


def _timeline(result: Result) -> Result:
    """The columns of the timeline; of a long run several seconds are one point: their mean rate, the worst time."""
    timeline = result["timeline"]
    steps = timeline.get("step_s") or [1] * len(timeline["second"])
    width = max(1, math.ceil(len(timeline["second"]) / _MAX_SECONDS))

    def columns(name: str, one: Callable[[list[Any]], Any]) -> list[Any]:
        values = timeline[name]
        return [one(values[at : at + width]) for at in range(0, len(values), width)]

    def worst_ms(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return max(known) * 1e3 if known else None

    lengths = [sum(steps[at : at + width]) for at in range(0, len(steps), width)]

    def rates(name: str) -> list[float]:
        return [count / length for count, length in zip(columns(name, sum), lengths, strict=True)]

    requests, failures = rates("requests"), rates("failures")
    return {
        "width": max(lengths, default=1),
        "second": columns("second", min),
        "ok": [count - failed for count, failed in zip(requests, failures, strict=True)],
        "failures": failures,
        "users": columns("users", max),
        "p50_ms": columns("p50_s", worst_ms),
        "p99_ms": columns("p99_s", worst_ms),
        "max_ms": columns("max_s", worst_ms),
        "warmup_s": result["warmup_s"],
        "load_end_s": result["warmup_s"] + result["load_s"],
    }
