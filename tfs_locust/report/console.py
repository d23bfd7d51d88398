"""The end of a run on the terminal: one short table, and the verdict last, where it is seen."""

from __future__ import annotations

from tfs_locust.report import units
from tfs_locust.report.capacity import lines as lines_of_capacity
from tfs_locust.report.comparisons import lines as comparisons
from tfs_locust.report.lifecycle import lines as lines_of_lifecycle
from tfs_locust.report.peers import line as line_of_peers
from tfs_locust.report.report import Result
from tfs_locust.report.server import lines as lines_of_server

_TIMES = (("response time", "response_time_s"), ("service time", "service_time_s"), ("send lag", "send_lag_s"))
_COLUMNS = ("p50", "p90", "p99", "p99_9", "max")


def closing_table(result: Result) -> str:
    """Plain text, at most about a dozen lines, and one for each level of a search."""
    totals, throughput = result["totals"], result["throughput"]
    sentence = (
        f"{units.count(totals['requests'])} requests in {result['load_s']:.4g} s: {units.count(totals['ok'])} ok, "
        f"{units.count(totals['failed'])} failed ({units.count(totals['unsent'])} unsent); "
        f"{units.rate(throughput['requests_per_s'])}, {units.rate(throughput['rows_per_s'])} rows"
    )
    lines = [sentence]
    if offered := result.get("offered"):
        lines.append(_offered(offered))
    if result["failures"]:
        lines.append("failures: " + ", ".join(f"{name} {units.count(n)}" for name, n in result["failures"].items()))
    if result["checked"]:
        lines.append(f"answers decoded and checked: {units.count(result['checked'])}")
    if told_of_peers := line_of_peers(result):
        lines.append(told_of_peers)
    lines += comparisons(result)
    lines += lines_of_lifecycle(result)
    rows = [["", "mean", *(name.replace("_", ".") for name in _COLUMNS)]]
    for label, name in _TIMES:
        rows.append([label, *(units.duration(result[name][column]) for column in ("mean", *_COLUMNS))])
    lines += ["", *units.aligned(rows)]
    if told := lines_of_server(result):
        lines += ["", *told]
    if result["objectives"]:
        rows = [
            [one["expression"], units.measured(one["metric"], one["measured"]), one["state"]]
            for one in result["objectives"]
        ]
        lines += ["", *units.aligned([["objective", "measured", "state"], *rows])]
    if told := lines_of_capacity(result):
        lines += ["", *told]
    verdict = result["verdict"]
    lines += ["", *(f"  {reason}" for reason in verdict["reasons"]), f"verdict: {verdict['state']}"]
    return "\n".join(lines) + "\n"


def _offered(offered: Result) -> str:
    abandoned = offered["abandoned"]
    gone = f", {units.count(abandoned)} of them due at workers that are gone, or at none" if abandoned else ""
    due, unsent = units.count(offered["requests"]), units.count(offered["unsent"])
    return f"offered by schedule: {due} requests, of these {unsent} unsent{gone}"
