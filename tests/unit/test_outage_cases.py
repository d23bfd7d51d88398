"""Outages in situations that are easily missed, or taken for one: many models, rare requests, bad phases, long runs."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.unit.measured import MS, SECOND, sample, told
from tests.unit.planted import usual, view_of
from tfs_locust.judge.availability import Availability
from tfs_locust.judge.lifecycle import look
from tfs_locust.judge.outages import Outage, find_outages
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.numbers import near_one
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.spell import Spell
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.timeline import Second

Request = tuple[str, str, bool]
"""User class, model, and whether it fails."""


def found(
    request: Callable[[float, random.Random], Request], *, per_second: float = 100, seconds: int = 60, seed: int = 1
) -> tuple[Outage, ...]:
    """What two workers saw of requests at random times."""
    dice, tallies, at_s = random.Random(seed), [Tally(name, 1, origin_ns=0) for name in "ab"], 0.0
    while (at_s := at_s + dice.expovariate(per_second)) < seconds:
        scenario, model, fails = request(at_s, dice)
        outcome = Outcome.UNAVAILABLE if fails else Outcome.OK
        tally = dice.choice(tallies)
        tally.record(sample(MS, due_ns=int(at_s * SECOND), scenario=scenario, model=model, outcome=outcome))
    for tally in tallies:
        tally.end_load(seconds * SECOND)
    return look(view_of(tallies, (seconds + 1) * SECOND)).outages


def test_an_outage_under_fifty_models_has_its_edges() -> None:
    """Of no model fail more than a few, some of them are asked for a second later, and yet all are down for 0.5 s:
    twice, a second apart."""

    def request(at_s: float, dice: random.Random) -> Request:
        return "A", f"m{dice.randrange(50)}", 10 <= at_s < 10.5 or 11.5 <= at_s < 12 or dice.random() < 0.01

    first, second = found(request)
    for outage, at_s in (first, 10), (second, 11.5):
        assert outage.start_s == pytest.approx(at_s, abs=0.15)
        assert outage.first_success_s == pytest.approx(at_s + 0.5, abs=0.15)
        assert outage.failures == pytest.approx(50, abs=25)


def test_an_outage_of_one_of_two_models_ends_with_it() -> None:
    """What fails in a row is of that model alone, so all requests in between tell nothing of it."""

    def request(at_s: float, dice: random.Random) -> Request:
        model = dice.choice("ab")
        return "A", model, model == "a" and 10 <= at_s < 12

    (outage,) = found(request)
    assert outage.first_success_s == pytest.approx(12, abs=0.2)


@pytest.mark.parametrize("share", [0.3, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_an_overload_for_a_while_is_no_outage(share: float, seed: int) -> None:
    """Ten seconds of five minutes shed a third or half: four in a row fail there often, elsewhere never."""
    outages = found(lambda at, dice: ("A", "m", 240 <= at < 250 and dice.random() < share), seconds=300, seed=seed)
    assert outages == ()


@pytest.mark.parametrize("seed", range(3))
def test_a_canary_that_fails_often_is_no_outage(seed: int) -> None:
    """A class with a tenth of the requests, of which a third fails."""

    def request(_: float, dice: random.Random) -> Request:
        is_canary = dice.random() < 0.1
        return "Canary" if is_canary else "Stable", "m", is_canary and dice.random() < 0.3

    assert found(request, seed=seed) == ()


def test_failures_of_rare_models_do_not_crowd_out_an_outage() -> None:
    """Each of hundreds lasts for seconds, until that model is asked for again."""

    def request(at_s: float, dice: random.Random) -> Request:
        if dice.random() < 0.9:
            return "A", "much", 100 <= at_s < 100.6
        return "A", f"m{dice.randrange(40)}", dice.random() < 0.1

    (outage,) = found(request, per_second=50, seconds=300)
    assert outage.start_s == pytest.approx(100, abs=0.2)


def closed_loop(fine_s: int) -> tuple[tuple[Outage, ...], Availability]:
    """Two users of a server that is down from 93 to 98 s of 200 s, and refuses faster than it answers."""
    tally, aggregate = Tally("w", 1, origin_ns=0, fine_s=fine_s), Aggregate()
    dice, events = random.Random(1), []
    for user in range(2):
        at_s = user / 1000
        while at_s < 200:
            down = 93 <= at_s < 98
            response_s = 0.005 if down else usual(dice, 50) / 1000
            outcome = Outcome.UNAVAILABLE if down else Outcome.OK
            events.append(sample(int(response_s * SECOND), due_ns=int(at_s * SECOND), outcome=outcome))
            at_s += response_s
    heard_s = 0
    for one in sorted(events, key=lambda event: event.end_ns):
        if one.end_ns > heard_s * SECOND:
            aggregate.accept(told(tally, one.end_ns))
            heard_s += 3
        tally.record(one)
    tally.end_load(200 * SECOND)
    aggregate.accept(told(tally, 201 * SECOND, final=True))
    found = look(aggregate.view(), objectives=parse_objectives(["p99<200ms"]))
    return found.outages, found.availability


def test_an_outage_long_ago_is_what_it_was() -> None:
    """Seconds that were put together since make its recovery no later, and no second of it available."""
    (fine,), all_seconds = closed_loop(3600)
    (coarse,), availability = closed_loop(20)
    assert coarse == fine
    assert fine.recovery_s == pytest.approx(5, abs=0.1)
    assert all_seconds.available_seconds == pytest.approx(195, abs=1)
    assert availability == all_seconds


def test_outages_of_many_workers_are_one_each() -> None:
    """A thousand spells of one outage, and a thousand outages apart, with good seconds between."""
    together = [Spell(10 * SECOND, 10 * SECOND + n, 11 * SECOND, 20 * SECOND, 21 * SECOND, 100) for n in range(1000)]
    apart = [
        Spell(-1, n * SECOND, n * SECOND, n * SECOND + 500 * MS, n * SECOND + 500 * MS, 9)
        for n in range(30, 10_030, 10)
    ]
    timeline = {number: Second(count=100) for number in range(21, 10_050)}
    outages = find_outages([*together, *apart], timeline, requests=10**9, failures=109_000, end_ns=10_050 * SECOND)
    assert (len(outages), outages[0].failures, outages[-1].start_s) == (1001, 100_000, 10_020)


def test_one_failure_of_millions_is_not_all_served() -> None:
    """Digits go on until they tell it from all."""
    assert [near_one(share) for share in (1.0, 0.0, 0.999, 0.999_998_7, 1 - 1e-8)] == [
        "100 %", "0 %", "99.9 %", "99.9999 %", "99.999999 %",
    ]  # fmt: skip
