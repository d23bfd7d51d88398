"""What was planted is found: switches, outages, availability, to the step of the timeline or 5 %."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, sample, told
from tests.unit.planted import Served, record, usual, view_of
from tfs_locust.judge.lifecycle import Lifecycle, look
from tfs_locust.judge.moments import AVAILABLE, SWITCH, Mark, Poll, remember
from tfs_locust.judge.slo import parse_objectives
from tfs_locust.judge.switch import Switch
from tfs_locust.judge.switches import attempts
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally

STEP_S = 1.0
QUICK = settings(max_examples=15, deadline=None)


def polls(states: dict[str, list[tuple[float, str]]], *, every_s: float = 0.25, seconds: int = 30) -> list[Poll]:
    """What the server says every quarter of a second, of each version the state it has from each time on."""
    found = []
    for number in range(int(seconds / every_s)):
        at_s = number * every_s
        there = {
            version: [state for from_s, state in changes if from_s <= at_s][-1]
            for version, changes in states.items()
            if changes[0][0] <= at_s
        }
        found.append(Poll(int(at_s * SECOND), "resnet", there, {"9": "no such op"}))
    return found


def switched(
    at_s: float, *, mixed_s: float = 0.0, slow_first: int = 0, failing: tuple[float, float] = (0, 0)
) -> Lifecycle:
    """Of a run in which version 2 loads for three seconds, and answers from then on; then 1 goes."""
    return look(
        view_of(record(_switching(at_s, mixed_s, slow_first, failing))),
        marks=[Mark(int((at_s - 3) * SECOND), SWITCH, "copied", "resnet", "2")],
        polls=polls({"1": [(0, AVAILABLE), (at_s + mixed_s, "END")], "2": [(at_s - 3, "LOADING"), (at_s, AVAILABLE)]}),
    )


def _switching(at_s: float, mixed_s: float, slow_first: int = 0, failing: tuple[float, float] = (0, 0)):  # type: ignore[no-untyped-def]
    left = [slow_first]

    def behave(at_ns: int, dice: random.Random) -> Served:
        now_s = at_ns / SECOND
        if failing[0] <= now_s < failing[1]:
            return Served(outcome=Outcome.UNAVAILABLE)
        if now_s >= at_s + mixed_s or (now_s >= at_s and dice.random() < 0.5):
            left[0] -= 1
            return Served("2", 200.0 if left[0] >= 0 else usual(dice))
        return Served("1", usual(dice))

    return behave


def only(found: Lifecycle) -> Switch:
    """The one switch that was found."""
    (one,) = found.switches
    return one


@QUICK
@given(st.floats(8, 18), st.floats(0, 5))
def test_a_switch_is_found_with_its_times(at_s: float, mixed_s: float) -> None:
    """Three seconds from the mark to AVAILABLE and to the first answer; the last old answer after the mixed time."""
    one = only(switched(at_s, mixed_s=mixed_s))
    assert (one.model, one.from_version, one.to_version, one.found_by, one.success) == (
        "resnet", "1", "2", "mark", True,
    )  # fmt: skip
    assert one.available_s == pytest.approx(3, abs=0.26)  # a poll
    assert one.load_s == pytest.approx(3, abs=0.51)
    assert one.first_answer_s == pytest.approx(3, abs=0.2)
    assert one.last_old_answer_s == pytest.approx(3 + mixed_s, abs=0.2)
    assert one.mixed_s == pytest.approx(mixed_s, abs=0.2)
    assert one.settled_s == max(one.first_answer_s or 0, one.last_old_answer_s or 0)
    assert one.stale_s == pytest.approx(mixed_s, abs=0.46)  # a poll, and an answer's distance
    assert one.stale_answers <= 100 * (mixed_s + 0.5)
    assert one.errors == 0
    assert one.before.requests == pytest.approx(1000, rel=0.5)  # at 8 s there were five seconds before


@QUICK
@given(st.floats(8, 18), st.floats(0, 5))
def test_a_switch_that_nobody_triggered_is_found_by_answers(at_s: float, mixed_s: float) -> None:
    """The same times, but for those before the first answer, of which nobody knows."""
    one = only(look(view_of(record(_switching(at_s, mixed_s)))))
    assert (one.from_version, one.to_version, one.found_by, one.available_s) == ("1", "2", "answers", None)
    assert one.trigger_s == pytest.approx(at_s, abs=0.2)
    assert one.mixed_s == pytest.approx(mixed_s, abs=0.2)


def test_a_switch_that_nobody_triggered_is_found_by_status() -> None:
    """Polls see it load: the trigger is the first of these, and the rest follows."""
    seen = polls({"1": [(0, AVAILABLE)], "2": [(10, "START"), (10.5, "LOADING"), (13, AVAILABLE)]})
    one = only(look(view_of(record(_switching(13, 0))), polls=seen))
    assert (one.found_by, one.trigger_s, one.available_s) == ("status", 10.0, 3.0)
    assert one.first_answer_s == pytest.approx(3, abs=0.2)


def test_rest_is_known_from_status_alone() -> None:
    """Its answers carry no version: AVAILABLE is known, answers are not, and it says so."""
    seen = polls({"1": [(0, AVAILABLE), (14, "END")], "2": [(10, "LOADING"), (13, AVAILABLE)]})
    one = only(look(view_of(record(_switching(13, 0), protocol="rest")), polls=seen))
    assert (one.available_s, one.first_answer_s, one.settled_s, one.success) == (3.0, None, 3.0, True)
    assert "REST" in one.why


@pytest.mark.parametrize("at_s", [12, 12.7])
def test_errors_and_slow_first_answers_of_a_switch_are_found(at_s: float) -> None:
    """Of the first answers twenty were slow, so it was cold, also if they went on into the next second; failures while
    it lasted are its errors."""
    found = only(switched(at_s, slow_first=20, failing=(10.0, 10.2)))
    assert found.first_answers is not None
    assert (found.first_answers.slow, found.first_answers.cold) == (20, True)
    assert found.first_answers.max_s == pytest.approx(0.2)
    assert found.errors == pytest.approx(20, abs=12)
    warm = only(switched(at_s)).first_answers
    assert warm is not None
    assert not warm.cold


def test_a_version_that_is_broken_is_a_failed_switch() -> None:
    """It ends in an error, the old one serves on: the reason is the server's."""
    seen = polls({"1": [(0, AVAILABLE)], "9": [(10, "LOADING"), (14, "END")]})
    for marks in ([], [Mark(9 * SECOND, SWITCH, "", "resnet", "9")]):
        one = only(look(view_of(record(lambda _, dice: Served("1", usual(dice)))), marks=marks, polls=seen))
        assert (one.success, one.settled_s, one.available_s) == (False, None, None)
        assert one.why == "version 9 was not loaded: no such op"


