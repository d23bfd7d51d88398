"""The result as a short Markdown page, for a pipeline's summary or a comment on a change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tfs_locust.report import units
from tfs_locust.report.capacity import TABLE_HEAD, capacity_of, notes, table
from tfs_locust.report.comparisons import lines as comparisons
from tfs_locust.report.lifecycle import lines as lines_of_lifecycle
from tfs_locust.report.peers import line as line_of_peers
from tfs_locust.report.report import Result
from tfs_locust.report.server import lines

_TIMES = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")


def summary(result: Result) -> str:
    """The verdict first, then what it rests on."""
    verdict, totals, throughput = result["verdict"], result["totals"], result["throughput"]
    parts = [f"# {verdict['state']}", *(f"- {_escaped(reason)}" for reason in verdict["reasons"])]
    if result["objectives"]:
        parts += ["", *_objectives(result)]
    sentence = (
        f"{units.count(totals['requests'])} requests, {units.count(totals['ok'])} ok, "
        f"{units.count(totals['failed'])} failed (of these {units.count(totals['unsent'])} unsent) in "
        f"{result['load_s']:.4g} s of load: {units.rate(throughput['requests_per_s'])}, "
        f"{units.rate(throughput['rows_per_s'])} rows."
    )
    parts += [
        "",
        sentence,
        "",
        *_table(
            ["", *(name.replace("_", ".") for name in _TIMES)],
            [
                [label, *(units.duration(result[name][column]) for column in _TIMES)]
                for label, name in (("response time", "response_time_s"), ("service time", "service_time_s"))
            ],
        ),
    ]
    if result["failures"]:
        parts += [
            "",
            *_table(
                ["failure", "requests"], [[name, units.count(number)] for name, number in result["failures"].items()]
            ),
        ]
    told = [*filter(None, [line_of_peers(result)]), *comparisons(result), *lines_of_lifecycle(result), *lines(result)]
    if told:
        parts += ["", *(f"- {_escaped(line)}" for line in told)]
    if (capacity := capacity_of(result)) is not None:
        told_of_levels = _table(TABLE_HEAD, [[_escaped(cell) for cell in row] for row in table(capacity)])
        told_of_objectives = (f"- {_escaped(note)}" for note in notes(capacity))
        parts += ["", "## Capacity", "", _escaped(capacity["sentence"]), *told_of_objectives, "", *told_of_levels]
    return "\n".join(parts) + "\n"


def _objectives(result: Result) -> list[str]:
    return _table(
        ["objective", "measured", "state", ""],
        [
            [
                f"`{one['expression']}`",
                units.measured(one["metric"], one["measured"]),
                f"**{one['state']}**" if one["state"] != "PASS" else "PASS",
                _escaped(one["note"]),
            ]
            for one in result["objectives"]
        ],
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _escaped(text: str) -> str:
    """Names of scenarios and models come from users; in a table a bar would end the cell."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#|" else c for c in text)
