"""Binomial bounds: known numbers, and the laws they keep."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.judge.binomial import (
    Decision,
    at_least,
    at_most,
    decide,
    lower_bound,
    requests_to_decide,
    upper_bound,
)


@pytest.mark.parametrize(
    ("k", "n", "lower", "upper"),
    [
        # one-sided 95 % bounds are the ends of the two-sided 90 % interval of Clopper and Pearson
        (0, 10, 0.0, 0.25886555),
        (1, 10, 0.00511620, 0.39416330),
        (5, 10, 0.22244110, 0.77755890),
        (10, 10, 0.74113445, 1.0),
        (10, 1000, 0.00543514, 0.01690318),
    ],
)
def test_known_bounds(k: int, n: int, lower: float, upper: float) -> None:
    """The bounds are those of the tables (the last computed in fifty digits)."""
    assert lower_bound(k, n, 0.95) == pytest.approx(lower, abs=1e-7)
    assert upper_bound(k, n, 0.95) == pytest.approx(upper, abs=1e-7)


def test_rule_of_three() -> None:
    """No failure in 2,995 requests, and not one less, shows a rate below 0.1 % at 95 %."""
    assert decide(0, 2994, 0.001, 0.95) is Decision.UNDECIDED
    assert decide(0, 2995, 0.001, 0.95) is Decision.PASS
    assert requests_to_decide(0, 1000, 0.001, 0.95) == 1995
    assert requests_to_decide(0, 0, 0.001, 0.95) == 2995


@given(st.integers(1, 40), st.integers(0, 40), st.floats(0.001, 0.999))
def test_tails_are_the_sums_of_the_terms(n: int, k: int, p: float) -> None:
    """Both tails agree with the definition."""
    k = min(k, n)
    terms = [math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]
    assert at_most(k, n, p) == pytest.approx(sum(terms[: k + 1]), abs=1e-12)
    assert at_least(k, n, p) == pytest.approx(sum(terms[k:]), abs=1e-12)


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0.5, 0.999))
def test_the_bounds_enclose_the_share(n: int, share: float, confidence: float) -> None:
    """lower <= k/n <= upper."""
    k = round(share * n)
    assert lower_bound(k, n, confidence) <= k / n <= upper_bound(k, n, confidence)


@given(st.integers(0, 50), st.integers(1, 5000), st.floats(0.001, 0.5))
def test_deciding_is_comparing_with_the_bounds(k: int, n: int, allowed: float) -> None:
    """PASS when the upper bound is within, FAIL when the lower one is out, else UNDECIDED."""
    k = min(k, n)
    lower, upper = lower_bound(k, n, 0.95), upper_bound(k, n, 0.95)
    if min(abs(lower - allowed), abs(upper - allowed)) < 1e-6:
        return  # too near for the search of the bounds
    expected = Decision.PASS if upper < allowed else Decision.FAIL if lower > allowed else Decision.UNDECIDED
    assert decide(k, n, allowed, 0.95) is expected


@pytest.mark.parametrize("n", [10**6, 10**9])
def test_billions_of_requests(n: int) -> None:
    """At large n the exact bounds are near the normal ones: 1.645 deviations from the share."""
    k = n // 1000
    deviation = math.sqrt(0.001 * 0.999 / n)
    assert upper_bound(k, n, 0.95) == pytest.approx(0.001 + 1.6449 * deviation, abs=0.1 * deviation)
    assert lower_bound(k, n, 0.95) == pytest.approx(0.001 - 1.6449 * deviation, abs=0.1 * deviation)


@given(st.integers(0, 30), st.integers(1, 3000))
def test_that_many_more_requests_decide(k: int, n: int) -> None:
    """The number told does decide, at the same share rounded against the answer."""
    k = min(k, n)
    more = requests_to_decide(k, n, 0.01, 0.95)
    if more is None:
        assert k * 100 == n
        return
    total = n + more
    bad = k if more == 0 else math.ceil(k / n * total) if k / n < 0.01 else math.floor(k / n * total)
    assert decide(bad, total, 0.01, 0.95) is not Decision.UNDECIDED


@given(st.integers(1, 10**5), st.floats(0.0001, 0.9999), st.integers(-4, 4))
def test_long_sums_are_the_sums_of_their_terms(n: int, p: float, deviations: int) -> None:
    """Tails of thousands of terms, summed many at a time, agree with each other: together they make one."""
    k = min(max(round(n * p + deviations * math.sqrt(n * p * (1 - p))), 0), n)
    assert at_most(k, n, p) + at_least(k + 1, n, p) == pytest.approx(1, abs=1e-7)
    assert at_most(k, n, p) - at_most(k - 1, n, p) == pytest.approx(
        math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(p)
            + (n - k) * math.log1p(-p)
        ),
        abs=1e-7,
    )


def test_a_share_near_the_allowed_one_is_told_of_soon() -> None:
    """Of ten million requests the far more that would decide are found by sums of some hundred thousand terms, which
    live displays must not wait for."""
    begin = time.process_time()
    assert requests_to_decide(99_990, 10**7, 0.01, 0.95) == pytest.approx(2.6777e10, rel=1e-3)
    assert time.process_time() - begin < 0.4  # one by one it takes longer on any machine


def test_no_data_decides_nothing() -> None:
    """Zero requests are no evidence, whatever is allowed."""
    for allowed in (0.0, 0.01, 1.0):
        assert decide(0, 0, allowed, 0.95) is Decision.UNDECIDED


def test_none_allowed_and_all_allowed() -> None:
    """Zero tolerance is judged by the count; a share of at most all is no demand."""
    assert decide(0, 10, 0.0, 0.95) is Decision.PASS
    assert decide(1, 10, 0.0, 0.95) is Decision.FAIL
    assert decide(10, 10, 1.0, 0.95) is Decision.PASS
