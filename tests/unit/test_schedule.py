"""When requests are due: one schedule, however it is divided, asked for, and changed."""

from __future__ import annotations

import re
from bisect import bisect_left
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfs_locust.load.arrival import Arrival, ArrivalError, closed, constant, poisson, trace
from tfs_locust.load.points import PARTS, Constant, Points, Poisson
from tfs_locust.load.schedule import ALL, Division, Schedule, Stripe
from tfs_locust.load.trace import TraceError

S = 10**9
END = 3 * S
WORKERS = range(4)

Pairs = list[tuple[int, int]]
Sharing = dict[int, list[int]]
"""From when on, the workers that share, in the order of their index."""

_OWN_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example overwrites it
_TIMES = st.integers(0, END) | st.integers(0, 30).map(lambda tenth: tenth * S // 10)
_RATES = st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.0, 33.333333, 250.0]) | st.floats(0, 300)
_SCHEDULES = st.builds(
    Schedule,
    st.builds(constant) | st.builds(poisson) | st.builds(constant, st.floats(0.1, 300)),
    st.integers(0, 9),
    st.dictionaries(_TIMES, _RATES, max_size=6).map(lambda changes: tuple(sorted(changes.items()))),
)
_SHARINGS = st.dictionaries(
    _TIMES,
    st.tuples(st.permutations(WORKERS), st.integers(0, len(WORKERS))).map(lambda drawn: drawn[0][: drawn[1]]),
    min_size=1,
    max_size=6,
)
_STEPS = st.lists(_TIMES, max_size=8).map(lambda steps: [*sorted(steps), END])


def _by_fractions(schedule: Schedule) -> Pairs:
    """Due times before END, one at a time, by exact fractions."""
    clock = [(0, schedule.arrival.rate or 0.0), *schedule.changes, (END, 0.0)]
    rates = [Fraction(f"{rate:.6f}") for _, rate in clock]
    points: Points = Constant() if schedule.arrival.kind == "constant" else Poisson(schedule.seed)
    base, offsets = points.next(2000) or (0, np.empty(0, np.int64))
    found: Pairs = []
    for k, offset in enumerate(offsets.tolist()):
        left = Fraction(base + offset, PARTS)
        for (at, _), (end, _), rate in zip(clock, clock[1:], rates, strict=False):
            if left < rate * (end - at) / S:
                found.append((k, int(at + left * S / rate)))
                break
            left -= rate * (end - at) / S
        else:
            return found
    raise AssertionError("more arrivals than points")


def _taken(stripe: Stripe, steps: list[int]) -> Pairs:
    found: Pairs = []
    for until in steps:
        due = stripe.take(until)
        found += zip(due.k.tolist(), due.due_ns.tolist(), strict=True)
    return found


def _divisions(worker: int, sharing: Sharing) -> list[Division]:
    return [
        Division(at, among.index(worker), len(among)) if worker in among else Division(at)
        for at, among in sorted(sharing.items())
    ]


def _owner(k: int, due_ns: int, sharing: Sharing) -> int | None:
    among = sharing.get(max((at for at in sharing if at <= due_ns), default=-1))
    return among[k % len(among)] if among else None


@given(_SCHEDULES, _STEPS)
def test_due_times_are_exact(schedule: Schedule, steps: list[int]) -> None:
    """Whatever the rates and the steps of asking: what fractions give, rounded down; and so is every count."""
    whole = _by_fractions(schedule)
    assert _taken(schedule.stripe(ALL), steps) == whole
    counting = schedule.stripe(ALL)
    counted = 0
    for until in steps:
        counted += counting.skip(until)
        assert counted == schedule.count(until) == bisect_left([due for _, due in whole], until)


