"""Switches, outages, availability and canaries in the report: the section ``lifecycle``, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from tfs_locust.judge.availability import Availability
from tfs_locust.judge.canary import Canary, Finding, Ratio, Share
from tfs_locust.judge.first_touch import FirstTouch, Times
from tfs_locust.judge.lifecycle import Lifecycle
from tfs_locust.judge.moments import Mark
from tfs_locust.judge.outages import Outage
from tfs_locust.judge.stretch import Figures
from tfs_locust.judge.switch import FirstAnswers, Switch
from tfs_locust.measure.view import View
from tfs_locust.report import units
from tfs_locust.report.steps import steps

Section = dict[str, Any]
_NS = 1_000_000_000
_MOST_DRAWN = 12
"""Versions whose answers are told second by second: those that answered most."""
_MOST_TOLD = 5
"""Switches or outages that are told one by one on the terminal."""
_MANY = 5
"""Models and versions of which the first answers are told on the terminal."""
_Value = TypeVar("_Value")


def section(view: View, found: Lifecycle) -> Section:
    """What ``report.json`` holds; names are an interface, see docs/report.md."""
    availability = found.availability
    return {
        "availability": {
            "by_request": availability.by_request,
            "by_second": availability.by_second,
            "nines": availability.nines,
            **asdict(availability),
        },
        "switches": [{**asdict(one), "settled_s": one.settled_s} for one in found.switches],
        "outages": [{**asdict(one), "recovery_s": one.recovery_s} for one in found.outages],
        "canaries": [
            {
                **asdict(one),
                "slower": one.slower.value,
                "fails_more": one.fails_more.value,
                "is_worse": one.is_worse,
            }
            for one in found.canaries
        ],
        "marks": [
            {"second": one.at_ns / _NS, "kind": one.kind, "text": one.text, "model": one.model, "version": one.version}
            for one in found.marks
        ],
        "first_touch": None if found.first_touch is None else asdict(found.first_touch),
        "versions": _versions(view),
    }


def _versions(view: View) -> list[Section]:
    answered = {served: sum(one.answers for one in stints) for served, stints in view.stints.items()}
    drawn = sorted(answered, key=lambda served: -answered[served])[:_MOST_DRAWN]
    seconds = [second for _, second in steps(view.timeline)]
    return [
        {
            "model": served.model,
            "version": served.version,
            "answers": answered[served],
            "stints": [
                {"first_s": one.first_ns / _NS, "last_s": one.last_ns / _NS, "answers": one.answers} for one in stints
            ],
            "by_second": [second.answers.get(str(served), 0) for second in seconds] if served in drawn else [],
        }
        for served, stints in view.stints.items()
    ]


def lifecycle_of(result: Mapping[str, Any]) -> Lifecycle | None:
    """The section as what it was made of, to be judged again; None where a report has none."""
    told = result.get("lifecycle")
    if not told:
        return None
    return Lifecycle(
        switches=tuple(
            _read(
                Switch,
                one,
                **{name: Figures(**one[name]) for name in ("before", "during", "after")},
                first_answers=None if one["first_answers"] is None else FirstAnswers(**one["first_answers"]),
            )
            for one in told["switches"]
        ),
        outages=tuple(_read(Outage, one) for one in told["outages"]),
        availability=_read(Availability, told["availability"]),
        canaries=tuple(
            _read(
                Canary,
                one,
                **{name: Ratio(**one[name]) for name in ("mean_ratio", "p50_ratio", "p99_ratio")},
                **{name: Share(**one[name]) for name in ("baseline_errors", "canary_errors")},
                **{name: Finding(one[name]) for name in ("slower", "fails_more")},
            )
            for one in told["canaries"]
        ),
        marks=tuple(
            Mark(round(one["second"] * _NS), one["kind"], one["text"], one["model"], one["version"])
            for one in told["marks"]
        ),
        first_touch=_read_first_touch(told.get("first_touch")),
    )


def _read_first_touch(told: Section | None) -> FirstTouch | None:
    if told is None:
        return None
    return _read(FirstTouch, told, **{name: Times(**told[name]) for name in ("first", "later")})


def _read(kind: type[_Value], told: Mapping[str, Any], **more: Any) -> _Value:
    """A value from its fields; what is derived from them is left out."""
    return kind(**{**{one.name: told[one.name] for one in fields(kind)}, **more})  # type: ignore[arg-type]


def happened(result: Mapping[str, Any]) -> bool:
    """Whether there is more to tell than how available the server was."""
    told = result.get("lifecycle") or {}
    return any(told.get(name) for name in ("switches", "outages", "canaries", "marks")) or bool(first_touch_lines(told))


def lines(result: Mapping[str, Any]) -> list[str]:
    """A sentence for each thing that was found; none of a run in which nothing happened."""
    if not happened(result):
        return []
    told = result["lifecycle"]
    return [
        *_few([switch_sentence(one) for one in told["switches"]], _rate(told["switches"]), "switches"),
        *_few([outage_sentence(one) for one in told["outages"]], "", "outages"),
        *_few([canary_sentence(one) for one in told["canaries"]], "", "canaries"),
        *first_touch_lines(told),
        availability_sentence(told["availability"]),
    ]


def _few(sentences: list[str], summary: str, of: str) -> Iterable[str]:
    if len(sentences) > 1 and summary:
        yield summary
    yield from sentences[:_MOST_TOLD]
    if len(sentences) > _MOST_TOLD:
        yield f"... and {len(sentences) - _MOST_TOLD} more {of}, see the report"


def _rate(switches: list[Section]) -> str:
    ended = [one for one in switches if one["success"] is not None]
    told = [one for one in ended if one["success"] and one["found_by"] != "answers"]
    well = [one["settled_s"] for one in told if one["settled_s"] is not None]
    slowest = f", the slowest in {units.duration(max(well))}" if well else ""
    return f"{len(switches)} switches, of {len(ended)} that ended {sum(map(_came_off, ended))} came off{slowest}"


def _came_off(switch: Section) -> bool:
    return bool(switch["success"])


def switch_sentence(one: Section) -> str:
    """One switch in a line."""
    begin = f"{one['model']}: version {one['from_version'] or '?'} to {one['to_version']} at {_at(one['trigger_s'])}"
    if not one["success"]:
        return f"{begin} {'failed' if one['success'] is False else 'is open'}: {one['why']}"
    if one["found_by"] == "answers":
        after = f"found by its answers, both answered for {units.duration(one['mixed_s'] or 0)}"
    else:
        moments = (
            ("available", one["available_s"]),
            ("first answer", one["first_answer_s"]),
            ("last old answer", one["last_old_answer_s"]),
        )
        after = ", ".join(f"{name} after {units.duration(value)}" for name, value in moments if value is not None)
    p99 = " / ".join(units.duration(one[name]["p99_s"]) for name in ("before", "during", "after"))
    first = one["first_answers"]
    cold = f"; {first['slow']} of its first {first['count']} answers were slow" if first and first["cold"] else ""
    stale = f", {units.count(one['stale_answers'])} stale answers" if one["stale_answers"] else ""
    return f"{begin}: {after}; {units.count(one['errors'])} errors{stale}; p99 {p99} before / during / after{cold}"


def outage_sentence(one: Section) -> str:
    """One outage in a line."""
    begin = f"outage at {_at(one['start_s'])}, {units.count(one['failures'])} failures"
    if one["first_success_s"] is None:
        return f"{begin}: nothing ended well until the end, {units.duration(one['watched_s'])} later"
    success = units.duration(one["first_success_s"] - one["start_s"])
    if one["recovery_s"] is None:
        return f"{begin}: first success after {success}, not recovered ({one['recovered_by']})"
    return (
        f"{begin}: first success after {success}, recovered after {units.duration(one['recovery_s'])} "
        f"({one['recovered_by']})"
    )


def canary_sentence(one: Section) -> str:
    """One comparison in a line."""
    mean = one["mean_ratio"]
    begin = f"{one['model']}: version {one['canary']}"
    if mean["value"] is None or mean["lower"] is None:
        return f"{begin} cannot be compared with {one['baseline']}: too few requests"
    verdict = {"worse": "slower", "not worse": "not slower", "open": "not decided"}[one["slower"]]
    errors = "; it fails more" if one["fails_more"] == Finding.WORSE.value else ""
    return (
        f"{begin} takes {units.number(mean['value'])} times {one['baseline']}'s service time "
        f"({units.number(mean['lower'])} to {units.number(mean['upper'])} at {units.share(one['confidence'])} "
        f"confidence): {verdict}{errors}"
    )


def first_touch_lines(told: Section) -> list[str]:
    """How late the first answers of many models and versions were, in a sentence; none where there are few."""
    one = told.get("first_touch")
    if one is None or one["targets"] < _MANY:
        return []
    first, later = (
        " / ".join("?" if one[which][name] is None else units.duration(one[which][name]) for name in ("p50_s", "p99_s"))
        for which in ("first", "later")
    )
    slowest = f"{one['slowest_model']}:{one['slowest_version'] or '?'}"
    return [
        f"first answers of {units.count(one['targets'])} models and versions: p50 / p99 {first}, those after them "
        f"{later}; the slowest in {units.duration(one['first']['max_s'])} ({slowest})"
    ]


def availability_sentence(one: Section) -> str:
    """How available the server was."""
    seconds = "" if one["by_second"] is None else f", {units.available(one['by_second'])} of {one['seconds']} s"
    return f"available: {units.available(one['by_request'])} of {units.count(one['due'])} requests{seconds}"


def _at(seconds: float) -> str:
    """A moment of the run, to the millisecond."""
    return f"{seconds:.3f} s"


def lines_on_plots(result: Mapping[str, Any]) -> Section:
    """What is drawn over time: marks and switches as lines, outages as stretches, answers by version."""
    told = result.get("lifecycle") or {"marks": (), "switches": (), "outages": (), "versions": ()}
    lines = [(one["second"], f"{one['kind']} {one['version']}".strip()) for one in told["marks"]]
    lines += [
        (one["trigger_s"], f"version {one['to_version']}") for one in told["switches"] if one["found_by"] != "mark"
    ]
    width = result["timeline"].get("step_s")
    versions = [one for one in told["versions"] if one["by_second"]]
    return {
        "lines": [{"second": second, "text": text} for second, text in sorted(lines)],
        "outages": [
            {"from": one["start_s"], "to": one["recovered_s"] or one["start_s"] + one["watched_s"]}
            for one in told["outages"]
        ],
        "second": result["timeline"]["second"] if len(versions) > 1 else [],
        "versions": [
            {
                "name": f"{one['model']}:{one['version'] or '?'}",
                "rate": [count / step for count, step in zip(one["by_second"], width, strict=True)],
            }
            for one in (versions if len(versions) > 1 else ())
        ],
    }
