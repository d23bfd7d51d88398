"""Stages of a canary's share: when each begins, and every fault with its place."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tfs_locust.load.ramp import RampError, parse_ramp


def test_stages_follow_one_another() -> None:
    """Each from when the one before is over; the last for the rest of the run."""
    ramp = parse_ramp("1%:30s, 10%:1m,50%:1h,100%")
    assert [(one.share, one.begins_s) for one in ramp.stages] == [
        (Fraction(1, 100), 0.0),
        (Fraction(1, 10), 30.0),
        (Fraction(1, 2), 90.0),
        (Fraction(1), 3690.0),
    ]
    times = (-1.0, 0.0, 29.999, 30.0, 89.0, 90.0, 3690.0, 1e9)
    assert [ramp.stage_at(at_s) for at_s in times] == [0, 0, 0, 1, 1, 2, 3, 3]
    assert [str(one) for one in ramp.stages] == ["1 %", "10 %", "50 %", "100 %"]


@pytest.mark.parametrize("text", ["0.01:30s,0.1:60,1", "1%:30,10%:1m,100%"])
def test_shares_in_both_forms(text: str) -> None:
    """A number up to 1 is as good as a percentage."""
    ramp = parse_ramp(text)
    assert [one.share for one in ramp.stages] == [Fraction(1, 100), Fraction(1, 10), Fraction(1)]
    assert [one.begins_s for one in ramp.stages] == [0.0, 30.0, 90.0]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["column 1: '' is no share"]),
        ("101%", ["column 1: '101%' is no share, which is from 0% to 100%"]),
        ("5:1s", ["column 1: '5' is no share"]),
        ("1%,x:3s", ["column 3: '': expected how long it holds", "column 4: 'x' is no share"]),
        ("1%:0s,2%", ["column 4: '0s': expected how long it holds"]),
        ("1%:soon,2%", ["column 4: 'soon': expected a time, as 90, 90s, 5m, 1h or 1h30m"]),
        ("1%:1s,", ["column 7: '' is no share"]),
    ],
)
def test_faults(text: str, faults: list[str]) -> None:
    """All of them are told, with the text and their columns."""
    with pytest.raises(RampError) as raised:
        parse_ramp(text)
    assert str(raised.value).startswith(f"{text!r}: ")
    assert all(fault in str(raised.value) for fault in faults)
