"""What a count of bad ones among n tells about their share: exact binomial tails and the bounds they give.

Clopper and Pearson (1934), one-sided. The tails are the regularised incomplete beta function (DLMF 8.17.5) by its
continued fraction, not a normal approximation: that one is wrong where objectives live, at few failures among many
requests. Good to about 1e-5 at n = 1e9, and better below.
"""

from __future__ import annotations

import math
from enum import Enum

_NEGLIGIBLE = 1e-12  # a step of the fraction that changes it by less is the last
_TINY = 1e-300  # instead of a zero that would be divided by


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
    return _tail(n - k, n, 1.0 - p) if k <= n * p else 1.0 - _tail(k + 1, n, p)


def at_least(k: int, n: int, p: float) -> float:
    """P(X >= k) of X ~ Binomial(n, p)."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return 0.0
    if p >= 1.0:
        return 1.0
    return _tail(k, n, p) if k >= n * p else 1.0 - _tail(n - k + 1, n, 1.0 - p)


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


def _tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for k not below the mean, 0 < k <= n.

    DLMF 8.17.22 for I_p(k, n - k + 1), by Lentz's method as Thompson and Barnett (1986) changed it. On this side of the
    mean it is short; of millions of requests the terms themselves are thousands, and each live display asks.
    """
    a, b = k, n - k + 1
    value, upper, lower = 1.0, 1.0, 0.0
    for step in range(1_000_000):
        m = step // 2
        if step % 2:
            more = (m + 1) * (b - m - 1) * p / ((a + step) * (a + step + 1))
        else:
            more = -(a + m) * (a + b + m) * p / ((a + step) * (a + step + 1))
        lower = 1.0 / ((1.0 + more * lower) or _TINY)
        upper = (1.0 + more / upper) or _TINY
        change = upper * lower
        value *= change
        if abs(change - 1.0) < _NEGLIGIBLE:
            break
    return min((1.0 - p) * _term(k, n, p) / value, 1.0)


def _term(k: int, n: int, p: float) -> float:
    """P(X = k)."""
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
    return math.exp(log)
