"""Load over time: its levels, when it is over, and that a step's time begins when its level is reached."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.profile import Line, Profile, Target, Wave
from tfs_locust.load.profile_kinds import KINDS, ProfileError, parameters, parse_profile

_LEVELS = st.integers(0, 500) | st.floats(0, 500)
_TIMES = st.integers(0, 100) | st.floats(0, 100)
_STAGES = st.lists(
    st.builds(Line, _TIMES, _LEVELS, _LEVELS)
    | st.builds(Wave, _TIMES, st.floats(100, 200), st.floats(0, 100), st.floats(1, 50)),
    min_size=1,
    max_size=6,
)


def _levels(profile: Profile, times: list[float]) -> list[float | None]:
    """By ticks, of users who are there at once."""
    course = profile.start()
    targets = [course.tick(at, True) for at in times]
    return [None if target is None else target.level for target in targets]


def _parsed(kind: str, **params: str) -> Profile:
    return parse_profile(kind, {name.rstrip("_"): value for name, value in params.items()})


@given(_STAGES, st.sampled_from(["users", "rate"]), st.lists(_TIMES, max_size=20))
def test_levels_are_within_their_stages(stages: list[Line | Wave], unit: str, times: list[float]) -> None:
    """None is beyond those of the stages, users are whole, and ticks say what level() says."""
    profile = Profile(tuple(stages), parse_profile("ramp", {"unit": unit}).unit)
    lows = [min(one.begin, one.end) if isinstance(one, Line) else one.mean - one.amplitude for one in stages]
    highs = [max(one.begin, one.end) if isinstance(one, Line) else one.mean + one.amplitude for one in stages]
    slack = 0.5 if unit == "users" else 0.0
    times.sort()
    for at, ticked in zip(times, _levels(profile, times), strict=True):
        level = profile.level(at)
        assert ticked == level
        if level is not None:
            assert min(lows) - slack <= level <= max(highs) + slack
            assert isinstance(level, int if unit == "users" else (int, float))


@given(_STAGES)
def test_over_at_the_sum_of_times(stages: list[Line | Wave]) -> None:
    """There is a level until the very last moment before, and none from then on."""
    profile = Profile(tuple(stages))
    end = profile.duration_s
    assert end == pytest.approx(math.fsum(stage.duration_s for stage in stages))
    course = profile.start()
    if end:
        before = math.nextafter(end, 0)
        assert profile.level(before) is not None
        assert course.tick(before, True) is not None
    for at in (end, end, end + 1):
        assert profile.level(at) is None
        assert course.tick(at, True) is None


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 20)), min_size=1, max_size=6), st.integers(1, 5))
def test_a_dwell_counts_from_when_its_level_is_reached(steps: list[tuple[int, int]], tick_s: int) -> None:
    """Users who take their time make a step longer by just that; that the level before was reached does not count."""
    profile = Profile(tuple(Line(dwell, level, level, dwell=True) for level, (dwell, _) in enumerate(steps)))
    assert profile.duration_s == sum(dwell for dwell, _ in steps)
    course = profile.start()
    now = begun = reached_at = 0
    at = -1  # the step that is on
    while at < len(steps):
        takes = steps[at][1] if at >= 0 else 0
        reached = now - begun >= takes
        if not reached:
            reached_at = now + tick_s  # at the next tick, at the earliest
        target = course.tick(now, reached)
        if at < 0 or now >= max(reached_at, begun + tick_s) + steps[at][0]:
            at, begun, reached_at = at + 1, now, now + tick_s
        assert (target is None) == (at == len(steps))
        assert target is None or target.level == at
        now += tick_s


def test_steps_of_a_rate_need_no_reaching() -> None:
    """A rate holds from when it is set."""
    course = _parsed("steps", levels="10,20.5", dwell="30s", unit="rate").start()
    assert [course.tick(at, False) for at in (0, 29.9, 30, 59.9, 60)] == [
        (10.0, None),
        (10.0, None),
        (20.5, None),
        (20.5, None),
        None,
    ]


def test_users_who_never_come() -> None:
    """The step waits; and once reached it goes on, though users are lost."""
    course = _parsed("steps", levels="5,6", dwell="10").start()
    assert [course.tick(at, False) for at in (0, 100, 10_000)] == [(5, None)] * 3
    assert course.tick(10_001, True) == (5, None)
    assert course.tick(10_010.5, False) == (5, None)
    assert course.tick(10_011, False) == (6, None)


@pytest.mark.parametrize(
    ("kind", "params", "levels", "duration_s"),
    [
        ("ramp", {"from": "10", "to": "20", "duration": "10", "hold": "5s"}, {0: 10, 4: 14, 4.5: 15, 10: 20}, 15),
        ("ramp", {"from": "20", "to": "10", "duration": "4"}, {0: 20, 1: 18, 3: 13, 4: 10}, 64),
        ("ramp", {"to": "7", "duration": "0"}, {0: 7, 59: 7}, 60),
        ("ramp", {}, {0: 0, 150: 50, 359: 100}, 360),
        ("steps", {"levels": "10, 20,5", "dwell": "1m"}, {0: 10, 59: 10, 60: 20, 120: 5}, 180),
        ("steps", {"start": "50", "step": "-20", "count": "3", "dwell": "1"}, {0: 50, 1: 30, 2: 10}, 3),
        ("steps", {}, {0: 10, 60: 20, 120: 30, 180: 40, 240: 50}, 300),
        ("spike", {"at": "10", "duration": "5", "recovery": "3"}, {0: 10, 10: 100, 14: 100, 15: 10}, 18),
        ("spike", {}, {0: 10, 60: 100, 90: 10}, 150),
        ("sine", {"period": "1m", "duration": "1h30m"}, {0: 50, 5: 70, 15: 90, 45: 10, 60: 50}, 5400),
        ("sine", {}, {0: 50, 75: 90}, 900),
        ("soak", {"level": "30", "ramp": "30", "duration": "1h"}, {0: 0, 10: 10, 30: 30, 3629: 30}, 3630),
        ("soak", {}, {0: 0, 30: 25, 60: 50}, 3660),
    ],
)
def test_kinds(kind: str, params: dict[str, str], levels: dict[float, int], duration_s: float) -> None:
    """What each kind makes of its parameters, and of none."""
    profile = parse_profile(kind, params)
    assert {at: profile.level(at) for at in levels} == levels
    assert profile.duration_s == duration_s


def test_a_trace_of_levels(tmp_path: Path) -> None:
    """Steps or even ways between the lines; jumps, where two lines have one time; the last line is the end."""
    file = tmp_path / "levels.csv"
    file.write_text('time,users\n0,10\n# noon\n1m,20\n"90",40 \n90,4\n2m,5.5,more\n')
    steps = _parsed("trace", file=str(file))
    assert [steps.level(at) for at in (0, 59, 60, 89, 90, 119, 120)] == [10, 10, 20, 20, 4, 4, None]
    linear = _parsed("trace", file=str(file), between="linear", unit="rate")
    assert [linear.level(at) for at in (0, 30, 60, 75, 90, 110, 120)] == [10, 15, 20, 30, 4, 5, None]
    assert linear.duration_s == steps.duration_s == 120


def test_spawn_rates() -> None:
    """Users follow slopes as these go, and jumps at once; a rate that is given holds everywhere; rates have none."""
    course = _parsed("ramp", from_="10", to="30", duration="10", hold="5").start()
    assert [course.tick(at, True) for at in (0, 1, 9, 10, 11)] == [
        Target(10, None),
        Target(12, 2.0),
        Target(28, 2.0),
        Target(30, None),
        Target(30, None),
    ]
    course = _parsed("ramp", from_="10", to="0", duration="10", spawn_rate="0.5").start()
    assert [course.tick(at, True) for at in (0, 1)] == [(10, 0.5), (9, 0.5)]
    course = _parsed("ramp", to="10", duration="10", unit="rate").start()
    assert [course.tick(at, True) for at in (0, 1)] == [(0, None), (1, None)]


def test_a_late_tick_shifts_nothing() -> None:
    """Stages that are not waited for begin when they should, however late they are seen."""
    profile = _parsed("spike", at="10", duration="10", recovery="10")
    assert _levels(profile, [0.7, 12.9, 19.999, 20, 29.9, 30]) == [10, 100, 100, 10, 10, None]
    assert _levels(profile, [25]) == [10]
    assert _levels(profile, [31]) == [None]


def test_parameters() -> None:
    """Every kind tells its own, and those of all."""
    assert list(KINDS) == ["ramp", "steps", "spike", "sine", "soak", "trace"]
    assert parameters("ramp") == ["from", "to", "duration", "hold", "unit", "spawn_rate"]
    assert parameters("trace") == ["file", "between", "unit", "spawn_rate"]


@pytest.mark.parametrize(
    ("kind", "params", "problems"),
    [
        ("saw", {"a": "1"}, ["'saw': expected one of ramp, steps, spike, sine, soak, trace"]),
        (
            "ramp",
            {"form": "1", "to": "many", "duration": "5 min", "hold": "31h1000000m", "unit": "rows", "spawn_rate": "0"},
            [
                "ramp has no 'form'; it has from, to, duration, hold, unit, spawn_rate",
                "ramp to='many': expected a number from 0 to 1000000000",
                "ramp duration='5 min': expected a time, as 90, 90s, 5m, 1h or 1h30m",
                "ramp hold='31h1000000m': expected 30 days at most",
                "ramp unit='rows': expected users or rate",
                "ramp spawn_rate='0': expected users per second, above zero",
            ],
        ),
        ("ramp", {"from_": "1"}, ["ramp has no 'from_'; it has from, to, duration, hold, unit, spawn_rate"]),
        ("ramp", {"duration": "0", "hold": "0s"}, ["ramp: all its times are 0: expected one above zero"]),
        (
            "steps",
            {"levels": "1,2", "count": "2", "dwell": "0", "unit": "rate", "spawn_rate": "3"},
            [
                "steps: levels are given, and start, step or count as well: give the ones or the others",
                "steps: dwell is 0: expected a time above zero",
                "steps: spawn_rate is given with unit=rate, which sets no users: leave one of them out",
            ],
        ),
        ("steps", {"start": "10", "step": "-6"}, ["steps: the last of its levels is -14: expected none below zero"]),
        (
            "steps",
            {"levels": "1,,2", "count": "0", "start": "-1", "step": "--1"},
            [
                "steps levels='1,,2': expected a number from 0 to 1000000000, or several as 10,20,50",
                "steps start='-1': expected a number from 0 to 1000000000",
                "steps step='--1': expected a number from 0 to 1000000000",
                "steps count='0': expected a whole number from 1 to 9999",
            ],
        ),
        ("spike", {"duration": "0"}, ["spike: duration is 0: expected a time above zero"]),
        (
            "sine",
            {"mean": "5", "amplitude": "6", "period": "0"},
            [
                "sine: amplitude 6 is above mean 5: its levels would be below zero",
                "sine: period is 0: expected a time above zero",
            ],
        ),
        (
            "soak",
            {"level": "nan", "ramp": ""},
            [
                "soak level='nan': expected a number from 0 to 1000000000",
                "soak ramp='': expected a time, as 90, 90s, 5m, 1h or 1h30m",
            ],
        ),
        (
            "trace",
            {"between": "cubic"},
            [
                "trace: file is missing: give file=FILE",
                "trace between='cubic': expected step or linear",
            ],
        ),
        ("trace", {"file": "nowhere.csv"}, ["trace file='nowhere.csv': cannot be read: No such file or directory"]),
    ],
)
def test_what_cannot_be(kind: str, params: dict[str, str], problems: list[str]) -> None:
    """All problems at once, each with what was given and what there is."""
    with pytest.raises(ProfileError) as caught:
        parse_profile(kind, params)
    assert caught.value.problems == problems
    assert str(caught.value) == "\n".join(problems)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            "0,1\n1,x\n\n2\n-1,5\n",
            "line 2: '1,x' is no time and level, as 90,50; line 4: '2' is no time and level, as 90,50; line 5: ",
        ),
        ("0,1\n2,1\n1,1\n", "line 3: 1 is earlier than the time before it"),
        ("a,b\nc,d\n" * 6, "line 2: 'c,d' is no time and level, as 90,50; line 3: "),
        ("0,1\n", "expected lines of time and level, the first at 0 and the last at the end"),
        ("1,1\n2,1\n", "expected lines of time and level, the first at 0 and the last at the end"),
        ("0,1\n0,2\n", "expected lines of time and level, the first at 0 and the last at the end"),
        ("\xff", "byte 0: is not plain text"),
    ],
)
def test_files_that_are_no_trace(tmp_path: Path, content: str, fault: str) -> None:
    """With their lines."""
    file = tmp_path / "levels.csv"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ProfileError, match=f"^{re.escape(f'trace file={str(file)!r}: {fault}')}"):
        _parsed("trace", file=str(file))
