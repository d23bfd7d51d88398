"""Two ways to send the same inputs, compared pair by pair: sums that merge without loss, and what they tell.

What makes one payload slower than another, or one second slower than the next, is in both requests of a pair, and
falls out of their ratio. Ratios are averaged as logarithms: twice and half as long average to the same, and the mean is
the logarithm of the ratio of geometric means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from statistics import NormalDist
from typing import NamedTuple

from tfs_locust.measure.sample import Outcome, Sample

FEWEST = 30
"""Pairs for which the mean is taken to be normally distributed, by the usual rule of thumb."""


class PairedKey(NamedTuple):
    """What is compared with what."""

    scenario: str
    """The user class."""
    protocol: str
    against: str
    """The class it is compared with."""
    against_protocol: str


@dataclass(slots=True)
class Paired:
    """Counts and sums over pairs of requests. ``x`` is the logarithm of a pair's ratio: service time of the request of
    ``against`` by that of ``scenario``, so above 0 where ``scenario`` was faster."""

    pairs: int = 0
    """Of which both requests ended well. All sums are of these."""
    unpaired: int = 0
    """Of which one failed, or both."""
    scenario_faster: int = 0
    against_faster: int = 0
    """The two do not make up all pairs where some took the same time to the nanosecond."""
    scenario_ns: int = 0
    """Sum of service times."""
    against_ns: int = 0
    sum_x: float = 0.0
    sum_xx: float = 0.0

    def record(self, own: Sample, other: Sample) -> None:
        """Count one pair."""
        if own.key.outcome is not Outcome.OK or other.key.outcome is not Outcome.OK:
            self.unpaired += 1
            return
        own_ns, other_ns = own.service_time_ns, other.service_time_ns
        x = math.log(max(other_ns, 1) / max(own_ns, 1))
        self.pairs += 1
        self.scenario_faster += own_ns < other_ns
        self.against_faster += other_ns < own_ns
        self.scenario_ns += own_ns
        self.against_ns += other_ns
        self.sum_x += x
        self.sum_xx += x * x

    def merge(self, other: Paired) -> None:
        """Count in what ``other`` counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def mean_x(self) -> float | None:
        """None without a pair."""
        return self.sum_x / self.pairs if self.pairs else None

    @property
    def deviation_x(self) -> float | None:
        """The sample's standard deviation; None for fewer than two pairs."""
        if self.pairs < 2:
            return None
        squares = self.sum_xx - self.sum_x * self.sum_x / self.pairs
        return math.sqrt(max(squares, 0.0) / (self.pairs - 1))

    @property
    def ratio(self) -> float | None:
        """How many times as long ``against`` takes: the ratio of the geometric means. None without a pair."""
        return None if self.mean_x is None else math.exp(self.mean_x)

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Two-sided confidence bounds of the ratio; None for fewer than :data:`FEWEST` pairs.

        ``exp(mean +- z * deviation / sqrt(pairs))``: the interval for the mean of paired differences (NIST/SEMATECH
        e-Handbook of Statistical Methods, on paired observations), here of logarithms, with the normal distribution in
        place of Student's. It takes the pairs to be independent of each other.
        """
        mean, deviation = self.mean_x, self.deviation_x
        if mean is None or deviation is None or self.pairs < FEWEST:
            return None
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * deviation / math.sqrt(self.pairs)
        return math.exp(mean - reach), math.exp(mean + reach)

    def to_wire(self) -> list[float]:
        """Numbers, ready for msgpack or JSON."""
        return list(astuple(self))

    @classmethod
    def from_wire(cls, wire: Iterable[float]) -> Paired:
        """What :meth:`to_wire` gave."""
        return cls(*wire)  # type: ignore[arg-type]  # integers stay integers on the wire


def merge_pairs(several: Iterable[dict[PairedKey, Paired]]) -> dict[PairedKey, Paired]:
    """The comparisons of several workers as one table; what is given stays as it is."""
    merged: dict[PairedKey, Paired] = {}
    for pairs in several:
        for key, paired in pairs.items():
            merged.setdefault(key, Paired()).merge(paired)
    return merged
