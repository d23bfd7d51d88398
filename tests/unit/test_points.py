"""Point processes of unit rate: exact, and by chance as they should be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.points import MOST, PARTS, Constant, Integers, Points, Poisson, minus_log


def _positions(points: Points, sizes: list[int]) -> list[int]:
    found: list[int] = []
    for size in sizes:
        block = points.next(size)
        assert block is not None
        found += [block[0] + offset for offset in block[1].tolist()]
    return found


def _gaps(seed: int, count: int) -> Integers:
    return np.diff(np.array(_positions(Poisson(seed), [MOST] * (count // MOST)), object), prepend=0).astype(np.int64)


@given(st.lists(st.integers(1, MOST), max_size=6))
def test_blocks_do_not_matter(sizes: list[int]) -> None:
    """However many points are asked for at a time, they are the same, to the last part."""
    for one, other in ((Constant(), Constant()), (Poisson(3), Poisson(3))):
        in_one = _positions(one, [MOST] * len(sizes))
        assert _positions(other, sizes) == in_one[: sum(sizes)]
    assert _positions(Constant(), sizes) == [k * PARTS for k in range(sum(sizes))]


def test_the_seed_decides() -> None:
    """These very points, on every machine; and others for every other seed, of any shape."""
    assert _positions(Poisson(0), [5]) == GOLDEN
    assert _positions(Poisson((0,)), [5]) == GOLDEN
    assert _positions(Poisson((0, "resnet", 1, 2)), [2]) == GOLDEN_OF_A_USER
    seeds = [0, 1, "0", (0, 0), (0, "0"), ("0", 0), (0, "a", 1, 11), (0, "a", 11, 1), (0, "a1", 1, 1)]
    assert len({_positions(Poisson(seed), [1])[0] for seed in seeds}) == len(seeds)


GOLDEN = [161315281012056, 904632832197733, 2322219621923021, 2455331121562135, 2975622763801625]
GOLDEN_OF_A_USER = [187413064374512, 460055382906966]


@given(st.integers(1, 2**53))
def test_the_logarithm(number: int) -> None:
    """Within three units in the last place of the exact one, however near to 0 or 1."""
    value = number * 2.0**-53
    assert minus_log(np.array([value]))[0] == pytest.approx(-math.log(value), rel=7e-16, abs=0)
    value = (2**53 - number // 2**20) * 2.0**-53
    assert minus_log(np.array([value]))[0] == pytest.approx(-math.log(value), rel=7e-16, abs=0)


def test_the_logarithm_at_its_ends() -> None:
    """The longest gap there is, the shortest, and none; and where the mantissa changes sides."""
    values = np.array([2.0**-53, 1 - 2.0**-53, 1.0, 0.7071067811865475, 0.7071067811865476])
    expected = [53 * math.log(2), 2.0**-53, 0.0, *(-math.log(value) for value in values[3:])]
    assert minus_log(values).tolist() == pytest.approx(expected, rel=7e-16, abs=0)


@pytest.mark.parametrize("seed", range(5))
def test_poisson_gaps_are_exponential(seed: int) -> None:
    """Kolmogorov-Smirnov: D sqrt(n) is below 1.95, which it exceeds by chance once in a thousand (asymptotically)."""
    gaps = np.sort(_gaps(seed, 50 * MOST) / PARTS)
    n = len(gaps)
    cumulated = -np.expm1(-gaps)
    ranks = np.arange(n + 1) / n
    distance = max((ranks[1:] - cumulated).max(), (cumulated - ranks[:-1]).max())
    assert distance * math.sqrt(n) < 1.95


@pytest.mark.parametrize("seed", range(5))
def test_poisson_gaps_are_independent(seed: int) -> None:
    """The correlation of neighbours is within four standard errors of none."""
    gaps = _gaps(seed, 50 * MOST) / PARTS
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / math.sqrt(len(gaps))
