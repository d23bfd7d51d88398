"""Containers of the image as a cluster's strictest rules have them: nothing can be written, no capability is left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.containers import Container
from tests.deploy.image import why_not_built
from tests.swarm.conftest import Serving
from tests.swarm.processes import free_port, wait_until

pytestmark = [
    pytest.mark.skipif(bool(why_not_built()), reason=why_not_built()),
    pytest.mark.timeout(400),  # the first of a clean checkout makes the base and the image
]

Start = Callable[..., Container]
MODEL = "slower"  # answers take 1.5 s, so that some are always in flight
LOCUSTFILE = "/locustfiles/grpc_predict.py"


class Run:
    """A master and two workers against the server of the tests; what they report, and what the server counted."""

    def __init__(self, container: Start, folder: Path, serving: Serving) -> None:
        self._container, self._serving = container, serving
        self._results = folder / "results"
        self._results.mkdir()
        os.chown(self._results, 10001, 10001)
        self._before = self.served()
        port = str(free_port())
        self.master = container(
            *("--headless", "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port),
            *("--expect-workers", "2", "-u", "8", "-r", "8", "--only-summary", "--host", serving.grpc),
            env={"TFS_REPORT": "/results", "TFS_MODEL": MODEL},
            mounts={self._results: "/results"},
        )
        worker = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
        self.workers = [container(*worker) for _ in range(2)]

    def served(self) -> int:
        """The server's own count of answers, all runs together."""
        return self._serving.metrics("request_count", model_name=MODEL, status="OK")

    def under_way(self) -> None:
        """Return when the server has answered some of this run's requests; more are in flight then."""

        def answered() -> bool:
            return self.served() >= self._before + 8

        wait_until(answered, within_s=60, saying=lambda: self.master.output + self.workers[0].output)

    def assert_conserved(self) -> dict[str, Any]:
        """The report has all that the server counted, from workers that are complete."""
        report: dict[str, Any] = json.loads((self._results / "report.json").read_text())
        assert report["totals"]["ok"] == self.served() - self._before
        assert report["totals"]["failed"] == 0
        assert report["totals"]["ok"] >= 8
        assert [worker["state"] for worker in report["workers"]] == ["complete", "complete"]
        assert {"report.html", "junit.xml", "summary.md"} <= {path.name for path in self._results.iterdir()}
        return report


def test_stopped_master_loses_nothing(container: Start, tmp_path: Path, serving: Serving) -> None:
    """A stop of the master's container: requests in flight are waited for, the report is written, workers end."""
    run = Run(container, tmp_path, serving)
    run.under_way()
    run.master.stop()
    assert run.master.wait() == 0, run.master.output
    assert run.assert_conserved()["verdict"]["state"] == "PASS"
    assert [worker.wait() for worker in run.workers] == [0, 0], run.workers[0].output


def test_stopped_worker_loses_nothing(container: Start, tmp_path: Path, serving: Serving) -> None:
    """A stop of one worker's container: it drains and reports before it goes; what it did is in the result."""
    run = Run(container, tmp_path, serving)
    run.under_way()
    run.workers[0].stop()
    assert run.workers[0].wait() == 0, run.workers[0].output
    run.master.stop()
    run.master.wait()
    run.assert_conserved()


def test_stop_while_starting(container: Start, tmp_path: Path) -> None:
    """A stop before Locust handles signals ends the first process, from which the kernel would keep it."""
    locustfile = tmp_path / "never_ready.py"
    locustfile.write_text("import signal\nprint('importing', flush=True)\nsignal.pause()\n")
    started = container("-f", "/never_ready.py", mounts={locustfile: "/never_ready.py"})
    started.wait_for("importing")
    started.stop()
    assert started.wait() == 128 + 15, started.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--version"], 0, "locust 2."),
        (["locust", "--version"], 0, "locust 2."),
        (["tfs-locust", "--version"], 0, "tfs-locust 0."),
        (["sh", "-c", "true"], 2, "sh: this image runs Locust"),
    ],
)
def test_arguments(container: Start, arguments: list[str], code: int, says: str) -> None:
    """Locust's options as they are, its name, or tfs-locust; anything else is refused with what there is."""
    started = container(*arguments)
    assert started.wait() == code, started.output
    assert started.output.startswith(says)
