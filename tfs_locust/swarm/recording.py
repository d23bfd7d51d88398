"""The sending side of the measurement: a tally in each process that sends load, and its reports to whoever leads.

A single process hands its snapshots over directly; a worker sends them with Locust's own reports, and a last, complete
one when its users have stopped.
"""

from __future__ import annotations

import time
from typing import Any

from locust.env import Environment
from locust.runners import Runner, WorkerRunner

from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.tally import Tally
from tfs_locust.swarm.vitals import Vitals

FINAL = "tfs_final"
REPORT = "tfs"


class Recorder:
    """What one process measures in one run."""

    def __init__(self, environment: Environment, run_id: str, *, warmup_s: float, drain_s: float) -> None:
        runner = environment.runner
        worker = getattr(runner, "client_id", "local")
        self.run_id = run_id
        self.tally = Tally(
            worker, time.time_ns(), origin_ns=time.perf_counter_ns(), warmup_ns=int(warmup_s * 1_000_000_000)
        )
        self._vitals = Vitals(self.tally, lambda: 0 if runner is None else runner.user_count)
        self._environment = environment
        # Locust stops users at once and loses what they have in flight, unless it has time to wait for them
        self._stop_timeout = environment.stop_timeout
        environment.stop_timeout = max(environment.stop_timeout or 0.0, drain_s)
        self._ended = False

    def end_load(self) -> None:
        """Users are about to be stopped."""
        self.tally.end_load(time.perf_counter_ns())

    def end(self) -> dict[str, Any]:
        """All users have stopped: the last report."""
        self._vitals.stop()
        self._ended = True
        # a worker would otherwise wait as long again before it is ready for another run
        on_worker = isinstance(self._environment.runner, WorkerRunner)
        self._environment.stop_timeout = 0.0 if on_worker else self._stop_timeout
        return self.report(final=True)

    def report(self, *, final: bool = False) -> dict[str, Any]:
        """What has changed, or, at the end, all: ready for Locust's messages."""
        snapshot = self.tally.snapshot(time.perf_counter_ns(), final=final, changes_only=not final)
        return {"run": self.run_id, "snapshot": snapshot.to_wire()}

    def add_to(self, runner: Runner | None, data: dict[str, Any]) -> None:
        """Put a live report into one of Locust's."""
        if not self._ended and isinstance(runner, WorkerRunner):
            data[REPORT] = self.report()

    def record_foreign(self, request_type: str, name: str, response_time: float, failed: bool, size: int) -> None:
        """Count a request of a plain Locust user, which tells only how long it took, in milliseconds."""
        end_ns = time.perf_counter_ns()
        sent_ns = end_ns - int(response_time * 1e6)
        key = Key(name, request_type.lower(), "", "", Outcome.UNKNOWN if failed else Outcome.OK)
        self.tally.started += 1
        self.tally.record(Sample(key, sent_ns, sent_ns, end_ns, 0, 0, size))
