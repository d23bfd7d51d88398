"""The first answers of many models and versions, against those that follow."""

from __future__ import annotations

import random

from tests.unit.measured import MS, sample, told
from tfs_locust.judge.first_touch import first_touch
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.tally import Tally


def test_a_cold_first_answer_of_each_is_found() -> None:
    """Of 50 models with 12 versions each, by three workers: the first answer took 80 ms, of one 300, all others 4."""
    tallies = [Tally(f"w{number}", 1, origin_ns=0) for number in range(3)]
    targets = [(f"model_{model}", str(version)) for model in range(50) for version in range(1, 13)]
    due_ns, dice = 0, random.Random(1)
    for lap in range(10):
        for model, version in targets:
            due_ns += MS
            cold_ms = 300 if (model, version) == ("model_7", "3") else 80
            one = sample((cold_ms if not lap else 4) * MS, due_ns=due_ns, model=model, version=version)
            dice.choice(tallies).record(one)
    aggregate = Aggregate()
    for tally in tallies:
        aggregate.accept(told(tally, final=True))
    found = first_touch(aggregate.view().stints)
    assert found is not None
    assert (found.targets, found.slowest_model, found.slowest_version) == (600, "model_7", "3")
    assert (found.first.count, found.first.p50_s, found.first.p99_s, found.first.max_s) == (600, 0.08, 0.08, 0.3)
    assert (found.later.p50_s, found.later.p99_s, found.later.max_s) == (0.004, 0.004, 0.004)
    assert found.later.count == 600 * 9


def test_a_run_without_an_answer_has_none() -> None:
    """And one with a single answer has nothing that follows."""
    assert first_touch(Aggregate().view().stints) is None
    tally, aggregate = Tally("w", 1, origin_ns=0), Aggregate()
    tally.record(sample(5 * MS))
    aggregate.accept(told(tally, final=True))
    found = first_touch(aggregate.view().stints)
    assert found is not None
    assert (found.targets, found.first.max_s, found.later.count, found.later.p50_s) == (1, 0.005, 0, None)
