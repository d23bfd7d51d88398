"""Runs whose requests are due by schedules, and what their report and the server must agree on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.swarm.conftest import Serving
from tests.swarm.processes import Locust, free_port, wait_until
from tfs_locust.load.schedule import ALL, Schedule

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
        self.folder = folder
        self.file = folder / "open.py"
        self.results = folder / "results"
        self.workers: list[Locust] = []
        self.sends()
        self._before = 0

    def sends(self, locustfile: str = ONE_CLASS, *, model: str = "half_plus_two", protocol: str = "grpc") -> None:
        """What is run; each ``MODEL`` in it is the model, each ``Grpc`` the protocol."""
        self.model, self._protocol = model, protocol
        self._locustfile = locustfile.replace("MODEL", model).replace("Grpc", protocol.capitalize())

    def arguments(self, *more: str, users: int = 4) -> list[str]:
        """Of the leading process."""
        self.file.write_text(RECORDING + self._locustfile)
        self._before = self.served(since=0)
        given = [
            "-f",
            str(self.file),
            "--host",
            getattr(self.serving, self._protocol),
            "-u",
            str(users),
            "-r",
            "100",
            "--only-summary",
        ]
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
        return self.serving.predictions(self.model, self._protocol) - (self._before if since is None else since)

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


def assert_follows(gaps: list[list[int]], schedule: Schedule, report: Any) -> None:
    """Together the processes have sent each request of the schedule once, at its time to the nanosecond.

    Of a constant rate, or a trace with equal times, only one process can be told where it is in it.
    """
    scheduled = report["offered"]["scheduled"]
    whole = schedule.stripe(ALL).take(int(report["load_s"] * 1e9) + 10**9).due_ns.tolist()[:scheduled]
    if len(gaps) == 1:
        assert gaps[0] == [at - whole[0] for at in whole]
    else:
        assert sorted(number for sent in gaps for number in _numbers(sent, whole)) == list(range(scheduled))


def _numbers(sent: list[int], whole: list[int]) -> list[int]:
    """Which of all requests have the times between them that these have."""
    numbers = {at: number for number, at in enumerate(whole)}
    for first in whole:
        if all(first + gap in numbers for gap in sent):
            return [numbers[first + gap] for gap in sent]
    raise AssertionError(f"{sent[:5]}... are no times of {whole[:9]}...")
