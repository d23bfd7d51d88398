"""However a run ends, the server's own count is the report's; what cannot be believed is INVALID."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.swarm.conftest import Serving
from tests.swarm.processes import Locust, LocustWeb, free_port, wait_until

Start = Callable[..., Locust]

# Answers take 1.5 s, so that some are always in flight; the bad ones are refused by the server, and counted there.
LOCUSTFILE = """
from locust import LoadTestShape, constant
from tfs_locust import GrpcPredictUser

class Good(GrpcPredictUser):
    model = "slower"
    weight = 3

class Bad(GrpcPredictUser):
    model = "slower"
    wait_time = constant(0.1)

    def on_start(self):
        from tfs_locust.tfserving.protos import predict_pb2
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "slower"
        self.body = request.SerializeToString()

    def predict(self, inputs=None):
        return super().predict(self.body)
"""
SHAPE = """
class Short(LoadTestShape):
    def tick(self):
        return (8, 8) if self.get_run_time() < 3 else None
"""


class Run:
    """A run of the locustfile above in the way asked for, and its report."""

    def __init__(self, locust: Start, folder: Path, serving: Serving) -> None:
        self.locust = locust
        self.serving = serving
        self.file = folder / "endings.py"
        self.file.write_text(LOCUSTFILE)
        self.results = folder / "results"
        self.before = self.counts()
        self.worker: list[str] = []
        """A worker's arguments, once there is a master."""
        self.workers: list[Locust] = []

    def counts(self) -> dict[str, int]:
        """What the server has counted, by status."""
        return {
            status: self.serving.metrics("request_count", model_name="slower", status=status)
            for status in ("OK", "INVALID_ARGUMENT")
        }

    def arguments(self, *more: str) -> list[str]:
        """The leading process's; eight users at once."""
        given = ["-f", str(self.file), "--host", self.serving.grpc, "-u", "8", "-r", "8", "--only-summary"]
        return [*given, "--tfs-report", str(self.results), *more]

    def lead(self, *more: str, headless: bool = True, start: Start | None = None, **env: str) -> Locust:
        """A master with two workers."""
        port = str(free_port())
        at = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"]
        master = (start or self.locust)(*self.arguments(*at, *(["--headless"] * headless), *more), **env)
        self.worker = ["-f", str(self.file), "--worker", "--master-host", "127.0.0.1", "--master-port", port]
        self.workers = [self.locust(*self.worker, **env) for _ in range(2)]
        return master

    def under_way(self) -> None:
        """Return when the server has answered this run's good and bad requests; more are in flight then."""
        wait_until(lambda: all(now > self.before[status] for status, now in self.counts().items()))

    def report(self) -> dict[str, Any]:
        """What was written at the end."""
        result: dict[str, Any] = json.loads((self.results / "report.json").read_text())
        return result

    def assert_conserved(self) -> dict[str, Any]:
        """The report has counted what the server has, successes and failures apart."""
        report = self.report()
        totals = report["totals"]
        served = {status: now - self.before[status] for status, now in self.counts().items()}
        assert {"OK": totals["ok"], "INVALID_ARGUMENT": totals["failed"]} == served
        assert totals["ok"] >= 6
        assert totals["failed"] > 0
        assert report["failures"] == {"invalid_argument": totals["failed"]}
        assert [worker["state"] for worker in report["workers"]] == ["complete"] * len(report["workers"])
        assert sorted(path.name for path in self.results.iterdir()) == [
            "junit.xml",
            "report.html",
            "report.json",
            "response_time.hgrm",
            "service_time.hgrm",
            "summary.md",
        ]
        return report


@pytest.fixture
def run(locust: Start, tmp_path: Path, serving: Serving) -> Run:
    """Nothing is started yet."""
    return Run(locust, tmp_path, serving)


