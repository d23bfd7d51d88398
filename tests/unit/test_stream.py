"""What a stream deals out is its stripe: each arrival once, when it is due, up to its end exactly."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfs_locust.load.arrival import constant, poisson, trace
from tfs_locust.load.schedule import ALL, Division, Schedule
from tfs_locust.swarm.stream import Stream

S = 10**9
_SCHEDULES = st.builds(Schedule, st.builds(constant, st.floats(1, 300)) | st.builds(poisson, st.floats(1, 300)))
_DIVISIONS = st.builds(Division, st.just(0), st.integers(0, 1), st.just(2)) | st.just(ALL)
_ZEROS = st.integers(0, 5 * S)
_AHEADS = st.sampled_from([S // 100, S // 10, S])


class Dealt:
    """A stream, and what it has dealt out and given up."""

    def __init__(self, schedule: Schedule, division: Division, zero_ns: int, ahead_ns: int = S // 10) -> None:
        self.due_ns: list[int] = []
        self.given_up_ns: list[int] = []
        self.faults: list[str] = []
        tell = self.due_ns.append, self.given_up_ns.append, self.faults.append
        self.stream = Stream(schedule.stripe(division), zero_ns, ahead_ns, *tell)

    def run(self, now_ns: int, until_ns: int, late_ns: int = 0) -> int | None:
        """Come to it when it says, or so much later, up to a time; returns when it would be come to next."""
        next_ns: int | None = now_ns
        fruitless = 0
        while next_ns is not None and next_ns + late_ns <= until_ns:
            now_ns = max(now_ns, next_ns + late_ns)
            before, asked_ns = len(self.due_ns), next_ns
            next_ns = self.stream.come(now_ns)
            assert len(self.due_ns) - before <= 1  # so that others have their turn
            assert all(due <= now_ns for due in self.due_ns[before:])
            # what is worked out at this moment may be due at this moment
            fruitful = len(self.due_ns) > before or next_ns is None or next_ns > asked_ns
            fruitless = 0 if fruitful else fruitless + 1
            assert fruitless <= 1
        return next_ns


def _due(schedule: Schedule, division: Division, zero_ns: int, before_ns: int) -> list[int]:
    return [at + zero_ns for at in schedule.stripe(division).take(before_ns - zero_ns).due_ns.tolist()]


@given(_SCHEDULES, _DIVISIONS, _ZEROS, _AHEADS, st.integers(0, S // 50), st.integers(0, 8 * S))
def test_all_of_the_stripe_in_time(
    schedule: Schedule, division: Division, zero_ns: int, ahead_ns: int, late_ns: int, until_ns: int
) -> None:
    """Whenever it began, and however late it is come to."""
    dealt = Dealt(schedule, division, zero_ns, ahead_ns)
    dealt.run(0, until_ns, late_ns)
    due = _due(schedule, division, zero_ns, until_ns + 1)
    assert dealt.due_ns == due[: len(dealt.due_ns)]
    assert all(at > until_ns - late_ns for at in due[len(dealt.due_ns) :])
    assert not dealt.stream.is_done


@given(_SCHEDULES, _DIVISIONS, _ZEROS, _AHEADS, st.integers(0, 4 * S), st.integers(-S, S))
def test_its_end_cuts_exactly(
    schedule: Schedule, division: Division, zero_ns: int, ahead_ns: int, now_ns: int, lead_ns: int
) -> None:
    """What is due before it is dealt out, or given up; nothing else, whether the end is ahead or was a while ago."""
    dealt = Dealt(schedule, division, zero_ns, ahead_ns)
    dealt.run(0, now_ns)
    end_ns = now_ns + lead_ns
    known = len(dealt.due_ns)
    dealt.stream.end(end_ns)
    dealt.stream.end(end_ns + S)  # the first call decides
    next_ns = dealt.run(now_ns, now_ns + lead_ns // 2)
    dealt.stream.give_up()
    assert dealt.stream.is_done
    assert dealt.stream.come(now_ns + 9 * S) is None
    found = dealt.due_ns + dealt.given_up_ns
    assert found == max(_due(schedule, division, zero_ns, end_ns), found[:known], key=len)
    assert next_ns is not None or dealt.given_up_ns == []


def test_rates_and_divisions_that_change_ahead_of_it() -> None:
    """Told later than it is worked out, and before they take effect."""
    schedule = Schedule(poisson(), 3, ((0, 100.0), (S, 300.0)))
    dealt = Dealt(Schedule(poisson(), 3), ALL, S)
    dealt.stream.stripe.change_rate(0, 100)
    dealt.run(0, S + S // 2)
    dealt.stream.stripe.change_rate(S, 300)
    dealt.stream.stripe.divide(Division(2 * S, 1, 3))
    dealt.run(S + S // 2, 4 * S)
    expected = schedule.stripe(ALL, Division(2 * S, 1, 3)).take(3 * S + 1).due_ns + S
    assert dealt.due_ns == expected.tolist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40).map(sorted))
def test_trace_and_its_end(tmp_path: Path, due_ms: list[int]) -> None:
    """All of its times, those that are equal as often as they are written; then nothing, until it is ended."""
    (tmp_path / "due").write_text("".join(f"{at / 1000:.3f}\n" for at in due_ms))
    dealt = Dealt(Schedule(trace(tmp_path / "due")), ALL, 5)
    dealt.run(0, 4 * S)
    assert dealt.due_ns == [at * 10**6 + 5 for at in due_ms]
    assert not dealt.stream.is_done
    dealt.stream.end(4 * S)
    assert dealt.stream.is_done


def test_trace_that_has_changed(tmp_path: Path) -> None:
    """It is told once; what was read before is dealt out, and then it is over."""
    file = tmp_path / "due"
    file.write_text("".join(f"{number / 100} # {'-' * 100}\n" for number in range(2000)))
    dealt = Dealt(Schedule(trace(file)), ALL, 0)
    dealt.run(0, S)
    text = file.read_text()
    file.write_text(text[:150_000] + "\nx" * 100 + text[150_200:])
    dealt.run(S, 20 * S)
    (fault,) = dealt.faults
    assert fault.startswith(f"trace '{file}': line ")
    assert 500 < len(dealt.due_ns) < 2000
    assert dealt.due_ns == [number * 10**7 for number in range(len(dealt.due_ns))]
    assert dealt.stream.is_done