@given(_SCHEDULES, _SHARINGS, st.lists(_STEPS, min_size=4, max_size=4))
def test_the_union_of_stripes_is_the_schedule(schedule: Schedule, sharing: Sharing, steps: list[list[int]]) -> None:
    """However many workers, however often they are divided anew: each arrival is its owner's, and nobody else's."""
    whole = _taken(schedule.stripe(ALL), [END])
    stripes = [_taken(schedule.stripe(*_divisions(worker, sharing)), steps[worker]) for worker in WORKERS]
    owned = [(k, due) for k, due in whole if _owner(k, due, sharing) is not None]
    assert sorted(pair for stripe in stripes for pair in stripe) == owned
    for worker, stripe in enumerate(stripes):
        assert stripe == [(k, due) for k, due in whole if _owner(k, due, sharing) == worker]


@given(_SCHEDULES, _SHARINGS)
def test_told_while_it_runs(schedule: Schedule, sharing: Sharing) -> None:
    """Rates and divisions that are given at the last moment are as good as those known from the start."""
    known = schedule.stripe(*_divisions(0, sharing))
    live = Schedule(schedule.arrival, schedule.seed).stripe()
    news: list[tuple[int, float | Division]] = [*schedule.changes]
    news += [(division.from_ns, division) for division in _divisions(0, sharing)]
    found: Pairs = []
    for at, new in sorted(news, key=lambda one: one[0]):
        found += _taken(live, [at])
        assert live.taken_ns == at
        if isinstance(new, Division):
            live.divide(new)
        else:
            live.change_rate(at, new)
    assert found + _taken(live, [END]) == _taken(known, [END])


@given(_SCHEDULES, st.integers(1, 5), _TIMES, _TIMES, st.data())
def test_a_worker_that_dies(schedule: Schedule, n: int, one: int, other: int, data: st.DataObject) -> None:
    """What is lost is what its stripe held from its death until the others share its part: nothing else."""
    died, divided = sorted((one, other))
    dead = data.draw(st.integers(0, n - 1))
    alive = [worker for worker in range(n) if worker != dead]
    sent = _taken(schedule.stripe(Division(0, dead, n)), [died])
    for index, worker in enumerate(alive):
        sent += _taken(schedule.stripe(Division(0, worker, n), Division(divided, index, len(alive))), [END])
    stripe = schedule.stripe(Division(0, dead, n))
    stripe.skip(died)
    gap = _taken(stripe, [divided if alive else END])
    assert sorted(sent + gap) == _taken(schedule.stripe(ALL), [END])
    assert all(k % n == dead and died <= due for k, due in gap)


@given(_SCHEDULES, _TIMES, _RATES)
def test_a_change_of_rate_changes_nothing_before(schedule: Schedule, at: int, rate: float) -> None:
    """Neither times nor numbers."""
    before = tuple(change for change in schedule.changes if change[0] < at)
    changed = Schedule(schedule.arrival, schedule.seed, (*before, (at, rate)))
    assert _taken(changed.stripe(ALL), [at]) == _taken(schedule.stripe(ALL), [at])


@given(_SCHEDULES, _TIMES)
def test_the_end(schedule: Schedule, end: int) -> None:
    """Nothing is due from there on, and all that is due before is as it was."""
    ended = Schedule(schedule.arrival, schedule.seed, schedule.changes, end)
    assert _taken(ended.stripe(ALL), [END]) == _taken(schedule.stripe(ALL), [end])
    assert ended.count(END) == schedule.count(end)