def test_run_time(run: Run) -> None:
    """``-t`` with master and workers: what is in flight is waited for and counted; failures make it 1, as in Locust."""
    master = run.lead("-t", "3s")
    assert master.wait() == 1, master.output
    assert [worker.wait(10) for worker in run.workers] == [0, 0]
    report = run.assert_conserved()
    assert (report["verdict"]["state"], report["verdict"]["reasons"]) == ("PASS", [])
    assert len(report["workers"]) == 2
    assert master.output.rstrip().endswith("verdict: PASS")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_signals(run: Run, stop: signal.Signals) -> None:
    """SIGTERM or Ctrl-C to the master of a run without an end of its own: the same, and a verdict."""
    master = run.lead()
    run.under_way()
    master.process.send_signal(stop)
    assert master.wait() == 1, master.output
    run.assert_conserved()
    assert run.report()["verdict"]["state"] == "PASS"
    for worker in run.workers:
        worker.assert_nothing_left(10)


def test_ctrl_c_reaches_every_process_of_a_terminal(run: Run) -> None:
    """Master and workers get SIGINT at the same time, as from a terminal."""
    master = run.lead()
    run.under_way()
    for process in (*run.workers, master):
        process.process.send_signal(signal.SIGINT)
    assert master.wait() == 1, master.output
    run.assert_conserved()


def test_interrupted_run_is_invalid(run: Run) -> None:
    """A run that was to take longer is counted whole, and is not to be believed."""
    one = run.locust(*run.arguments("--headless", "-t", "60s"))
    run.under_way()
    one.process.send_signal(signal.SIGTERM)
    assert one.wait() == 3, one.output
    report = run.assert_conserved()
    assert report["verdict"]["reasons"] == ["aborted: it was interrupted before its 60 s were over"]


def test_processes(run: Run) -> None:
    """``--processes 2``, the workers forked from the leading process."""
    one = run.locust(*run.arguments("--headless", "-t", "3s", "--processes", "2"))
    assert one.wait() == 1, one.output
    assert len(run.assert_conserved()["workers"]) == 2


def test_shape(run: Run) -> None:
    """A load shape that ends."""
    run.file.write_text(LOCUSTFILE + SHAPE)
    master = run.lead()
    assert master.wait() == 1, master.output
    run.assert_conserved()


def test_web_stop_and_second_run(run: Run, locust_web: Callable[..., LocustWeb]) -> None:
    """Stop in the web page: the report is there, and a second run begins at zero and is counted whole as well."""
    master = run.lead(headless=False, start=locust_web)
    assert isinstance(master, LocustWeb)
    master.wait_for_page()
    master.wait_for("2 workers connected")
    form = {"user_count": "8", "spawn_rate": "8", "host": run.serving.grpc}
    for _ in range(2):
        wait_until(lambda: [one["state"] for one in master.json("/stats/requests")["workers"]] == ["ready"] * 2)
        run.before = run.counts()
        assert master.post("/swarm", form)["success"]
        run.under_way()
        master.post("/stop")
        wait_until((run.results / "report.html").exists, saying=lambda: master.output)
        assert run.assert_conserved()["verdict"]["state"] == "PASS"
        shutil.rmtree(run.results)


def test_killed_worker(run: Run) -> None:
    """kill -9: exit code 3, the worker and the requests known to be missing are named, the other's are all there."""
    master = run.lead("-t", "12s")
    run.under_way()
    wait_until(lambda: len(run.workers[0].alive()) == 1)
    wait_until(lambda: run.counts()["OK"] - run.before["OK"] >= 12)
    os.kill(run.workers[0].process.pid, signal.SIGKILL)
    assert master.wait(60) == 3, master.output
    report = run.report()
    assert report["verdict"]["state"] == "INVALID"
    lost = [worker["name"] for worker in report["workers"] if worker["state"] == "lost"]
    assert len(lost) == 1
    (reason,) = report["verdict"]["reasons"]
    assert reason.startswith(f"worker-lost: {lost[0]} is gone without its last report; ")
    assert "requests it had sent are known to be missing" in reason


# Failures that a worker has not told Locust's master of make Locust end it with 1.
UNTOLD = """
from locust import runners

runners.WORKER_REPORT_INTERVAL = 60
"""


def test_stopped_workers(run: Run) -> None:
    """SIGTERM to workers: they end with 0 whatever has failed, for the master judges that, from their last reports."""
    run.file.write_text(LOCUSTFILE + UNTOLD)
    master = run.lead()
    run.under_way()
    for worker in run.workers:  # users that fail may all be on one of them
        worker.process.send_signal(signal.SIGTERM)
    assert [worker.wait(20) for worker in run.workers] == [0, 0], run.workers[0].output
    master.process.send_signal(signal.SIGTERM)
    assert master.wait() == 1, master.output
    run.assert_conserved()


