"""The sending side of the measurement: a tally in each process that sends load, and its reports to whoever leads.

A single process hands its snapshots over directly; a worker sends them with Locust's own reports, and a last, complete
one when its users have stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from locust.env import Environment
from locust.runners import Runner, WorkerRunner

from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.coarse import FINE_S
from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View
from tfs_locust.swarm.locust_stats import LocustStats
from tfs_locust.swarm.pairing import with_others
from tfs_locust.swarm.vitals import Vitals

if TYPE_CHECKING:
    from tfs_locust.swarm.scenario import Scenario
    from tfs_locust.transport.base import Transport

FINAL = "tfs_final"
REPORT = "tfs"


class Recorder:
    """What one process measures in one run."""

    def __init__(
        self, environment: Environment, run_id: str, *, warmup_s: float, drain_s: float, fine_s: int = FINE_S
    ) -> None:
        """``fine_s`` is for how long the timeline keeps each second, see :mod:`tfs_locust.measure.coarse`."""
        runner = environment.runner
        worker = getattr(runner, "client_id", "local")
        self.run_id = run_id
        self.started_s = time.time()
        self.tally = Tally(
            worker,
            time.time_ns(),
            origin_ns=time.perf_counter_ns(),
            warmup_ns=int(warmup_s * 1_000_000_000),
            fine_s=fine_s,
        )
        self._vitals = Vitals(self.tally, lambda: 0 if runner is None else runner.user_count)
        self._environment = environment
        # Locust stops users at once and loses what they have in flight, unless it has time to wait for them
        self._stop_timeout = environment.stop_timeout
        environment.stop_timeout = max(environment.stop_timeout or 0.0, drain_s)
        self._ended = False
        self._locust_stats: LocustStats | None = None
        self._scenarios: tuple[Scenario, ...] = ()
        self._transports: tuple[Transport[Any], ...] = ()
        self._peers_before: Counter[str] = Counter()

    def watch(self, scenarios: Iterable[Scenario], transports: Iterable[Transport[Any]]) -> None:
        """What sends this run's requests, which has more to tell than each sample says."""
        self._scenarios, self._transports = tuple(with_others(scenarios)), tuple(transports)
        self._peers_before = self._peers()
        self._locust_stats = LocustStats(
            self._environment, self.tally, {one.name: one.request_name for one in self._scenarios}
        )

    def tells_locust(self) -> bool:
        """Whether Locust learns of good requests, from now on, without being told of each."""
        return self._locust_stats is not None and self._locust_stats.alone()

    def end_load(self) -> None:
        """Users are about to be stopped."""
        self.tally.end_load(time.perf_counter_ns())

    def end(self) -> dict[str, Any]:
        """All users have stopped: the last report."""
        self._vitals.stop()
        if self._locust_stats is not None:
            self._locust_stats.stop()
        self._ended = True
        # a worker would otherwise wait as long again before it is ready for another run
        on_worker = isinstance(self._environment.runner, WorkerRunner)
        self._environment.stop_timeout = 0.0 if on_worker else self._stop_timeout
        return self.report(final=True)

    def view(self) -> View:
        """How this process's own part stands, or ended; without a timeline."""
        self._tell()
        aggregate = Aggregate()
        aggregate.accept(replace(self.tally.look(time.perf_counter_ns()), seconds={}))
        return aggregate.view(timeline=False)

    def report(self, *, final: bool = False) -> dict[str, Any]:
        """What has changed, or, at the end, all: ready for Locust's messages."""
        self._tell()
        snapshot = self.tally.snapshot(time.perf_counter_ns(), final=final, changes_only=not final)
        return {"run": self.run_id, "snapshot": snapshot.to_wire()}

    def _tell(self) -> None:
        """Give the tally what is counted elsewhere."""
        self.tally.checked = sum(scenario.checked for scenario in self._scenarios)
        self.tally.peers = dict(self._peers() - self._peers_before)

    def _peers(self) -> Counter[str]:
        return sum((Counter(transport.peers) for transport in self._transports), Counter())

    def add_to(self, runner: Runner | None, data: dict[str, Any]) -> None:
        """Put a live report into one of Locust's."""
        if not self._ended and isinstance(runner, WorkerRunner):
            data[REPORT] = self.report()

    def record_foreign(
        self,
        request_type: str,
        name: str,
        response_time: float | None,
        response_length: int | None = None,
        exception: BaseException | None = None,
        **_: Any,
    ) -> None:
        """Count a request of a plain Locust user, which tells only how long it took, in milliseconds."""
        end_ns = time.perf_counter_ns()
        sent_ns = end_ns - int((response_time or 0.0) * 1e6)
        key = Key(name, request_type.lower(), "", "", Outcome.OK if exception is None else Outcome.UNKNOWN)
        self.tally.started += 1
        self.tally.record(Sample(key, sent_ns, sent_ns, end_ns, 0, 0, response_length or 0))