@pytest.mark.parametrize("rate", [1, 3, 7, 0.1, 999.999999, 10_000, 123_456.789])
def test_a_constant_rate_does_not_drift(rate: float) -> None:
    """The k-th is due at k / rate, to the nanosecond, a hundred thousand and a million later as well."""
    parts = round(rate * 10**6)
    stripe = Schedule(constant(rate)).stripe(ALL)
    for k in (0, 1, 2, 10**5, 10**5 + 1, 10**6):
        stripe.skip(k * 10**15 // parts)
        due = stripe.take(k * 10**15 // parts + 1)
        assert (due.k.tolist(), due.due_ns.tolist()) == ([k], [k * 10**15 // parts])


def test_nor_after_a_thousand_million() -> None:
    """One every 3 ns and a bit, all of them counted one by one in blocks, and those after them."""
    rate = 300_000_000.000007
    until = 10**9 * 10**15 // 300_000_000_000_007
    stripe = Schedule(constant(rate)).stripe(ALL)
    assert stripe.skip(until) == 10**9
    due = stripe.take(until + 20)
    assert due.k.tolist() == list(range(10**9, 10**9 + len(due.k)))
    assert due.due_ns.tolist() == [k * 10**15 // 300_000_000_000_007 for k in due.k.tolist()]


def test_the_seed_decides() -> None:
    """These very times, on every machine; and others for another seed."""
    schedule = Schedule(poisson(rate=1000), seed=(0, "resnet"))
    assert schedule.stripe(ALL).take(4_000_000).due_ns.tolist() == [
        44786,
        66019,
        545970,
        599061,
        918043,
        973526,
        984390,
        2015819,
        3693931,
        3774938,
    ]
    other = Schedule(poisson(rate=1000), seed=(1, "resnet"))
    assert not set(other.stripe(ALL).take(S).due_ns.tolist()) & set(schedule.stripe(ALL).take(S // 100).due_ns.tolist())


@pytest.mark.parametrize("seed", range(5))
def test_poisson_counts_vary_as_they_should(seed: int) -> None:
    """Of 2000 seconds at 50/s the variance is the mean, within four standard errors of it (each 3.2 %)."""
    stripe = Schedule(poisson(rate=50), seed).stripe(ALL)
    counts = np.array([stripe.skip(second * S) for second in range(1, 2001)])
    assert counts.mean() == pytest.approx(50, rel=4 * (1 / (50 * 2000)) ** 0.5)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=4 * (2 / 2000) ** 0.5)


def test_a_stripe_of_a_poisson_process_at_high_rate() -> None:
    """Ten thousand a second, over three workers and many blocks: all there, in order, none twice."""
    schedule = Schedule(poisson(rate=10_000), 5)
    shares = [schedule.stripe(Division(0, index, 3)).take(5 * S) for index in range(3)]
    whole = schedule.stripe(ALL).take(5 * S)
    assert 49_000 < len(whole.k) < 51_000
    numbers = np.concatenate([share.k for share in shares])
    order = np.argsort(numbers)
    assert np.array_equal(numbers[order], np.arange(len(whole.k)))
    assert np.array_equal(np.concatenate([share.due_ns for share in shares])[order], whole.due_ns)
    assert np.all(np.diff(whole.due_ns) >= 0)
    assert (whole.k.dtype, whole.due_ns.dtype) == (np.int64, np.int64)


@given(st.lists(st.integers(0, END - 1), min_size=1, max_size=60), _SHARINGS, st.lists(_STEPS, min_size=4, max_size=4))
@_OWN_FILE
def test_a_trace_is_replayed(tmp_path: Path, times: list[int], sharing: Sharing, steps: list[list[int]]) -> None:
    """Every line is due when it says, also several at once, at the one worker whose it is; and nothing after them."""
    times.sort()
    (tmp_path / "due").write_text("".join(f"{ns / S:.9f}\n" for ns in times))
    schedule = Schedule(trace(tmp_path / "due"))
    whole = list(enumerate(times))
    assert _taken(schedule.stripe(ALL), [END, 100 * END]) == whole
    assert schedule.count(10**18) == len(times)
    for worker in WORKERS:
        stripe = schedule.stripe(*_divisions(worker, sharing))
        assert _taken(stripe, steps[worker]) == [pair for pair in whole if _owner(*pair, sharing) == worker]


def test_a_long_trace(tmp_path: Path) -> None:
    """More than is read at a time."""
    times = np.sort(np.random.default_rng(0).integers(0, 60 * S, 30_000))
    np.savetxt(tmp_path / "due", times / S, fmt="%.9f")
    schedule = Schedule(trace(tmp_path / "due"), end_ns=50 * S)
    due = schedule.stripe(ALL).take(60 * S)
    assert np.array_equal(due.due_ns, times[times < 50 * S])
    assert schedule.count(30 * S) == int((times < 30 * S).sum())


def test_a_trace_that_is_gone(tmp_path: Path) -> None:
    """Is told when it is read."""
    (tmp_path / "due").write_text("1\n")
    schedule = Schedule(trace(tmp_path / "due"))
    (tmp_path / "due").unlink()
    with pytest.raises(TraceError, match="cannot be read"):
        schedule.stripe(ALL).take(END)


def test_a_pause() -> None:
    """At rate 0 nothing is due, and what stands at its border is due at its end."""
    schedule = Schedule(constant(2), changes=((1 * S, 0), (3 * S, 4)))
    assert _taken(schedule.stripe(ALL), [S, 2 * S, 4 * S]) == [
        (0, 0),
        (1, S // 2),
        (2, 3 * S),
        (3, 3 * S + S // 4),
        (4, 3 * S + S // 2),
        (5, 3 * S + 3 * S // 4),
    ]
    assert Schedule(constant()).count(10**18) == 0


def test_too_late() -> None:
    """What was taken cannot be changed any more, and nothing is after a time that does not work."""
    stripe = Schedule(constant(10)).stripe(ALL)
    assert len(stripe.take(S).k) == 10
    assert stripe.take(S // 2).k.tolist() == []
    with pytest.raises(ArrivalError, match=r"^999999999 ns is too late to change what is due: it stands until 1000000"):
        stripe.divide(Division(S - 1, 1, 2))
    with pytest.raises(ArrivalError, match="too late"):
        stripe.change_rate(S - 1, 5)
    stripe.divide(Division(2 * S, 1, 2))
    with pytest.raises(ArrivalError, match=r"it stands until 2000000000 ns"):
        stripe.divide(Division(2 * S - 1, 1, 2))
    stripe.divide(Division(2 * S, 0, 5))  # another one for the same time: the last holds
    stripe.change_rate(2 * S, 50)
    stripe.change_rate(2 * S, 5)
    assert stripe.take(3 * S).k.tolist() == [*range(10, 20), 20]


def test_what_cannot_be_a_schedule(tmp_path: Path) -> None:
    """All faults at once."""
    (tmp_path / "due").write_text("1\n")
    recorded: Arrival = trace(tmp_path / "due")
    with pytest.raises(ArrivalError, match=r"^a closed loop has no schedule$"):
        Schedule(closed())
    with pytest.raises(ArrivalError) as caught:
        Schedule(recorded, changes=((5, 1.0), (5, -2.0)), end_ns=-1)
    assert str(caught.value) == (
        "a trace has no rate that could change; end -1 ns: expected a time from 0 up; "
        "the rate changes at [5, 5] ns: expected ascending times from 0 up; "
        "from 5 ns, rate -2.0: expected requests per second, from 0 to 1000000000"
    )
    seeds: list[Any] = [1.0, ["a"], (1, ("a",)), None, True, np.int64(1)]
    for seed in seeds:
        with pytest.raises(
            ArrivalError, match=rf"^seed {re.escape(repr(seed))}: expected a whole number, a text, or a"
        ):
            Schedule(poisson(1), seed)
    with pytest.raises(ArrivalError, match="a trace has no rate that could change"):
        Schedule(recorded).stripe().change_rate(5, 1)
    with pytest.raises(ArrivalError, match=r"^rate inf: expected"):
        Schedule(constant(1)).stripe().change_rate(5, float("inf"))
    with pytest.raises(ArrivalError, match=r"^-5 ns: expected a time from 0 up$"):
        Schedule(constant(1)).stripe().change_rate(-5, 1)
    for wrong in ((-1, 0, 1), (0, 1, 1), (0, -1, 2), (0, 1, 0), (0, 0, -1)):
        with pytest.raises(ArrivalError, match=r"^Division\(.*\): expected a time from 0 up, and an index below"):
            Division(*wrong)
