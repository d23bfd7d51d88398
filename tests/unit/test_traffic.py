"""Targets and weights in text: what is meant, and every fault with its place."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.traffic import Aim, Split, TrafficError, newest_two, parse_traffic, splits
from tfs_locust.tfserving.target import Target


@pytest.mark.parametrize(
    ("text", "aims", "weights"),
    [
        ("1:0.95,2:0.05", [Aim(None, 1), Aim(None, 2)], (19, 1)),
        ("stable:0.9, canary:0.1", [Aim(None, None, "stable"), Aim(None, None, "canary")], (9, 1)),
        ("7", [Aim(None, 7)], (1,)),
        ("a/1:2,b@new:.5,c/", [Aim("a", 1), Aim("b", None, "new"), Aim("c")], (4, 1, 2)),
        ("m_{9..11}/:3", [Aim("m_9"), Aim("m_10"), Aim("m_11")], (1, 1, 1)),
        ("m_{0..1}/{1..2}; uniform", [Aim("m_0", 1), Aim("m_0", 2), Aim("m_1", 1), Aim("m_1", 2)], (1, 1, 1, 1)),
        ("{1..3}; zipf", [Aim(None, 1), Aim(None, 2), Aim(None, 3)], (1000000000, 500000000, 333333333)),
        ("a/,b/{1..2}; zipf(s=1)", [Aim("a"), Aim("b", 1), Aim("b", 2)], (4, 1, 1)),
        ("a/,b/;zipf(2)", [Aim("a"), Aim("b")], (4, 1)),
        ("team/resnet/3", [Aim("team/resnet", 3)], (1,)),
    ],
)
def test_what_is_meant(text: str, aims: list[Aim], weights: tuple[int, ...]) -> None:
    """Names, ranges, weights and spreads."""
    traffic = parse_traffic(text)
    assert (list(traffic.aims), traffic.weights, traffic.auto_share) == (aims, weights, None)
    assert str(traffic) == text


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["column 1: '': expected VERSION, LABEL, MODEL/VERSION"]),
        ("1:0,2:x", ["column 1: '0' is no weight", "column 5: 'x' is no weight"]),
        ("a/b", ["column 1: 'a/b': 'b' is no version, which is a whole number; labels are a@b"]),
        ("m@", ["column 1: 'm@': expected"]),
        ("two words", ["column 1: 'two words': expected"]),
        ("{3..1}", ["column 1: {3..1} is empty: a range rises"]),
        ("1,{0..99999}", ["column 3: '{0..99999}' stands for more than 10,000 targets"]),
        ("a{1..9000}/,b{1..9000}/", ["18,000 targets; 10,000 are the most"]),
        ("1,2,1", ["1 is there twice"]),
        ("m/{1..2},m/2,m@x,m@x", ["m/2, m@x are there twice"]),
        ("1:2,2; zipf", ["column 7: 'zipf' says the weights, and so do the targets: leave one out"]),
        ("1,2; pareto", ["column 5: 'pareto': expected uniform, zipf or zipf(s=1.1)"]),
        ("9223372036854775808", ["version 9223372036854775808 is above the highest"]),
        ("auto:1", ["'1' is no share of the newest version, which is between 0 and 1"]),
        ("auto:", ["'' is no share of the newest version"]),
    ],
)
def test_faults(text: str, faults: list[str]) -> None:
    """All of them are told, with the text and their columns."""
    with pytest.raises(TrafficError) as raised:
        parse_traffic(text)
    told = str(raised.value)
    assert told.startswith(f"{text!r}: ")
    assert all(fault in told for fault in faults)


@given(st.text("aux12{}.,:;/@ %-_\t", max_size=12))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """With a TrafficError, and nothing else."""
    try:
        traffic = parse_traffic(text)
    except TrafficError:
        return
    assert traffic.auto_share or (len(traffic.aims) == len(traffic.weights) and min(traffic.weights) > 0)


def test_targets_are_of_the_model_that_is_asked_for_anyway() -> None:
    """Unless they name their own; the same one twice is told."""
    traffic = parse_traffic("1,other@new")
    assert traffic.targets("m", "sig") == (Target("m", 1, None, "sig"), Target("other", None, "new", "sig"))
    with pytest.raises(TrafficError, match="'1,m/1': model 'm' version 1 is there twice"):
        parse_traffic("1,m/1").targets("m", "sig")


@pytest.mark.parametrize(("text", "share"), [("auto", Fraction(1, 10)), ("auto:0.25", Fraction(1, 4))])
def test_the_two_newest(text: str, share: Fraction) -> None:
    """Are found elsewhere; the newer one has the share, and the text is that of ordinary traffic."""
    traffic = parse_traffic(text)
    assert (traffic.aims, traffic.auto_share) == ((), share)
    found = newest_two(12, 7, share)
    assert found.aims == (Aim(None, 7), Aim(None, 12))
    assert Fraction(found.weights[1], sum(found.weights)) == share
    assert parse_traffic(found.text) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:0.9,2:0.1", [Split(0, 1)]),
        ("1:0.1,2:0.9", [Split(1, 0)]),
        ("2,1", [Split(1, 0)]),
        ("b,a", [Split(0, 1)]),
        ("1,2,3", []),
        ("a/1,b/1", []),
        ("a/1:1,b/1:1,b/2:3", [Split(2, 1)]),
        ("a/{1..2},b/{1..2}", [Split(0, 1), Split(2, 3)]),
    ],
)
def test_who_is_the_canary(text: str, expected: list[Split]) -> None:
    """Of exactly two targets of a model the lesser one; of two that are the same, the higher version or the later
    label."""
    traffic = parse_traffic(text)
    assert list(splits(traffic.targets("m", ""), traffic.weights)) == expected
