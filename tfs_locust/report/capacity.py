"""The search for capacity in the report: its section of ``report.json``, and the forms made of that."""

from __future__ import annotations

import csv
import io
from typing import Any

from tfs_locust.judge.answer import Answer
from tfs_locust.judge.capacity import Chosen
from tfs_locust.judge.level import LevelResult, Unit, load_text
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.report import units

Section = dict[str, Any]

TABLE_HEAD = ("load", "achieved", "p50", "p99", "errors", "verdict")
_CSV_COLUMNS = (
    "load", "purpose", "verdict", "limited_by", "offered_per_s", "achieved_per_s", "rows_per_s", "p50_s", "p90_s",
    "p99_s", "p99_9_s", "error_rate", "requests", "unsent", "windows", "stable", "begin_s", "end_s", "why",
)  # fmt: skip


def section(answer: Answer, chosen: Chosen) -> Section:
    """What ``report.json`` holds of a search, under the name ``capacity``."""
    best, bound = answer.best, answer.bound
    return {
        "state": answer.state.value,
        "value": _load(answer.value, answer.unit),
        "unit": answer.unit.value,
        "at_least": _load(answer.at_least, answer.unit),
        "limited_by": answer.limited_by,
        "sentence": answer.sentence,
        "achieved_per_s": None if best is None else best.figures.achieved_per_s,
        "rows_per_s": None if best is None else best.figures.rows_per_s,
        "bound": None
        if bound is None
        else {
            "load": _load(bound.level.load, answer.unit),
            "verdict": bound.judgement.state.value,
            "limited_by": bound.judgement.limited_by,
            "why": bound.judgement.why,
        },
        "confirmed": answer.confirmed,
        "resolution": answer.resolution,
        "resolution_reached": answer.reached,
        "objectives": list(answer.objectives),
        "objectives_by_default": chosen.by_default,
        "objectives_left_out": [one.expression for one in chosen.left_out],
        "levels": [_level(one) for one in answer.levels],
    }


def _load(load: float | None, unit: Unit) -> float | None:
    return load if load is None or unit is Unit.RATE else int(load)


def _level(result: LevelResult) -> Section:
    level, judgement, figures = result.level, result.judgement, result.figures
    return {
        "load": _load(level.load, level.unit),
        "purpose": level.purpose.value,
        "verdict": judgement.state.value,
        "limited_by": judgement.limited_by,
        "why": judgement.why,
        "reasons": list(judgement.reasons),
        "promising": judgement.promising,
        "offered_per_s": level.load if level.unit is Unit.RATE else None,
        "achieved_per_s": figures.achieved_per_s,
        "rows_per_s": figures.rows_per_s,
        "p50_s": figures.p50_s,
        "p90_s": figures.p90_s,
        "p99_s": figures.p99_s,
        "p99_9_s": figures.p99_9_s,
        "error_rate": figures.error_rate,
        "requests": figures.requests,
        "unsent": figures.unsent,
        "judged_s": figures.seconds,
        "windows": result.windows,
        "stable": result.stable,
        "begin_s": round(result.begin_s, 3),
        "end_s": round(result.end_s, 3),
        "cooled_after_s": result.cooled_after_s,
    }


def capacity_of(result: Section) -> Section | None:
    """The section of a report; None where there was no search."""
    found: Section | None = result.get("capacity")
    return found


def rising(capacity: Section) -> list[Section]:
    """The levels by their load, those of one load as they came."""
    return sorted(capacity["levels"], key=lambda level: (level["load"], level["begin_s"]))


def table(capacity: Section) -> list[list[str]]:
    """The knee in words, a row of :data:`TABLE_HEAD` for each level."""
    return [
        [
            load_text(level["load"], Unit(capacity["unit"])),
            units.rate(level["achieved_per_s"]),
            units.duration(level["p50_s"]),
            units.duration(level["p99_s"]),
            units.share(level["error_rate"]),
            verdict(level),
        ]
        for level in rising(capacity)
    ]


def verdict(level: Section) -> str:
    """A level's verdict with what it fails; ``open`` where it was not decided and a higher one was to decide it."""
    if level["promising"] and level["purpose"] == "growth":
        return "open"
    return f"{level['verdict']} {level['limited_by']}".strip()


def lines(result: Section) -> list[str]:
    """The search on the terminal: the knee as a table, then the answer; nothing where there was none."""
    capacity = capacity_of(result)
    if capacity is None:
        return []
    return [*units.aligned([list(TABLE_HEAD), *table(capacity)]), *notes(capacity), f"capacity: {capacity['sentence']}"]


def notes(capacity: Section) -> list[str]:
    """What there is to know of the objectives of the search."""
    told = []
    if capacity["objectives_by_default"]:
        told.append(
            f"no objective that limits the load was given, so {' and '.join(capacity['objectives'])} were taken"
        )
    if capacity["objectives_left_out"]:
        told.append(f"not searched by: {', '.join(capacity['objectives_left_out'])}")
    return told


def csv_text(capacity: Section) -> str:
    """The levels in the order in which they were measured, as comma-separated values with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(capacity["levels"])
    return text.getvalue()


def plot(result: Section) -> Section | None:
    """What the page draws: throughput against times, by rising load, and the bounds of the objectives."""
    capacity = capacity_of(result)
    if capacity is None:
        return None
    shown = [one for one in rising(capacity) if one["achieved_per_s"] is not None and one["p99_s"] is not None]
    objectives = parse_objectives(capacity["objectives"])
    return {
        "label": [load_text(one["load"], Unit(capacity["unit"])) for one in shown],
        "verdict": [verdict(one) for one in shown],
        "achieved": [one["achieved_per_s"] for one in shown],
        "p50_ms": [one["p50_s"] * 1e3 for one in shown],
        "p99_ms": [one["p99_s"] * 1e3 for one in shown],
        "bounds": [
            {"ms": float(one.bound) / 1e6, "label": one.expression} for one in objectives if one.metric == "response"
        ],
    }
