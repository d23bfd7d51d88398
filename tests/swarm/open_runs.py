"""Runs whose requests are due by schedules, and what their report and the server must agree on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.swarm.conftest import Serving
from tests.swarm.processes import Locust, free_port, wait_until
from tfs_locust.load.schedule import Division, Schedule

# When each request was due, as the process that sent it says at its end.
RECORDING = """
import json, os
from pathlib import Path
from locust import events

due_ns = []

@events.request.add_listener
def note(context, **_):
    due_ns.append(context["due_ns"])

@events.test_start.add_listener
def forget(**_):
    due_ns.clear()

@events.test_stop.add_listener
def say(**_):
    if due_ns:
        Path(os.environ["DUE_FOLDER"], f"due-{os.getpid()}.json").write_text(json.dumps(sorted(due_ns)))
"""
ONE_CLASS = """
from tfs_locust import GrpcPredictUser

class Hit(GrpcPredictUser):
    model = "MODEL"
"""


class OpenRun:
    """A run of one locustfile, of class ``Hit`` for a model unless another is given, and its report."""

    def __init__(self, locust: Callable[..., Any], folder: Path, serving: Serving) -> None:
        self.locust = locust
        self.serving = serving
        self.model = "half_plus_two"
        self.folder = folder
        self.file = folder / "open.py"
        self.results = folder / "results"
        self.workers: list[Locust] = []
        self._locustfile = ONE_CLASS
        self._before = 0

    def sends(self, locustfile: str = ONE_CLASS, *, model: str = "half_plus_two") -> None:
        """What is run; each ``MODEL`` in it is the model."""
        self.model, self._locustfile = model, locustfile

    def arguments(self, *more: str, users: int = 4) -> list[str]:
        """Of the leading process."""
        self.file.write_text(RECORDING + self._locustfile.replace("MODEL", self.model))
        self._before = self.served(since=0)
        given = ["-f", str(self.file), "--host", self.serving.grpc, "-u", str(users), "-r", "100", "--only-summary"]
        return [*given, "--tfs-report", str(self.results), *more]

    def start(self, *more: str, users: int = 4, **env: str) -> Locust:
        """In one process, or in whatever ``more`` says."""
        one: Locust = self.locust(*self.arguments("--headless", *more, users=users), DUE_FOLDER=str(self.folder), **env)
        return one

    def lead(self, *more: str, users: int = 4, headless: bool = True, start: Any = None) -> Any:
        """A master with two workers."""
        port, env = str(free_port()), {"DUE_FOLDER": str(self.folder)}
        at = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"]
        master = (start or self.locust)(*self.arguments(*at, *(["--headless"] * headless), *more, users=users), **env)
        self.worker = ["-f", str(self.file), "--worker", "--master-host", "127.0.0.1", "--master-port", port]
        self.workers = [self.locust(*self.worker, **env) for _ in range(2)]
        return master

    def served(self, *, since: int | None = None) -> int:
        """How many of this run's requests the server has answered well."""
        return self.serving.predictions(self.model, "grpc") - (self._before if since is None else since)

    def under_way(self, requests: int = 1) -> None:
        """Return when the server has answered some of this run's requests."""
        wait_until(lambda: self.served() >= requests, saying=lambda: f"{self.served()} answered")

    def report(self) -> Any:
        """What was written at the end."""
        return json.loads((self.results / "report.json").read_text())

    def assert_conserved(self) -> Any:
        """Nothing is lost between schedule, workers, outcomes and server, and no worker between start and end."""
        report = self.report()
        offered, totals = report["offered"], report["totals"]
        assert [worker["state"] for worker in report["workers"]] == ["complete"] * len(report["workers"])
        assert all(worker["missing"] == 0 for worker in report["workers"])
        assert report["warmup"]["requests"] == 0
        assert offered["requests"] == sum(worker["offered"] for worker in report["workers"]) + offered["abandoned"]
        assert offered["requests"] == totals["requests"] + offered["abandoned"]
        assert offered["unsent"] == totals["unsent"] + offered["abandoned"]
        assert totals["requests"] == totals["ok"] + totals["failed"]
        assert self.served() == totals["ok"]
        assert (
            sum(worker["started"] for worker in report["workers"]) == totals["ok"] + totals["failed"] - totals["unsent"]
        )
        return report

    def assert_exact(self) -> Any:
        """Besides, all that the run's schedule had due was sent and ended well; nothing else was."""
        report = self.assert_conserved()
        offered = report["offered"]
        assert offered["scheduled"] == offered["requests"] == report["totals"]["ok"]
        assert (offered["unsent"], offered["abandoned"], report["totals"]["failed"]) == (0, 0, 0)
        return report

    def gaps(self) -> list[list[int]]:
        """Of each process that sent: from its first request's due time to each one's, in nanoseconds."""
        due = [json.loads(file.read_text()) for file in self.folder.glob("due-*.json")]
        return sorted(([at - each[0] for at in each] for each in due), key=len)


def stripes(schedule: Schedule, workers: int, until_ns: int) -> list[list[int]]:
    """Of each of so many workers: from its first arrival to each that is due before ``until_ns``."""
    shares = (schedule.stripe(Division(0, index, workers)).take(until_ns).due_ns for index in range(workers))
    return [(share - share[0]).tolist() for share in shares]


def assert_follows(gaps: list[list[int]], schedule: Schedule, end_ns: int) -> None:
    """Each process has sent one stripe of the schedule to the nanosecond, up to about ``end_ns``."""
    expected = stripes(schedule, len(gaps), end_ns + 10**9)
    for sent in gaps:
        (whole,) = [stripe for stripe in expected if stripe[: len(sent)] == sent] or [[]]
        assert whole, f"{sent[:5]}... is none of {[stripe[:5] for stripe in expected]}"
        expected.remove(whole)
