"""Rates of the last seconds, from looks at a run that grows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.measured import MS, SECOND, sample
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.report.live import Live
from tfs_locust.report.recent import OVER_S, Recent

GRPC, REST = ("A", "grpc", "resnet", "1"), ("B", "rest", "resnet", "1")


class Growing:
    """A run that sends so many requests a second, and is looked at."""

    def __init__(self, run_id: str = "one", *, warmup_s: int = 0) -> None:
        self.run_id = run_id
        self._tally = Tally("worker", 1, origin_ns=0, warmup_ns=warmup_s * SECOND)
        self.seconds = 0

    def go_on(self, *, grpc: int = 0, rest: int = 0, failing: int = 0, due: int = 0) -> None:
        """One second more."""
        self._tally.offered += due
        for number, count, outcome in ((0, grpc, Outcome.OK), (1, rest, Outcome.OK), (0, failing, Outcome.UNAVAILABLE)):
            scenario, protocol, model, version = (GRPC, REST)[number]
            for _ in range(count):
                self._tally.started += 1
                self._tally.record(
                    sample(
                        5 * MS,
                        due_ns=self.seconds * SECOND,
                        scenario=scenario,
                        protocol=protocol,
                        model=model,
                        version=version,
                        outcome=outcome,
                    )
                )
        self.seconds += 1

    def look(self) -> Live:
        aggregate = Aggregate()
        aggregate.accept(self._tally.look(self.seconds * SECOND))
        return Live(self.run_id, aggregate.view(), users={}, target_users=1, started_s=0.0)


def test_rates_are_those_of_the_last_seconds() -> None:
    """Looked at every second, a run that triples its rate shows the new one when the old is 5 s ago; failures never
    count."""
    run, recent = Growing(), Recent()
    for _ in range(10):
        run.go_on(grpc=10, rest=2, failing=5, due=20)
        rates = recent.rates(run.look(), 100.0 + run.seconds)
    assert (rates.offered, rates.achieved) == (20, 12)
    assert rates.by_target == {GRPC: 10, REST: 2}
    for _ in range(int(OVER_S)):
        run.go_on(grpc=30)
        rates = recent.rates(run.look(), 100.0 + run.seconds)
    assert (rates.offered, rates.achieved) == (0, 30)
    assert rates.by_target == {GRPC: 30, REST: 0}


@pytest.mark.parametrize("warmup_s", [0, 1])
def test_the_first_look_reaches_back_to_the_beginning(warmup_s: int) -> None:
    """All that came by the time since the run began, the warm-up's too."""
    run = Growing(warmup_s=warmup_s)
    run.go_on(grpc=10)
    run.go_on(grpc=30)
    assert Recent().rates(run.look(), 50.0).achieved == pytest.approx(20)


def test_while_it_warms_up_a_first_look_knows_no_rate() -> None:
    """How long it has sent is not in the view; a second look knows."""
    run, recent = Growing(warmup_s=60), Recent()
    run.go_on(grpc=10)
    assert recent.rates(run.look(), 50.0).achieved is None
    run.go_on(grpc=30)
    assert recent.rates(run.look(), 51.0).achieved == 30


def test_nothing_is_carried_into_the_next_run() -> None:
    """Another run's counts begin at zero, and no rate is below it."""
    run, recent = Growing(), Recent()
    run.go_on(grpc=1000)
    recent.rates(run.look(), 1.0)
    following = Growing("two")
    following.go_on(grpc=7)
    assert recent.rates(following.look(), 2.0).achieved == 7


def test_a_run_that_ended_has_no_rate_now() -> None:
    """There is no now."""
    run, recent = Growing(), Recent()
    run.go_on(grpc=10)
    live = replace(run.look(), ended_s=2.0)
    assert recent.rates(live, 1.0).achieved is None
    assert recent.rates(live, 1.0).by_target == {}
