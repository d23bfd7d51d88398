"""A pool hands out what a source holds in order, whole where it fits, as a window where it does not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.corpus import CorpusError, Payload
from tfs_locust.load.pool import Pool
from tfs_locust.load.sources import Source


def _numbered(count: int | None, size: int = 4, *, made: bool = False) -> Source:
    """Payloads that hold their number."""

    def one_pass() -> Iterator[Payload]:
        for number in itertools.count() if count is None else range(count):
            yield Payload(number.to_bytes(size, "big"), 1)

    return Source("numbers", one_pass, made)


def _number(payload: Payload) -> int:
    return int.from_bytes(payload.body, "big")


def _pool(source: Source, **limits: int) -> Pool[int]:
    pool = Pool(source, _number, **limits)
    pool.fill()
    return pool


def test_a_source_that_fits_is_held_whole() -> None:
    """It is cycled in order, and refilling has nothing to do."""
    pool = _pool(_numbered(5), most=64)
    assert pool.whole
    assert [next(pool) for _ in range(12)] == [0, 1, 2, 3, 4] * 2 + [0, 1]
    assert (len(pool), pool.refill(9), pool.laps) == (5, 0, 2)


def test_what_is_made_without_end_is_one_pool() -> None:
    """As many as were asked for, and those in turn."""
    pool = _pool(_numbered(None, made=True), most=3)
    assert pool.whole
    assert [next(pool) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


@given(st.integers(1, 9), st.integers(1, 30), st.lists(st.integers(0, 4), max_size=40))
def test_a_window_goes_through_the_source_in_order(most: int, count: int, refills: list[int]) -> None:
    """However refilling and sending follow each other: never more is held than may be, all comes in its order, and
    without a lap nothing comes twice or is left out."""
    pool = _pool(_numbered(count), most=most)
    sent = []
    for refill in refills:
        sent.append(next(pool))
        pool.refill(refill)
        assert len(pool) <= most
    if count < most:
        assert pool.whole
    if pool.whole or not pool.laps:
        assert sent == [number % count for number in range(len(sent))]
    else:
        assert set(sent) <= set(range(count))


def test_when_refilling_is_late_what_is_held_is_sent_again() -> None:
    """Sending never waits; then the new ones come, after what is held."""
    pool = _pool(_numbered(100), most=3)
    assert [next(pool) for _ in range(4)] == [0, 1, 2, 0]
    assert pool.laps == 1
    assert pool.refill() == 1
    assert [next(pool) for _ in range(3)] == [1, 2, 3]
    assert pool.refill(2) == 2
    assert [next(pool) for _ in range(2)] == [4, 5]


def test_bytes_bound_the_pool_too() -> None:
    """It is full when the bytes are reached, holds one payload at least, and a window keeps within them."""
    pool = _pool(_numbered(None, 1000), most_bytes=10_000)
    assert len(pool) == 7
    assert 10_000 <= pool.held_bytes <= 11_500
    for _ in range(20):
        next(pool)
        pool.refill()
        assert pool.held_bytes <= 11_500
    assert pool.laps == 0
    assert len(_pool(_numbered(None, 1000), most_bytes=1)) == 1


def test_a_short_source_is_read_again_for_its_share_of_sizes() -> None:
    """Until there are as many as asked for at least."""
    pool = _pool(_numbered(3), most=10, least=7)
    assert [next(pool) for _ in range(10)] == [0, 1, 2] * 3 + [0]
    assert (pool.whole, len(pool)) == (True, 9)


def test_workers_begin_at_different_places() -> None:
    """Turning the pool changes the start, not the order."""
    pool = _pool(_numbered(5), most=64)
    pool.turn(7)
    assert [next(pool) for _ in range(6)] == [2, 3, 4, 0, 1, 2]


def test_a_source_that_ends_for_good() -> None:
    """A generator that is exhausted: whole where it fits; else it is told when it ends, not before."""

    def once(count: int) -> Source:
        numbers = _numbered(count).passes()
        return Source("a generator", lambda: numbers)

    pool = _pool(once(3), most=10, least=7)
    assert (pool.whole, len(pool)) == (True, 3)
    pool = _pool(once(3), most=2)
    next(pool)
    assert pool.refill() == 1
    next(pool)
    with pytest.raises(
        CorpusError,
        match=r"^a generator: has no more payloads: it can be read once only, .*; give one that can be read again",
    ):
        pool.refill()
    with pytest.raises(CorpusError, match=r"^a generator: has no more payloads"):
        _pool(once(0), most=2)


def test_others_have_their_turn_while_the_pool_is_filled() -> None:
    """``pause`` is called after each payload."""
    turns = []
    Pool(_numbered(5), _number, most=3).fill(lambda: turns.append(1))
    assert len(turns) == 3
