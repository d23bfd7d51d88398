"""Every prefix of the turns has every share, to less than one request."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.turns import turns

weights = st.one_of(
    st.lists(st.integers(0, 20), min_size=1, max_size=12),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=6),
    st.lists(st.sampled_from([1, 2, 10**9]), min_size=1, max_size=60),
).filter(any)


@given(weights, st.integers(1, 400))
def test_every_prefix_is_within_one_request_of_every_share(given_weights: list[int], length: int) -> None:
    """Not more and not less than the share, rounded up and down."""
    counts, total = Counter[int](), sum(given_weights)
    for sent, place in enumerate(itertools.islice(turns(given_weights), length), 1):
        counts[place] += 1
        for each, weight in enumerate(given_weights):
            assert abs(counts[each] - Fraction(sent * weight, total)) < 1


@given(st.lists(weights, min_size=1, max_size=4), st.integers(1, 100))
def test_workers_together_are_within_as_many_requests_as_there_are_workers(
    several: list[list[int]], length: int
) -> None:
    """Each goes through the same turns, as far as it comes."""
    own = several[0]
    lengths = [length * (worker + 1) // len(several) for worker in range(len(several))]
    counts = Counter(place for each in lengths for place in itertools.islice(turns(own), each))
    for place, weight in enumerate(own):
        assert abs(counts[place] - Fraction(sum(lengths) * weight, sum(own))) < len(several)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any))
def test_turns_repeat_and_each_round_is_exact(given_weights: list[int]) -> None:
    """After as many turns as the weights add up to, each place has had its weight, and all begins anew."""
    total = sum(given_weights)
    sequence = turns(given_weights)
    first, second = (list(itertools.islice(sequence, total)) for _ in range(2))
    assert [first.count(place) for place in range(len(given_weights))] == given_weights
    assert second == first


def test_six_hundred_by_zipf() -> None:
    """The rule to serve whoever is furthest behind would be off by more than one here."""
    given_weights = [10**9 // rank for rank in range(1, 601)]
    counts, total = Counter[int](), sum(given_weights)
    for sent, place in enumerate(itertools.islice(turns(given_weights), 20_000), 1):
        counts[place] += 1
        assert abs(counts[place] - sent * given_weights[place] / total) < 1
    assert all(abs(counts[place] - 20_000 * weight / total) < 1 for place, weight in enumerate(given_weights))


@pytest.mark.parametrize("wrong", [[], [0, 0], [1, -1, 2]])
def test_weights_that_mean_nothing(wrong: list[int]) -> None:
    """Are told at once, not when the first turn is asked for."""
    with pytest.raises(ValueError, match="expected whole numbers from 0 up, and one above"):
        turns(wrong)
