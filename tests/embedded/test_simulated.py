"""Lots are drawn exactly: as many as the share says after any number of draws, and the same for the same seed."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.embedded.simulated import Lot

_shares = st.fractions(Fraction(1, 1000), 1)


@given(_shares, st.text(max_size=5), st.integers(1, 500))
def test_the_share_is_exact_at_any_moment(share: Fraction, seed: str, draws: int) -> None:
    """After n draws within one of n times the share."""
    lot = Lot(share, seed)
    drawn = 0
    for number in range(1, draws + 1):
        drawn += lot.draw()
        assert abs(drawn - number * share) <= 1


@given(st.integers(1, 50), st.text(max_size=5))
def test_one_of_each_so_many(every: int, seed: str) -> None:
    """A share of one in k draws one in each k that follow each other, and the same ones each time."""
    lot, again = Lot(Fraction(1, every), seed), Lot(Fraction(1, every), seed)
    blocks = [[lot.draw() for _ in range(every)] for _ in range(10)]
    assert [sum(block) for block in blocks] == [1] * 10
    assert [[again.draw() for _ in range(every)] for _ in range(10)] == blocks


def test_they_are_not_every_fiftieth() -> None:
    """A pattern would meet the pattern of whoever asks, such as a payload that comes again and again."""
    lot = Lot(Fraction(1, 50), "seed")
    places = {at % 50 for at in range(5000) if lot.draw()}
    assert len(places) > 30
