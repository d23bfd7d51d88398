"""The report's files: written whole or not at all, and read again."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from tfs_locust.report.capacity import capacity_of, csv_text
from tfs_locust.report.console import closing_table
from tfs_locust.report.hgrm import percentile_text
from tfs_locust.report.html import page
from tfs_locust.report.junit import junit_xml
from tfs_locust.report.markdown import summary
from tfs_locust.report.report import SCHEMA_VERSION, Result, rejudge, times_of


class ReportError(Exception):
    """A file is no report that can be read; the message names it."""


def write(directory: Path, result: Result) -> tuple[Path, ...]:
    """Write every form of the result to the directory, which is made if need be; the paths written.

    The JSON comes first: should the process be killed on the way, all else can be rendered from it.
    """
    return (write_text(directory / "report.json", to_json(result)), *render(directory, result))


def unwritable(directory: Path) -> str:
    """Why no report can be written to this directory, which is made if need be; empty where one can be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def render(directory: Path, result: Result) -> tuple[Path, ...]:
    """Write every form but the JSON."""
    response, service = times_of(result)
    capacity = capacity_of(result)
    return (
        write_text(directory / "summary.md", summary(result)),
        write_text(directory / "junit.xml", junit_xml(result)),
        write_text(directory / "response_time.hgrm", percentile_text(response)),
        write_text(directory / "service_time.hgrm", percentile_text(service)),
        write_text(directory / "report.html", page(result)),
        *([] if capacity is None else [write_text(directory / "capacity.csv", csv_text(capacity))]),
    )


def read(path: Path) -> Result:
    """A report.json, or the one in a directory; :class:`ReportError` if it is none of ours."""
    if path.is_dir():
        path = path / "report.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ReportError(f"{path}: not JSON: {error}") from error
    version = result.get("schema_version") if isinstance(result, dict) else None
    if version != SCHEMA_VERSION:
        raise ReportError(f"{path}: schema_version is {version!r}; this program reads {SCHEMA_VERSION}")
    try:
        # whatever is done with it rests on these: told here, damage does not end as a FAIL
        rejudge(result, (), confidence=result["verdict"]["confidence"])
        closing_table(result)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReportError(f"{path}: not a whole report: {error!r}") from error
    return dict(result)


def to_json(result: Result) -> str:
    """One field a line: histograms stay compact, and two reports can be compared by eye."""
    lines = (f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in result.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_text(path: Path, text: str) -> Path:
    """Write a file so that at no time a part of it is there under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp gives it to nobody else
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
