"""The leading side of the measurement: what workers reported, the verdict at the end, the files written of it."""

from __future__ import annotations

import logging
import os
import platform
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tfs_locust.judge.slo import Objective
from tfs_locust.judge.verdict import Verdict, hopeless, judge
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.view import View, WorkerState
from tfs_locust.report import files
from tfs_locust.report.console import closing_table
from tfs_locust.report.report import Result, build
from tfs_locust.swarm.settings import Settings

_PACKAGES = ("tfs-locust", "locust", "gevent", "grpcio", "geventhttpclient", "tensorflow-serving-api", "numpy")
_logger = logging.getLogger(__name__)


class Judgement:
    """One run, as the leading process knows it."""

    def __init__(self, run_id: str, settings: Settings, objectives: tuple[Objective, ...]) -> None:
        self.run_id = run_id
        self.objectives = objectives
        self.aggregate = Aggregate()
        self.aborted = ""
        self.result: Result | None = None
        self.verdict: Verdict | None = None
        self.unwritten = False
        """A report was asked for and could not be written."""
        self._settings = settings
        self._started = datetime.now(timezone.utc)

    def accept(self, report: dict[str, Any]) -> None:
        """Take a report; one of an earlier run is put aside."""
        if report.get("run") == self.run_id:
            self.aggregate.accept(Snapshot.from_wire(report["snapshot"]), time.monotonic_ns())

    def waiting_for(self) -> list[str]:
        """Workers whose last report is not in and may still come."""
        return [
            worker.name
            for worker in self.view().workers
            if worker.state not in {WorkerState.COMPLETE, WorkerState.LOST}
        ]

    def view(self) -> View:
        """How things stand."""
        return self.aggregate.view(time.monotonic_ns())

    def surely_broken(self) -> list[str]:
        """Objectives that the run has broken whatever comes."""
        return [one.objective.expression for one in hopeless(self.view(), self.objectives, self._settings.confidence)]

    def failures(self) -> int:
        """Requests that did not end well, the warm-up's among them."""
        return self.view().select(lambda key: key.key.outcome is not Outcome.OK).count

    def conclude(self, options: dict[str, Any], hosts: list[str], users: int) -> Result:
        """Judge, once; write the report where one is asked for."""
        if self.result is None:
            view = self.view()
            self.verdict = judge(
                view,
                self.objectives,
                confidence=self._settings.confidence,
                limits=self._settings.limits,
                aborted=self.aborted,
            )
            self.result = build(view, self.verdict, self._manifest(options, hosts, users))
            if self._settings.report is not None:
                self._write(self._settings.report, self.result)
        return self.result

    def _write(self, folder: Path, result: Result) -> None:
        try:
            files.write(folder, result)
        except OSError as error:  # it could be written to before the run
            self.unwritten = True
            _logger.error("the report was not written to %s: %s", folder, error)  # noqa: TRY400 - it is no bug
        else:
            _logger.info("report written to %s", folder)

    def table(self) -> str:
        """What the console ends with."""
        unwritten = "the report could not be written: exit code 3\n" if self.unwritten else ""
        return closing_table(self.result) + unwritten if self.result is not None else ""

    def _manifest(self, options: dict[str, Any], hosts: list[str], users: int) -> dict[str, Any]:
        return {
            "title": "TensorFlow Serving load test",
            "started": self._started.isoformat(timespec="seconds"),
            "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "hosts": hosts,
            "users": users,
            "options": options,
            "seed": self._settings.seed,
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
            "machine": {"name": platform.node(), "system": platform.platform(), "cores": os.cpu_count()},
        }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"
