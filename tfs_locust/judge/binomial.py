"""What a count of bad ones among n tells about their share: exact binomial tails and the bounds they give.

Clopper and Pearson (1934), one-sided. Sums of the exact terms, not a normal approximation: that one is wrong where
objectives live, at few failures among many requests. Good to about 1e-5 at n = 1e9, and better below.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

_NEGLIGIBLE = 1e-17
_FIRST = 32
"""So many terms are summed at once, at first: of millions of requests thousands are needed, and each live display asks.
"""


class Decision(str, Enum):
    """What n requests say about a claim, at the confidence asked for."""

    PASS = "PASS"  # noqa: S105  # not a password
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"

    def __str__(self) -> str:
        return self.value


def at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) of X ~ Binomial(n, p)."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    return _sum_down(k, n, p) if k <= n * p else 1.0 - _sum_up(k + 1, n, p)


def at_least(k: int, n: int, p: float) -> float:
    """P(X >= k) of X ~ Binomial(n, p)."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return 0.0
    if p >= 1.0:
        return 1.0
    return _sum_up(k, n, p) if k >= n * p else 1.0 - _sum_down(k - 1, n, p)


def decide(k: int, n: int, allowed: float, confidence: float) -> Decision:
    """Whether the share of bad ones is within ``allowed``, when k of n were bad.

    PASS if the upper confidence bound of the share is within, FAIL if the lower one is out. Where none is allowed, no
    number of requests would prove it, so the count itself is judged.
    """
    if n == 0:
        return Decision.UNDECIDED
    if allowed <= 0.0:
        return Decision.FAIL if k else Decision.PASS
    if allowed >= 1.0:
        return Decision.PASS
    doubt = 1.0 - confidence
    if at_most(k, n, allowed) <= doubt:
        return Decision.PASS
    if at_least(k, n, allowed) <= doubt:
        return Decision.FAIL
    return Decision.UNDECIDED


def lower_bound(k: int, n: int, confidence: float) -> float:
    """The share of bad ones is at least this, with the given confidence, when k of n were bad."""
    if k == 0:
        return 0.0
    doubt = 1.0 - confidence
    low, high = 0.0, k / n
    while _apart(low, high):
        middle = (low + high) / 2
        low, high = (middle, high) if at_least(k, n, middle) <= doubt else (low, middle)
    return low


def upper_bound(k: int, n: int, confidence: float) -> float:
    """The share of bad ones is at most this, with the given confidence, when k of n were bad."""
    if n == 0 or k >= n:
        return 1.0
    doubt = 1.0 - confidence
    low, high = k / n, 1.0
    while _apart(low, high):
        middle = (low + high) / 2
        low, high = (low, middle) if at_most(k, n, middle) <= doubt else (middle, high)
    return high


def requests_to_decide(k: int, n: int, allowed: float, confidence: float) -> int | None:
    """About how many more requests would decide, if the share of bad ones stays as it was; 0 if it is decided.

    None where no number would: the share is exactly the one allowed.
    """
    if decide(k, n, allowed, confidence) is not Decision.UNDECIDED and n:
        return 0
    share = k / n if n else 0.0
    if share == allowed:
        return None

    def decided(total: int) -> bool:
        # round against the likely answer: rather a few requests too many than too few
        bad = math.ceil(share * total) if share < allowed else math.floor(share * total)
        return decide(bad, total, allowed, confidence) is not Decision.UNDECIDED

    high = max(n, 1)
    while not decided(high):
        high *= 2
        if high > 10**12:
            return None
    low = high // 2
    while high - low > max(1, high // 10_000):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return max(high - n, 1)


def _apart(low: float, high: float) -> bool:
    return high - low > 1e-9 * high + 1e-18


def _term(k: int, n: int, p: float) -> float:
    """P(X = k)."""
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
    return math.exp(log)


def _sum_down(k: int, n: int, p: float) -> float:
    """P(X <= k) for k not above the mean: the terms fall from k on down."""
    odds = (1.0 - p) / p
    term = total = _term(k, n, p)
    size = _FIRST
    while k > 0 and term > _NEGLIGIBLE * total:
        at = np.arange(k, max(k - size, 0), -1, dtype=np.float64)
        terms = term * np.cumprod(at / (n - at + 1) * odds)
        term, total = float(terms[-1]), total + float(terms.sum())
        k -= len(at)
        size *= 2
    return min(total, 1.0)


def _sum_up(k: int, n: int, p: float) -> float:
    """P(X >= k) for k not below the mean: the terms fall from k on up."""
    odds = p / (1.0 - p)
    term = total = _term(k, n, p)
    size = _FIRST
    while k < n and term > _NEGLIGIBLE * total:
        at = np.arange(k, min(k + size, n), dtype=np.float64)
        terms = term * np.cumprod((n - at) / (at + 1) * odds)
        term, total = float(terms[-1]), total + float(terms.sum())
        k += len(at)
        size *= 2
    return min(total, 1.0)
