"""Which version answered when, and when nothing ended well: to the nanosecond, bounded, and merged without order."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.measured import MS, SECOND, sample, told
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome, Sample
from tfs_locust.measure.spell import MOST_SPELLS, Spell
from tfs_locust.measure.stint import FIRST_ANSWERS, SILENCE_NS, Served, Stint, StintKey, joined, merge_stints
from tfs_locust.measure.tally import Tally, unsent
from tfs_locust.measure.tracks import FEWER_ANSWERS, MOST_CLOSELY, MOST_RETURNS, MOST_VERSIONS, OTHERS

answers = st.lists(
    st.tuples(st.sampled_from(["1", "2", "3"]), st.integers(1, 3 * SECOND), st.integers(1, 40).map(lambda n: n * MS)),
    max_size=40,
)
"""Version, time since the answer before, and response time."""


def recorded(given_answers: list[tuple[str, int, int]], worker: str = "w") -> tuple[Tally, list[Sample]]:
    """A worker that got these answers, one after the other."""
    tally, at_ns, all_samples = Tally(worker, 1, origin_ns=0), 50 * MS, []
    for version, wait_ns, response_ns in given_answers:
        at_ns += wait_ns
        one = sample(response_ns, due_ns=at_ns - response_ns, version=version)
        tally.record(one)
        all_samples.append(one)
    return tally, all_samples


@given(st.lists(answers, min_size=1, max_size=3), st.randoms())
def test_stints_of_workers_are_those_of_all_answers(several: list[list[tuple[str, int, int]]], dice: object) -> None:
    """Whichever worker got an answer and whichever reports first: first, last, count and first answers of each stint
    are those of all answers put in one row."""
    runs = [recorded(one, f"w{number}") for number, one in enumerate(several)]
    everything = sorted((one for _, all_samples in runs for one in all_samples), key=lambda one: one.end_ns)
    tables = [told(tally, final=True).stints for tally, _ in runs]
    dice.shuffle(tables)  # type: ignore[attr-defined]
    merged = merge_stints(tables)
    for version in ("1", "2", "3"):
        ends = [one for one in everything if one.key.version == version]
        stints: list[list[Sample]] = []
        for one in ends:
            if not stints or one.end_ns - stints[-1][-1].end_ns > SILENCE_NS:
                stints.append([])
            stints[-1].append(one)
        expected = [
            Stint(
                stint[0].end_ns,
                stint[-1].end_ns,
                len(stint),
                sorted((one.end_ns // 1000, one.response_time_ns // 1000) for one in stint)[:FIRST_ANSWERS],
            )
            for stint in stints
        ]
        assert list(merged.get(Served("resnet", version), ())) == expected


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9), st.randoms())
def test_joining_in_parts_is_joining_at_once(edges: list[tuple[int, int]], dice: object) -> None:
    """Stints of stints are the same: it may be done worker by worker, in any order."""
    stints = [Stint(first, first + more, 1) for first, more in edges]
    dice.shuffle(stints)  # type: ignore[attr-defined]
    half = len(stints) // 2
    assert joined([*joined(stints[:half], 1), *joined(stints[half:], 1)], 1) == joined(stints, 1)


@given(answers)
def test_the_timeline_counts_the_answers_of_each_version(given_answers: list[tuple[str, int, int]]) -> None:
    """By name, and all of them; failures have no version."""
    tally, all_samples = recorded(given_answers)
    tally.record(sample(MS, outcome=Outcome.UNAVAILABLE))
    aggregate = Aggregate()
    aggregate.accept(told(tally, final=True))
    counts: dict[str, int] = {}
    for second in aggregate.view().timeline.values():
        for name, count in second.answers.items():
            counts[name] = counts.get(name, 0) + count
    versions = [f"resnet:{one.key.version}" for one in all_samples]
    assert counts == {name: versions.count(name) for name in set(versions)}


def test_first_answers_are_those_that_ended_first() -> None:
    """Of 300 answers the first 100 are kept, also where one of them is told late."""
    tally = Tally("w", 1, origin_ns=0)
    for number in [*range(1, 300), 0]:
        tally.record(sample((number + 1) * MS))
    (stint,) = tally.tracks.stints().values()
    assert [response_us for _, response_us in stint.firsts] == [1000 * number for number in range(1, 101)]
    assert (stint.first_ns, stint.last_ns, stint.answers) == (MS, 300 * MS, 300)


def test_versions_are_bounded_and_nothing_is_lost() -> None:
    """Of very many versions the last are counted together, and a version that comes and goes has stints until too many
    have been."""
    tally, versions = Tally("w", 1, origin_ns=0), MOST_VERSIONS + 100
    for number in range(versions):
        tally.record(sample(MS, due_ns=number * MS, version=str(number)))
    for number in range(1000):
        tally.record(sample(MS, due_ns=(number + 1) * 3 * SECOND, version="0"))
    stints = tally.tracks.stints()
    assert len(stints) == MOST_VERSIONS + 1 + MOST_RETURNS
    assert stints[StintKey(OTHERS, "", 0)].answers == versions - MOST_VERSIONS
    assert sum(stint.answers for stint in stints.values()) == versions + 1000


def test_the_first_versions_are_kept_closely() -> None:
    """Of the others fewer first answers are kept, those that ended first, and the timeline has them in one place."""
    tally = Tally("w", 1, origin_ns=0)
    for lap in range(20):
        for number in range(MOST_CLOSELY + 2):
            tally.record(sample((lap + 1) * MS, due_ns=lap * MS, version=str(number)))
    stints, (second,) = tally.tracks.stints(), tally.seconds.values()
    assert len(stints[StintKey("resnet", "0", 0)].firsts) == 20
    last = stints[StintKey("resnet", str(MOST_CLOSELY + 1), 0)]
    assert (last.answers, [time for _, time in last.firsts]) == (20, [(lap + 1) * 1000 for lap in range(FEWER_ANSWERS)])
    assert (len(second.answers), second.answers["others:"]) == (MOST_CLOSELY + 1, 40)


def test_a_live_report_tells_of_stints_that_changed() -> None:
    """A version that has gone silent is not told again, and the master still knows it."""
    tally, aggregate = Tally("w", 1, origin_ns=0), Aggregate()
    tally.record(sample(MS, version="1"))
    aggregate.accept(told(tally))
    tally.record(sample(2 * MS, version="2"))
    live = told(tally)
    aggregate.accept(live)
    assert [key.version for key in live.stints] == ["2"]
    assert [served.version for served in aggregate.view().stints] == ["1", "2"]


def spells_of(ends: list[tuple[int, bool]], sent_before_ns: int = 2 * MS) -> tuple[Spell, ...]:
    """Of requests that ended at these milliseconds, well or not."""
    tally = Tally("w", 1, origin_ns=0)
    for at_ms, well in ends:
        outcome = Outcome.OK if well else Outcome.UNAVAILABLE
        tally.record(sample(sent_before_ns, due_ns=at_ms * MS - sent_before_ns, outcome=outcome))
    return told(tally, final=True).spells


def test_an_outage_of_half_a_second_has_its_edges() -> None:
    """The last good answer, the first failure with its sending, the last failure, the first good answer after."""
    ends = [(at_ms, not 1000 <= at_ms < 1500) for at_ms in range(10, 3000, 5)]
    (spell,) = spells_of(ends)
    assert spell == Spell(995 * MS, 998 * MS, 1000 * MS, 1495 * MS, 1500 * MS, 100)
    assert (spell.start_ns, spell.length_ns) == (998 * MS, 502 * MS)


def test_an_outage_without_an_answer_begins_when_answers_stop() -> None:
    """Requests that wait for their deadline fail a second late, and the outage began before."""
    tally = Tally("w", 1, origin_ns=0)
    tally.record(sample(5 * MS, due_ns=990 * MS))
    tally.record(sample(SECOND, due_ns=993 * MS, outcome=Outcome.DEADLINE_EXCEEDED))
    (spell,) = told(tally).spells
    assert (spell.start_ns, spell.first_ns, spell.after_ns) == (995 * MS, 1993 * MS, -1)


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=60))
def test_spells_are_the_runs_of_failures(steps: list[tuple[int, bool]]) -> None:
    """Each failure is in exactly one spell, and between spells something ended well."""
    ends, at_ms = [], 10
    for wait_ms, well in steps:
        at_ms += wait_ms
        ends.append((at_ms, well))
    spells = spells_of(ends)
    assert sum(spell.failures for spell in spells) == sum(not well for _, well in ends)
    good = [at * MS for at, well in ends if well]
    for spell in spells:
        assert not [at for at in good if spell.first_ns <= at < spell.last_ns]
        assert spell.after_ns == min((at for at in good if at > spell.first_ns), default=-1)


def test_the_longest_spells_are_kept() -> None:
    """A thousand single failures do not crowd out an outage."""
    ends = [(at_ms, at_ms % 10 != 0 and not 5000 <= at_ms < 5300) for at_ms in range(1, 10_000)]
    spells = spells_of(ends)
    assert len(spells) == MOST_SPELLS
    assert max(spell.failures for spell in spells) == 301


def test_what_was_never_sent_is_no_failure_of_the_server() -> None:
    """It neither begins a spell nor ends one."""
    tally = Tally("w", 1, origin_ns=0)
    tally.record(unsent(sample(MS).key, 0, SECOND, 1))
    assert told(tally).spells == ()


def test_classes_fail_apart() -> None:
    """Where REST is down and gRPC is not, good answers of the one do not end the other's spell."""
    tally = Tally("w", 1, origin_ns=0)
    for at_ms in range(10, 500, 10):
        tally.record(sample(MS, due_ns=at_ms * MS))
        tally.record(sample(MS, due_ns=at_ms * MS, scenario="Rest", protocol="rest", outcome=Outcome.UNREACHABLE))
    (spell,) = told(tally).spells
    assert spell.failures == 49


@given(answers)
def test_the_wire_keeps_stints(given_answers: list[tuple[str, int, int]]) -> None:
    """What comes off the wire is what went on it."""
    tally, _ = recorded(given_answers)
    for stint in tally.tracks.stints().values():
        assert Stint.from_wire(json.loads(json.dumps(stint.to_wire()))) == stint