@pytest.mark.parametrize(
    ("timeout_s", "success", "why"),
    [(5.0, False, "timed out: version 2 was not available 5 s after the trigger"), (None, None, "the run ended 20 s")],
)
def test_a_version_that_never_came(timeout_s: float | None, success: bool | None, why: str) -> None:
    """It timed out, or the run was too short to say."""
    marks = [Mark(10 * SECOND, SWITCH, "", "resnet", "2", timeout_s)]
    one = only(look(view_of(record(lambda _, dice: Served("1", usual(dice)))), marks=marks))
    assert one.success is success
    assert one.why.startswith(why)


def test_available_and_never_served() -> None:
    """The server says AVAILABLE, and the old version answers on."""
    seen = polls({"1": [(0, AVAILABLE)], "2": [(10, "LOADING"), (13, AVAILABLE)]})
    one = only(look(view_of(record(lambda _, dice: Served("1", usual(dice)))), polls=seen))
    assert (one.success, one.why) == (False, "version 2 was available, and never served: 1 answered")


@QUICK
@given(st.floats(3, 20), st.floats(0.1, 6), st.sampled_from([AVAILABLE, "END"]))
def test_polls_are_remembered_in_bounded_memory(at_s: float, loads_s: float, ends: str) -> None:
    """Of those that say the same the first and the last are kept, model by model; what is found is the same."""
    all_polls = polls({"1": [(0, AVAILABLE)], "2": [(at_s, "LOADING"), (at_s + loads_s, ends)]})
    kept: list[Poll] = []
    for poll in all_polls:
        remember(kept, poll)
        remember(kept, replace(poll, model="other", states={"1": AVAILABLE}))
    assert len(kept) <= 8
    others = [replace(poll, model="other", states={"1": AVAILABLE}) for poll in all_polls]
    assert attempts({}, polls=kept) == attempts({}, polls=[*all_polls, *others])


