"""The files of a report: whole, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.runs import run
from tfs_locust.report import files
from tfs_locust.report.files import ReportError, read, to_json, write, write_text


def test_all_files_are_written_and_read_again(tmp_path: Path) -> None:
    """A directory that was not there holds six files, and the JSON is the result."""
    result = run(seconds=3)
    written = write(tmp_path / "results" / "today", result)
    assert sorted(path.name for path in written) == [
        "junit.xml",
        "report.html",
        "report.json",
        "response_time.hgrm",
        "service_time.hgrm",
        "summary.md",
    ]
    assert sorted(path.name for path in (tmp_path / "results" / "today").iterdir()) == sorted(p.name for p in written)
    assert read(tmp_path / "results" / "today") == read(tmp_path / "results" / "today" / "report.json") == result


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the process is stopped in the middle, the old file is whole and nothing else is left."""
    path = write_text(tmp_path / "report.json", "old")

    def stop(_descriptor: int) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(files.os, "fsync", stop)
    with pytest.raises(SystemExit):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "schema_version is None; this program reads 1"),
        ('{"schema_version": 2}', "schema_version is 2; this program reads 1"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file and what is wrong with it."""
    path = write_text(tmp_path / "report.json", text)
    with pytest.raises(ReportError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("field", ["verdict", "objectives", "totals", "workers", "cells", "load_s"])
@pytest.mark.parametrize("damage", ["missing", "text"])
def test_a_damaged_report_is_refused(tmp_path: Path, field: str, damage: str) -> None:
    """It ends as an error of usage; an uncaught one would end with 1, which says FAIL to a pipeline."""
    result = run(seconds=3)
    del result[field]
    if damage == "text":
        result[field] = "x"
    path = write_text(tmp_path / "report.json", to_json(result))
    with pytest.raises(ReportError, match="not a whole report"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No such file is told as such."""
    with pytest.raises(ReportError, match=r"report\.json: No such file"):
        read(tmp_path)
