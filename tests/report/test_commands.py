"""judge, render and compare as commands: what they print, and what they end with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.runs import run
from tfs_locust.report.commands import compare_command, judge_command, render_command
from tfs_locust.report.files import read, write


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a report whose verdict is FAIL."""
    directory = tmp_path_factory.mktemp("report")
    write(directory, run(failing=0, objectives=("p99<20ms",)))
    return directory


@pytest.mark.parametrize(
    ("objectives", "code", "verdict"),
    [
        ([], 1, "FAIL"),
        (["p99<100ms"], 0, "PASS"),
        (["p99<100ms", "mean<1ms"], 1, "FAIL"),
        (["p99.99<1s"], 3, "INVALID"),
        (["model=other: p99<1s"], 3, "INVALID"),
    ],
)
def test_judge(
    report: Path, capsys: pytest.CaptureFixture[str], objectives: list[str], code: int, verdict: str
) -> None:
    """Without objectives those of the report; the exit code is the verdict's."""
    arguments = [argument for objective in objectives for argument in ("--tfs-slo", objective)]
    assert judge_command([str(report / "report.json"), *arguments]) == code
    assert capsys.readouterr().out.endswith(f"verdict: {verdict}\n")


def test_judge_with_more_confidence(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What 95 % confidence decides may be open at 99.9999 %."""
    assert judge_command([str(report), "--tfs-slo", "p99.9<1s"]) == 0
    assert judge_command([str(report), "--tfs-slo", "p99.9<1s", "--tfs-confidence", "99.9999%"]) == 3
    assert "more requests at this share would decide it" in capsys.readouterr().out


def test_judge_writes_the_new_verdict(report: Path, tmp_path: Path) -> None:
    """The given directory gets a whole report; the old one is as it was."""
    assert judge_command([str(report), "--tfs-slo", "p99<100ms", "--output", str(tmp_path)]) == 0
    assert read(tmp_path)["verdict"]["state"] == "PASS"
    assert read(report)["verdict"]["state"] == "FAIL"
    assert "✓ PASS" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_bad_objectives_are_usage(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, with the column of the fault under the fault."""
    assert judge_command([str(report), "--tfs-slo", "p99<100"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "tfs-locust judge: error: --tfs-slo:",
        "p99<100",
        "       ^ column 8: a unit belongs here, us, ms or s, not nothing",
    ]


@pytest.mark.parametrize("command", [judge_command, render_command, lambda argv: compare_command([*argv, *argv])])
def test_a_missing_report_is_usage(command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, naming the file."""
    assert callable(command)
    assert command([str(tmp_path / "none.json")]) == 2
    assert "none.json: No such file or directory" in capsys.readouterr().err


def test_render(report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files but the JSON are made again, the same as before."""
    assert render_command([str(report), "-o", str(tmp_path)]) == 0
    made = sorted(tmp_path.iterdir())
    assert [path.read_bytes() for path in made] == [(report / path.name).read_bytes() for path in made]
    assert len(made) == 5
    assert capsys.readouterr().out.count("\n") == 5


def test_compare(report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 against itself, 1 against a slower run, and 0 again when that is tolerated."""
    write(tmp_path, run(median_ms=12, failing=0))
    assert compare_command([str(report), str(report)]) == 0
    assert compare_command([str(report), str(tmp_path)]) == 1
    assert "regression: response mean" in capsys.readouterr().out
    assert compare_command([str(report), str(tmp_path), "--tolerance", "100%"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [["--tolerance", "much"], ["--tolerance", "-1"], ["--tolerance", "nan"], ["--tfs-confidence", "1"], ["--no-such"]],
)
def test_bad_arguments_are_usage(report: Path, arguments: list[str]) -> None:
    """argparse ends with 2, as everywhere."""
    with pytest.raises(SystemExit) as caught:
        compare_command([str(report), str(report), *arguments])
    assert caught.value.code == 2