def test_marks_in_quick_succession_each_have_their_version() -> None:
    """The second version is asked for before the first has come: each is found, with its own times."""
    versions = {0: "1", 10: "2", 14: "3"}

    def behave(at_ns: int, dice: random.Random) -> Served:
        return Served([name for from_s, name in versions.items() if from_s * SECOND <= at_ns][-1], usual(dice))

    marks = [Mark(7 * SECOND, SWITCH, "", "resnet", "2"), Mark(9 * SECOND, SWITCH, "", "resnet", "3")]
    found = look(view_of(record(behave)), marks=marks).switches
    assert [(one.from_version, one.to_version, one.success) for one in found] == [("1", "2", True), ("2", "3", True)]
    assert [one.settled_s for one in found] == pytest.approx([3, 5], abs=0.2)


def test_a_label_that_is_moved_is_a_switch() -> None:
    """Two labels on two versions; the label of the first is moved to the second at 15 s, and takes a second."""

    def behave(at_ns: int, dice: random.Random) -> Served:
        stable = "1" if at_ns < 16 * SECOND else "2"
        return Served(dice.choice([stable, "2"]), usual(dice))

    found = look(view_of(record(behave)), marks=[Mark(15 * SECOND, SWITCH, "", "resnet", "2")])
    one = only(found)
    assert (one.from_version, one.to_version, one.found_by, one.success) == ("1", "2", "mark", True)
    assert (one.first_answer_s, one.first_answers) == (0, None)
    assert one.last_old_answer_s == pytest.approx(1, abs=0.2)
    assert one.settled_s == one.mixed_s == one.last_old_answer_s


