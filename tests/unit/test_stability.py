"""Objectives on versions, outages and availability: kept, broken or open, and nothing to judge is never a pass."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.unit.measured import MS, SECOND, sample, told
from tests.unit.planted import Served, record, usual, view_of
from tfs_locust.judge.binomial import Decision
from tfs_locust.judge.decide import Judged
from tfs_locust.judge.lifecycle import Lifecycle, look
from tfs_locust.judge.moments import SWITCH, Mark
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.switch import Switch
from tfs_locust.judge.verdict import Limits, State, describe, hopeless, judge, judge_all
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally
from tfs_locust.measure.view import View

EVERY = (
    "availability>=99.9%",
    "availability_by_second>=99%",
    "switch_time<10s",
    "switch_success>=99.5%",
    "recovery_time<30s",
    "model_load_time<30s",
    "canary: p99_ratio<1.1",
    "canary: mean_ratio<1.1",
)


def planted(*, down_s: tuple[float, float] = (0, 0), switch_s: float = 100, seconds: int = 20) -> View:
    """A run with an outage and a switch to version 2."""

    def behave(at_ns: int, dice: random.Random) -> Served:
        now_s = at_ns / SECOND
        if down_s[0] <= now_s < down_s[1]:
            return Served(outcome=Outcome.UNREACHABLE, response_ms=1.0)
        return Served("2" if now_s >= switch_s else "1", usual(dice))

    return view_of(record(behave, seconds=seconds))


def one(expression: str, view: View, lifecycle: Lifecycle | None = None) -> Judged:
    """What becomes of it."""
    (judged,) = judge_all(view, parse_objectives([expression]), 0.95, None, lifecycle or look(view))
    return judged


@pytest.mark.parametrize("expression", EVERY)
def test_nothing_to_judge_is_no_pass(expression: str) -> None:
    """Not without a request, not where nobody looked, and not in a run without a switch, an outage or a canary."""
    empty = Aggregate().view()
    assert one(expression, empty).state is Decision.UNDECIDED
    assert judge(empty, parse_objectives([expression]), lifecycle=look(empty)).state is State.INVALID
    quiet = planted(seconds=5)
    (unseen,) = judge_all(quiet, parse_objectives([expression]))
    if expression.startswith("availability"):
        assert one(expression, quiet).state is not Decision.FAIL
        assert unseen.state is not Decision.FAIL
    else:
        assert (unseen.state, unseen.note) == (Decision.UNDECIDED, "versions and outages were not looked at")
        judged = one(expression, quiet)
        assert (judged.state, judged.measured) == (Decision.UNDECIDED, None)
        assert judged.note.startswith(("no switch", "no outage", "no two versions"))


@pytest.mark.parametrize(
    ("expression", "state"),
    [
        ("availability>=90%", Decision.PASS),
        ("availability>=99%", Decision.FAIL),
        ("availability>=95.2%", Decision.UNDECIDED),
        ("model=resnet: availability>=90%", Decision.PASS),
        ("model=other: availability>=90%", Decision.UNDECIDED),
        ("availability_by_second>=90%", Decision.PASS),
        ("availability_by_second>=99%", Decision.FAIL),
    ],
)
def test_availability(expression: str, state: Decision) -> None:
    """An outage of one second in twenty: 95 % of the requests and of the seconds; near to it, it stays open."""
    assert one(expression, planted(down_s=(10, 11))).state is state


def test_availability_counts_what_nobody_came_to() -> None:
    """A schedule of twice as many requests as were sent: half were served."""
    tally = Tally("w", 1, origin_ns=0)
    for number in range(1000):
        tally.record(sample(MS, due_ns=number * MS))
    tally.offered = 1000
    aggregate = Aggregate()
    aggregate.accept(told(tally, SECOND, final=True))
    aggregate.scheduled = 2000
    judged = one("availability>=99.9%", aggregate.view())
    assert (judged.state, judged.measured) == (Decision.FAIL, 0.5)
    assert judged.evidence is not None
    assert (judged.evidence.requests, judged.evidence.beyond) == (2000, 1000)


@pytest.mark.parametrize(
    ("expression", "state"),
    [
        ("recovery_time<3s", Decision.PASS),
        ("recovery_time<=1s", Decision.FAIL),
    ],
)
def test_recovery(expression: str, state: Decision) -> None:
    """From the start of the outage, two seconds long, until the server is itself again, to a step."""
    judged = one(expression, planted(down_s=(10, 11.5)))
    assert judged.state is state
    assert judged.measured == pytest.approx(2, abs=0.6)


@pytest.mark.parametrize(("bound_s", "state"), [(4, Decision.FAIL), (6, Decision.UNDECIDED)])
def test_an_outage_until_the_end(bound_s: int, state: Decision) -> None:
    """Broken if it lasted for as long as is allowed, else open: the run was too short."""
    assert one(f"recovery_time<{bound_s}s", planted(down_s=(15, 99))).state is state


def switched(**more: object) -> tuple[View, Lifecycle]:
    """A switch three seconds after its mark, and what became of it instead."""
    view = planted(switch_s=10)
    found = look(view, marks=[Mark(7 * SECOND, SWITCH, "", "resnet", "2")])
    (switch,) = found.switches
    return view, replace(found, switches=(replace(switch, **more),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "state"),
    [
        ("switch_time<10s", Decision.PASS),
        ("switch_time<2s", Decision.FAIL),
        ("switch_success>=99.5%", Decision.PASS),
        ("model=resnet: switch_time<10s", Decision.PASS),
        ("model=other: switch_time<10s", Decision.UNDECIDED),
        ("version=3: switch_success>=50%", Decision.UNDECIDED),
        ("model_load_time<30s", Decision.UNDECIDED),
    ],
)
def test_a_switch(expression: str, state: Decision) -> None:
    """Until the new version alone answers; how long it loaded nobody asked."""
    view, found = switched()
    assert one(expression, view, found).state is state


def test_a_switch_that_failed_breaks_its_time() -> None:
    """It has none, which is beyond every bound; one the run was too short for leaves it open."""
    view, found = switched(success=False, why="version 2 was not loaded: no such op")
    for expression in ("switch_time<10s", "switch_success>=50%"):
        judged = one(expression, view, found)
        assert judged.state is Decision.FAIL
        assert "no such op" in judged.note
    view, found = switched(success=None, why="the run ended")
    for expression in ("switch_time<10s", "switch_success>=50%"):
        assert one(expression, view, found).state is Decision.UNDECIDED


def test_a_switch_that_nobody_triggered_took_nobody_knows_how_long() -> None:
    """Found by answers alone its time is open, and broken if the two versions answered side by side for too long."""
    view = planted(switch_s=10)
    (switch,) = look(view).switches
    judged = one("switch_time<10s", view)
    assert judged.state is Decision.UNDECIDED
    assert "nobody told when it was triggered" in judged.note
    assert one("switch_success>=99.5%", view).state is Decision.PASS
    long = replace(look(view), switches=(replace(switch, last_old_answer_s=11.0),))
    assert one("switch_time<10s", view, long).state is Decision.FAIL


def test_how_much_ten_switches_prove() -> None:
    """All came off: kept, and the note says that they prove 74 %; one of them failed: 90 %."""
    view, found = switched()
    ten = found.switches * 10
    judged = one("switch_success>=99.5%", view, replace(found, switches=ten))
    assert (judged.state, judged.measured) == (Decision.PASS, 1)
    assert judged.note.startswith("10 of 10 switches came off, which proves 74.1 % at 95 % confidence")
    worse: tuple[Switch, ...] = (*ten[:9], replace(ten[0], success=False, why="broken"))
    judged = one("switch_success>=99.5%", view, replace(found, switches=worse))
    assert (judged.state, judged.measured) == (Decision.FAIL, 0.9)


def canary(slower: float, requests: int = 20_000) -> View:
    """Two versions side by side."""
    dice, tally = random.Random(3), Tally("w", 1, origin_ns=0)
    for number in range(requests):
        version = dice.choice("12")
        service_ms = usual(dice) * (slower if version == "2" else 1.0)
        tally.record(sample(int(service_ms * MS), due_ns=number * MS // 2, version=version))
    return view_of([tally])


@pytest.mark.parametrize(
    ("slower", "expression", "state"),
    [
        (1.0, "canary: mean_ratio<1.1", Decision.PASS),
        (1.0, "canary: p50_ratio<1.1", Decision.PASS),
        (1.0, "canary: p99_ratio<1.1", Decision.PASS),
        (1.2, "canary: p99_ratio<1.1", Decision.FAIL),
        (1.2, "canary, version=2: mean_ratio<1.1", Decision.FAIL),
        (1.2, "canary, version=1: mean_ratio<1.1", Decision.UNDECIDED),
        (1.1, "canary: p99_ratio<1.1", Decision.UNDECIDED),
    ],
)
def test_a_canary(slower: float, expression: str, state: Decision) -> None:
    """Kept if even the upper bound is within, broken if even the lower one is not, else open."""
    view = canary(slower)
    judged = one(expression, view)
    assert judged.state is state
    if judged.measured is not None:
        assert judged.measured == pytest.approx(slower, rel=0.06)
        assert "at 95 % confidence" in judged.note


def test_it_is_told_with_its_unit() -> None:
    """Shares in percent, times in seconds, ratios plain; and the verdict names what was broken."""
    view, found = switched()
    view = planted(down_s=(10, 11))
    texts = [describe(one(expression, view, found)) for expression in ("availability>=99%", "switch_time<2s")]
    assert texts[0].startswith("availability>=99%, measured 9")
    assert "%" in texts[0][25:]
    assert texts[1].startswith("switch_time<2s, measured 3")
    assert texts[1].endswith(" s")
    verdict = judge(view, parse_objectives(["switch_time<2s"]), lifecycle=found, limits=Limits())
    assert verdict.state is State.FAIL
    assert verdict.reasons[0].startswith("objective-failed: switch_time<2s")


def test_a_run_goes_on_whatever_becomes_of_them() -> None:
    """None of these ends a run early: they may still come right, or are asked for again."""
    assert hopeless(planted(down_s=(3, 5)), parse_objectives(EVERY)) == ()
