"""``tfs-locust plan``: what it prints, as text and as JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfs_locust.planning import main

_FILE = str(Path(__file__).parents[1] / "data" / "transcripts" / "batching.config")


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """What was planned, then a sentence a line or more, warnings marked."""
    arguments = ["--cpus", "8", "--grpc-max-threads", "32", "--rows", "1:0.7,8:0.3", "--users", "200"]
    assert main(["--batching-parameters-file", _FILE, *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rows 1:0.7,8:0.3, over gRPC, 8 CPUs"
    assert lines[1].startswith("  calls-at-once       31 calls are executed at once")
    assert any(line.startswith("! refused-by-threads  200 users are 169 more than") for line in lines)
    assert max(map(len, lines)) <= 120


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """All numbers and the same sentences."""
    arguments = ["--cpus", "4", "--rows", "auto", "--users", "12", "--batch-ms", "5+0.5", "--json"]
    assert main(["--batching-parameters-file", _FILE, *arguments]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["rows"] == "16"
    assert plan["batch_threads"] == 2
    assert plan["in_flight_to_fill"] == 6
    assert plan["calls_at_once"] == 15
    assert plan["fitting_rows"] == [1, 2, 4, 8, 16, 32]
    assert plan["expected"]["padding_ratio"] == 0
    assert plan["expected"]["batch_per_row_s"] == 0.0005
    assert [one["id"] for one in plan["statements"]][:2] == ["calls-at-once", "batches"]


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        ([], "rows 1, over gRPC, 3 CPUs", "11 calls are executed at once"),
        (["--rows", "auto", "--enable-batching", "--users", "2"], "rows auto: 1000, over gRPC", "11 calls"),
        (["--protocol", "rest", "--rest-api-num-threads", "2"], "rows 1, over REST", "1 call is executed at once"),
        (["--enable-batching", "--rate", "100"], "rows 1, over gRPC", "11 calls"),
    ],
)
def test_defaults(arguments: list[str], first: str, second: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One row, gRPC, four threads for each CPU, no batching unless asked for."""
    assert main([*arguments, "--cpus", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(first)
    assert second in lines[1]


def test_all_mistakes_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each on a line with its option; nothing is printed."""
    file = tmp_path / "batching.config"
    file.write_text("max_batch_size { value: 8 } allowed_batch_sizes: 4 num_batch_threads { value: 0 }")
    wrong = ["--cpus", "0", "--rows", "1:x", "--users", "4", "--rate", "0", "--batch-ms", "5ms", "--max-rows", "-1"]
    assert main(["--batching-parameters-file", str(file), *wrong]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line.removeprefix("tfs-locust plan: ") for line in err.splitlines()]
    assert lines == [
        f"--batching-parameters-file {str(file)!r}: the server does not start: num_batch_threads must be positive; was "
        "0; Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        "--cpus '0': expected a whole number of at least 1, with 7 digits at most",
        "--rows '1:x': '1:x': column 3: 'x' is no weight, which is a number above zero, as in 1:0.7",
        "--rate '0': expected requests by the second, above 0, as in 500",
        "--batch-ms '5ms': expected milliseconds as in 10, or 5+0.1 for 5 ms and 0.1 ms for each row",
        "--max-rows '-1': expected a whole number of at least 1, with 7 digits at most",
        "--users and --rate exclude each other: give one of them",
    ]