def test_ten_switches_and_a_rollback_are_eleven() -> None:
    """Each from the one before, also where nobody says so, and back to a version that had served."""
    versions = [*map(str, range(1, 12)), "10"]
    found = look(view_of(record(lambda at_ns, dice: Served(versions[at_ns // (5 * SECOND)], usual(dice)), seconds=60)))
    assert [(one.from_version, one.to_version) for one in found.switches] == list(pairwise(versions))
    assert [one.trigger_s for one in found.switches] == pytest.approx([5.0 * n for n in range(1, 12)], abs=0.2)
    assert all(one.success for one in found.switches)


@pytest.mark.parametrize("share", [0.5, 0.05, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_a_canary_is_no_switch(share: float, seed: int) -> None:
    """Two versions side by side, one of them once a second: neither ends, nothing is switched, both are compared."""

    def behave(_: int, dice: random.Random) -> Served:
        return Served("2" if dice.random() < share else "1", usual(dice))

    found = look(view_of(record(behave, seed=seed)))
    assert found.switches == ()
    assert [(one.baseline, one.canary) for one in found.canaries] == [("1", "2")]


def down(from_s: float, for_s: float):  # type: ignore[no-untyped-def]
    """A server that refuses in this time, and is twenty times as slow for two seconds after."""

    def behave(at_ns: int, dice: random.Random) -> Served:
        now_s = at_ns / SECOND
        if from_s <= now_s < from_s + for_s:
            return Served(outcome=Outcome.UNREACHABLE, response_ms=1.0)
        after = from_s + for_s
        return Served(response_ms=usual(dice) * (20 if for_s and after <= now_s < after + 2 else 1))

    return behave


@QUICK
@given(st.floats(5, 15), st.floats(0.5, 6))
def test_an_outage_is_found_with_its_edges(from_s: float, for_s: float) -> None:
    """Start, detection and first success to a request's distance; recovery, two slow seconds later, to a step."""
    (outage,) = look(view_of(record(down(from_s, for_s)))).outages
    assert outage.start_s == pytest.approx(from_s, abs=0.12)
    assert outage.detected_s == pytest.approx(from_s, abs=0.12)
    assert outage.start_s <= outage.detected_s
    assert outage.first_success_s == pytest.approx(from_s + for_s + 0.1, abs=0.2)
    assert outage.recovered_s == pytest.approx(from_s + for_s + 2, abs=STEP_S + 0.2)
    assert outage.recovery_s == outage.recovered_s - outage.start_s
    assert outage.failures == pytest.approx(100 * for_s, abs=5 * (100 * for_s) ** 0.5)


@pytest.mark.parametrize("expression", ["p99<50ms", "p50<8ms"])
def test_recovered_is_back_inside_the_objectives(expression: str) -> None:
    """Where the run has time objectives, these say when the server is itself again."""
    objectives = parse_objectives([expression, "error_rate<1%"])
    (outage,) = look(view_of(record(down(10, 1))), objectives=objectives).outages
    assert outage.recovered_by == expression
    assert outage.recovered_s == pytest.approx(13, abs=STEP_S + 0.2)


def test_an_outage_of_the_warm_up_is_not_the_runs() -> None:
    """As no request of the warm-up is; one that goes on after it is."""
    for from_s, found in (2.0, 0), (4.5, 1):
        assert len(look(view_of(record(down(from_s, 1), warmup_s=5))).outages) == found


def test_an_outage_that_does_not_end() -> None:
    """There is no success, no recovery, and how long that went on."""
    (outage,) = look(view_of(record(down(20, 100)))).outages
    assert (outage.first_success_s, outage.recovered_s, outage.recovery_s) == (None, None, None)
    assert outage.watched_s == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.3, 0.5])
@pytest.mark.parametrize("per_second", [20, 200])
@pytest.mark.parametrize("seed", range(5))
def test_failures_by_chance_are_no_outage(share: float, per_second: int, seed: int) -> None:
    """A version that fails 2 % of its requests, and an overload that sheds half, are not down."""

    def behave(_: int, dice: random.Random) -> Served:
        return Served(outcome=Outcome.OK if dice.random() >= share else Outcome.UNAVAILABLE)

    assert look(view_of(record(behave, per_second=per_second, seconds=10, seed=seed))).outages == ()


def test_an_outage_is_found_among_failures_by_chance() -> None:
    """2 % failures, and ten times half a second in which all fail: ten outages, with their edges."""

    def behave(at_ns: int, dice: random.Random) -> Served:
        all_fail = at_ns % (5 * SECOND) < SECOND // 2 and at_ns > SECOND
        return Served(outcome=Outcome.UNAVAILABLE if all_fail or dice.random() < 0.02 else Outcome.OK)

    outages = look(view_of(record(behave, seconds=54))).outages
    assert [one.start_s for one in outages] == pytest.approx([5.0 * n for n in range(1, 11)], abs=0.15)
    assert [(one.first_success_s or 0) - one.start_s for one in outages] == pytest.approx([0.5] * 10, abs=0.2)


def test_an_outage_after_a_switch_is_no_other_switch() -> None:
    """Version 2 is silent for three seconds because nothing answers, and goes on: it has come once."""

    def behave(at_ns: int, _: random.Random) -> Served:
        if 20 * SECOND <= at_ns < 23 * SECOND:
            return Served(outcome=Outcome.UNAVAILABLE)
        return Served("1" if at_ns < 10 * SECOND else "2")

    found = look(view_of(record(behave, seconds=32)))
    assert [(one.from_version, one.to_version) for one in found.switches] == [("1", "2")]
    assert found.switches[0].trigger_s == pytest.approx(10.0, abs=0.15)
    assert len(found.outages) == 1


def test_a_server_that_comes_and_goes_has_one_outage() -> None:
    """Down for half of every second from 10 s to 15 s, it has recovered once it stays up for three seconds."""

    def behave(at_ns: int, _: random.Random) -> Served:
        all_fail = 10 * SECOND <= at_ns < 15 * SECOND and at_ns % SECOND < 0.6 * SECOND
        return Served(outcome=Outcome.UNAVAILABLE if all_fail else Outcome.OK)

    (outage,) = look(view_of(record(behave, seconds=32))).outages
    assert (outage.start_s, outage.first_success_s) == pytest.approx((10.0, 10.6), abs=0.15)
    assert outage.recovered_s == 15.0
    assert outage.failures > 250


@QUICK
@given(st.floats(3, 10), st.integers(0, 8))
def test_availability_is_what_was_planted(from_s: float, for_s: int) -> None:
    """By request to chance, by second to the two seconds at the edges; the warm-up is not in it."""
    found = look(view_of(record(down(from_s, for_s), seconds=20, warmup_s=2))).availability
    assert found.seconds == 18
    assert found.available_seconds == pytest.approx(18 - for_s, abs=1.01)
    assert found.by_request == pytest.approx(1 - for_s / 18, abs=0.06)
    assert (found.nines is None) == (for_s == 0)


def test_what_was_due_and_not_sent_counts_against_availability() -> None:
    """Requests that no worker came to were not served."""
    aggregate = Aggregate()
    for tally in record(down(50, 1), seconds=5):
        tally.offered = tally.started
        aggregate.accept(tally.snapshot(6 * SECOND, final=True))
    view = aggregate.view()
    sent = sum(cell.count for cell in view.cells.values())
    aggregate.scheduled = 2 * sent
    availability = look(aggregate.view()).availability
    assert (availability.due, availability.served) == (2 * sent, sent)
    assert availability.by_request == 0.5
    assert availability.nines == pytest.approx(0.30103)


def test_load_that_begins_later_than_the_run_is_measured_from_then() -> None:
    """Five seconds of preparation are no outage of the server, and an outage at the end of the load is one."""
    tally, aggregate = Tally("w", 1, origin_ns=0), Aggregate()
    tally.start_load(5 * SECOND)
    for number in range(1000):
        at_ns = 5 * SECOND + number * 10 * MS
        tally.record(sample(MS, due_ns=at_ns, outcome=Outcome.OK if number < 960 else Outcome.UNAVAILABLE))
    tally.end_load(15 * SECOND)
    aggregate.accept(told(tally, 15 * SECOND, final=True))
    found = look(aggregate.view())
    assert (found.availability.seconds, found.availability.available_seconds) == (10, 10)
    (outage,) = found.outages
    assert outage.start_s == pytest.approx(14.6, abs=0.02)


def test_nothing_measured_is_nothing_available() -> None:
    """Shares of nothing do not exist."""
    found = look(Aggregate().view())
    assert (found.availability.by_request, found.availability.by_second, found.availability.nines) == (None,) * 3
    assert (found.switches, found.outages, found.canaries) == ((), (), ())


def test_workers_may_report_in_any_order() -> None:
    """Whichever worker is merged first, the same is found."""
    tallies = record(_switching(12, 1.5, 20, (20, 21)), workers=3, seconds=25)
    found = [look(view_of(order)) for order in permutations(tallies)]
    assert all(one == found[0] for one in found)
    assert (len(found[0].switches), len(found[0].outages)) == (1, 1)


@QUICK
@given(st.integers(0, 10 * MS))
def test_one_workers_clock_that_is_late_moves_figures_by_no_more(offset_ns: int) -> None:
    """Workers begin their clocks when they hear of the start: each figure is off by that delay at most."""
    tallies = record(_switching(12, 0.5), seconds=20)
    agreed = only(look(view_of(tallies)))
    on_time, late = record(_switching(12, 0.5), seconds=20)
    for stint in late.tracks.stints().values():
        stint.first_ns -= offset_ns
        stint.last_ns -= offset_ns
    one = only(look(view_of([on_time, late])))
    assert one.mixed_s == pytest.approx(agreed.mixed_s, abs=offset_ns / SECOND + 1e-9)
    assert one.trigger_s == pytest.approx(agreed.trigger_s, abs=offset_ns / SECOND + 1e-9)
