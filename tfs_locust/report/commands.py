"""``tfs-locust judge | render | compare``: what can be done with a report after the run, offline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tfs_locust.judge.slo import ObjectiveError, parse_objectives
from tfs_locust.judge.verdict import ExitCode
from tfs_locust.report.compare import TOLERANCE, compare, comparison_text
from tfs_locust.report.console import closing_table
from tfs_locust.report.files import ReportError, read, render, write
from tfs_locust.report.queries import series_of
from tfs_locust.report.report import rejudge


def judge_command(argv: Sequence[str]) -> int:
    """Judge a report again; the exit code is the verdict's."""
    parser = argparse.ArgumentParser(
        prog="tfs-locust judge",
        description="Judge a finished run again, by the same or by other objectives. Nothing is measured anew.",
        epilog="Exit codes: 0 PASS, 1 FAIL, 2 usage, 3 INVALID.",
    )
    parser.add_argument("report", type=Path, help="a report.json, or the directory it is in")
    parser.add_argument(
        "--tfs-slo",
        action="append",
        metavar="OBJECTIVE",
        help="such as 'p99<100ms' or 'grpc: error_rate<0.1%%'; repeatable; 'default' stands for the three of the "
        "mission. Without any, those of the report are judged again",
    )
    parser.add_argument("--tfs-confidence", type=_confidence, metavar="SHARE", help="such as 0.99 or 99%%")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write the report with its new verdict here")
    arguments = parser.parse_args(argv)

    def run() -> int:
        result = read(arguments.report)
        expressions = arguments.tfs_slo or [one["expression"] for one in result["objectives"]]
        confidence = arguments.tfs_confidence or result["verdict"]["confidence"]
        result = rejudge(result, parse_objectives(expressions, series_of(result)), confidence=confidence)
        if arguments.output:
            write(arguments.output, result)
        sys.stdout.write(closing_table(result))
        return int(result["verdict"]["exit_code"])

    return _guarded(parser, run)


def render_command(argv: Sequence[str]) -> int:
    """Make all other files of a report again from its JSON."""
    parser = argparse.ArgumentParser(
        prog="tfs-locust render",
        description="Make report.html, junit.xml, summary.md and the .hgrm files again from a report.json.",
    )
    parser.add_argument("report", type=Path, help="a report.json, or the directory it is in")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write here; default: beside the JSON")
    arguments = parser.parse_args(argv)

    def run() -> int:
        path: Path = arguments.report
        beside = path if path.is_dir() else path.parent
        for written in render(arguments.output or beside, read(path)):
            sys.stdout.write(f"{written}\n")
        return int(ExitCode.PASS)

    return _guarded(parser, run)


def compare_command(argv: Sequence[str]) -> int:
    """Compare two reports; exit 1 on a regression."""
    parser = argparse.ArgumentParser(
        prog="tfs-locust compare",
        description="Compare two runs: the ratio of each quantile and rate, and whether it is more than chance.",
        epilog="Exit codes: 0 no regression, 1 a regression beyond the tolerance, 2 usage, 3 not to be believed.",
    )
    parser.add_argument("before", type=Path, help="the report to compare with")
    parser.add_argument("after", type=Path, help="the report that may be worse")
    parser.add_argument(
        "--tolerance",
        type=_share,
        default=TOLERANCE,
        metavar="SHARE",
        help="how much worse a number may be, such as 0.05 or 5%% (default: %(default)s)",
    )
    parser.add_argument(
        "--tfs-confidence", type=_confidence, default=0.95, metavar="SHARE", help="default: %(default)s"
    )
    arguments = parser.parse_args(argv)

    def run() -> int:
        comparison = compare(
            read(arguments.before), read(arguments.after), arguments.tolerance, confidence=arguments.tfs_confidence
        )
        sys.stdout.write(comparison_text(comparison))
        return int(comparison.exit_code)

    return _guarded(parser, run)


def _guarded(parser: argparse.ArgumentParser, run: Callable[[], int]) -> int:
    """Faults of the user's making are told on stderr and end with the exit code for usage."""
    try:
        return run()
    except ObjectiveError as error:
        sys.stderr.write(f"{parser.prog}: error: --tfs-slo:\n{error}\n")  # on lines of its own: it points at columns
        return int(ExitCode.USAGE)
    except (ReportError, OSError) as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return int(ExitCode.USAGE)


def _share(text: str) -> float:
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no share, such as 0.05 or 5%")
    return value


def _confidence(text: str) -> float:
    value = _share(text)
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a confidence is at least 0.5 and below 1")
    return value
