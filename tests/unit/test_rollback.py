"""A canary that is surely worse is given up, for reasons that are told; one that is not is kept, though often asked."""

from __future__ import annotations

import random

import pytest

from tests.unit.measured import MS, sample
from tests.unit.planted import view_of
from tfs_locust.judge.canary import Pair
from tfs_locust.judge.lifecycle import Lifecycle, look
from tfs_locust.judge.moments import ROLLBACK, Mark
from tfs_locust.judge.rollback import why_give_up
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.verdict import State, judge
from tfs_locust.load.traffic import parse_traffic
from tfs_locust.load.turns import turns
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View

PAIR = Pair("resnet", "1", "2")


def asked_each_second(
    seed: int, objectives: tuple[str, ...] = (), *, slower: float = 1.0, failing: float = 0.0, seconds: int = 60
) -> tuple[int | None, tuple[str, ...], View]:
    """In which second the canary, a tenth of 200 requests a second, is given up, and why; None: never."""
    dice, tally = random.Random(seed), Tally("w", 1, origin_ns=0)
    wanted, sequence = parse_objectives(objectives), turns(parse_traffic("1:0.9,2:0.1").weights)
    view = view_of([tally])
    for second in range(1, seconds + 1):
        for _ in range(200):
            is_canary = next(sequence) == 1
            service_ns = int(8 * MS * dice.lognormvariate(0, 0.6) * (slower if is_canary else 1.0))
            outcome = Outcome.UNAVAILABLE if is_canary and dice.random() < failing else Outcome.OK
            version = "2" if is_canary else "1"
            tally.started += 1
            tally.record(sample(service_ns, due_ns=second * 1000 * MS, version=version, outcome=outcome))
        view = view_of([tally], (second + 1) * 1000 * MS)
        if reasons := why_give_up(view, PAIR, wanted, confidence=0.95, times_asked=second):
            return second, reasons, view
    return None, (), view


@pytest.mark.parametrize("seed", range(10))
def test_a_canary_that_is_slower_than_its_objective_allows(seed: int) -> None:
    """Twice as slow is given up within seconds; the same speed never is, though it is asked each second."""
    objectives = ("canary: p50_ratio<1.2",)
    second, reasons, _ = asked_each_second(seed, objectives, slower=2.0)
    assert second is not None
    assert all("version 2 by version 1 of resnet" in reason for reason in reasons)
    assert asked_each_second(seed, objectives, seconds=8)[:2] == (None, ())


@pytest.mark.parametrize("seed", range(10))
def test_a_canary_that_fails_more(seed: int) -> None:
    """Needs no objective; slower alone is no reason where nobody has said how slow it may be."""
    second, reasons, _ = asked_each_second(seed, slower=2.0, failing=0.2)
    assert second is not None
    assert len(reasons) == 1
    assert reasons[0].endswith("of its requests fail, 0 % of the baseline's")
    assert asked_each_second(seed, slower=2.0, seconds=10)[0] is None


def test_only_its_own_objectives_speak_against_a_canary() -> None:
    """One for all requests, or for the baseline, does not."""
    own, others = ("version=2: p50<12ms",), ("p50<1ms", "version=1: p50<1ms", "model=other, version=2: p50<1ms")
    assert asked_each_second(1, others, slower=2.0, seconds=10)[0] is None
    second, reasons, _ = asked_each_second(1, own, slower=2.0)
    assert second is not None
    assert reasons[0].startswith("version=2: p50<12ms, measured ")


def test_the_run_of_a_canary_that_was_given_up_fails() -> None:
    """Though no objective is broken in the end; judged again from its marks it still does."""
    _, reasons, view = asked_each_second(1, failing=0.2)
    marks = [Mark(5, ROLLBACK, f"version 2 of resnet is given up for 1: {reasons[0]}", "resnet", "1")]
    verdict = judge(view, (), lifecycle=look(view, marks=marks, pairs=[PAIR]))
    assert verdict.state is State.FAIL
    assert verdict.reasons == (f"canary-given-up: {marks[0].text}",)
    assert judge(view, (), lifecycle=look(view, pairs=[PAIR])).state is State.PASS


def test_versions_that_the_client_chooses_are_not_switched() -> None:
    """A version that falls silent because its share went to another tells of no switch."""
    tally = Tally("w", 1, origin_ns=0)
    for number in range(2000):
        version = "1" if number < 1000 and number % 10 else "2"
        tally.record(sample(5 * MS, due_ns=number * 10 * MS, version=version))
    view = view_of([tally])

    def switches(found: Lifecycle) -> list[str]:
        return [one.to_version for one in found.switches]

    assert switches(look(view)) in ([], ["2"])
    assert switches(look(view, steered={"resnet"})) == []