def test_paused_generator(run: Run) -> None:
    """A worker stopped for 2 s is told as such: the run is INVALID, the server is not called slow."""
    limits = "send_lag=none | loop_lag=1s | cpu=none | throttled=none"
    master = run.lead("-t", "10s", TFS_LIMIT=limits)
    run.under_way()
    paused = run.workers[0].process
    paused.send_signal(signal.SIGSTOP)
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > 2)
    paused.send_signal(signal.SIGCONT)
    assert master.wait(60) == 3, master.output
    (reason,) = run.report()["verdict"]["reasons"]
    assert reason.startswith("generator-limited: worker ")
    assert "event loop stood still for" in reason


def test_objectives_decide_the_exit_code(run: Run) -> None:
    """A broken objective is exit code 1, a kept one 0 although requests failed, an open one 3."""
    for objective, code, state in (
        ("p50<100ms", 1, "FAIL"),
        ("scenario=Good: p50<10s", 0, "PASS"),
        ("scenario=Good: p99<10s", 3, "INVALID"),
    ):
        one = run.locust(*run.arguments("--headless", "-t", "3s", "--tfs-slo", objective))
        assert one.wait() == code, one.output
        assert run.report()["verdict"]["state"] == state
        assert [(each["expression"]) for each in run.report()["objectives"]] == [objective]


def test_hopeless_run_is_ended(run: Run) -> None:
    """``--tfs-abort-on-fail`` ends a run at once when an objective is surely broken, and it FAILs."""
    one = run.locust(*run.arguments("--headless", "-t", "60s", "--tfs-slo", "error_rate<0.1%", "--tfs-abort-on-fail"))
    assert one.wait() == 1, one.output
    assert "surely broken: error_rate<0.1%" in one.output
    run.assert_conserved()
    assert run.report()["verdict"]["state"] == "FAIL"


def test_warmup_is_not_judged(run: Run) -> None:
    """What was due in the warm-up stands apart: together they are what the server counted. Its users are shown."""
    one = run.locust(*run.arguments("--headless", "-t", "5s", "--tfs-warmup", "2s"))
    assert one.wait() == 1, one.output
    report = run.report()
    served = {status: now - run.before[status] for status, now in run.counts().items()}
    assert report["warmup"]["ok"] > 0
    assert report["totals"]["ok"] + report["warmup"]["ok"] == served["OK"]
    assert report["totals"]["failed"] + report["warmup"]["failed"] == served["INVALID_ARGUMENT"]
    assert max(report["timeline"]["users"][:2]) > 0


# Locust tells a worker to start as soon as it is connected, and may do so before the worker's runner is made.
LATE = """
import gevent
from locust.runners import WorkerRunner

connect = WorkerRunner.connect_to_master

def connect_slowly(runner):
    connect(runner)
    gevent.sleep(0.5)

WorkerRunner.connect_to_master = connect_slowly
"""


def test_worker_that_joins_late(run: Run) -> None:
    """A worker that comes when the run is under way gets a share of the load, and its requests are counted."""
    master = run.lead("-t", "6s")
    run.under_way()
    run.file.write_text(LOCUSTFILE + LATE)
    run.workers.append(run.locust(*run.worker))
    assert master.wait() == 1, master.output
    report = run.assert_conserved()
    assert len(report["workers"]) == 3


def test_report_that_could_not_be_written(run: Run) -> None:
    """A folder that is gone at the end: it is said, the verdict still stands on the console, and the code is 3."""
    one = run.locust(*run.arguments("--headless", "-t", "4s", "--tfs-slo", "scenario=Good: p50<10s"))
    run.under_way()
    run.results.rmdir()
    run.results.write_text("")
    assert one.wait() == 3, one.output
    assert f"the report was not written to {run.results}: " in one.output
    assert one.output.endswith("verdict: PASS\nthe report could not be written: exit code 3\n")
    assert "Traceback" not in one.output
