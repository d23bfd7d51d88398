"""The tables of a report as CSV: its numbers, as they are."""

from __future__ import annotations

import csv
import io

from tests.report.runs import run
from tfs_locust.report.tables import keys_csv, objectives_csv


def _read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_keys() -> None:
    """A row for each key with its counts, rates and times in full; their requests add up to the report's total."""
    result = run()
    rows = _read(keys_csv(result))
    assert sum(int(row["requests"]) for row in rows) == result["totals"]["requests"]
    for row, key in zip(rows, result["keys"], strict=True):
        assert (row["scenario"], row["protocol"], row["version"]) == (key["scenario"], key["protocol"], key["version"])
        assert float(row["response_p99_9_s"]) == key["response_time_s"]["p99_9"]
        assert float(row["service_mean_s"]) == key["service_time_s"]["mean"]
        assert float(row["requests_per_s"]) == key["throughput"]["requests_per_s"]
        assert row["failures"] == " ".join(f"{name}={count}" for name, count in key["failures"].items())
        assert row["run"] == "ended"


def test_objectives() -> None:
    """A row for each objective with its evidence, empty where it has none."""
    result = run()
    rows = {row["expression"]: row for row in _read(objectives_csv(result))}
    assert list(rows) == [one["expression"] for one in result["objectives"]]
    assert rows["throughput>=100/s"]["beyond"] == ""
    p99 = result["objectives"][0]
    assert float(rows["p99<100ms"]["measured"]) == p99["measured"]
    assert int(rows["p99<100ms"]["beyond"]) == p99["evidence"]["beyond"]


def test_a_run_under_way_says_so() -> None:
    """Its end is not there, and every row is of the run so far."""
    result = run(seconds=3)
    result["manifest"] = {**result["manifest"], "ended": None}
    assert {row["run"] for row in _read(keys_csv(result)) + _read(objectives_csv(result))} == {"so far"}


def test_nothing_measured() -> None:
    """A head without rows."""
    result = {**run(seconds=3), "keys": [], "objectives": []}
    assert _read(keys_csv(result)) == _read(objectives_csv(result)) == []
    assert keys_csv(result).startswith("run,scenario,protocol,model,version,requests,")
