"""Which version of a model answered, and when: from the first of its answers to the last, to the nanosecond.

A *stint* is a stretch in which one version of one model answers, without a silence longer than :data:`SILENCE_NS`. Each
worker keeps its own, in its own clock of the run. Workers' clocks begin when word of the start reaches each, so what
is merged here agrees to the delay of that message: about a millisecond on one machine, a few on a network. A figure
made of several workers' stints is no better than that, and one of a single worker's is exact.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SILENCE_NS = 2_000_000_000
"""A version that is silent for longer and answers again has begun another stint: it was rolled back to."""
FIRST_ANSWERS = 100
"""So many first answers of a stint are kept: enough to see a cold start."""


class Served(NamedTuple):
    """A model and the version of it that answered, empty where no answer tells."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}:{self.version}"


class StintKey(NamedTuple):
    """A stint of one worker."""

    model: str
    version: str
    number: int
    """From 0, of this model and version."""


@dataclass(slots=True)
class Stint:
    """One stretch of answers of one version. Times are of the run's clock, each that of an answer's end."""

    first_ns: int
    last_ns: int
    answers: int = 0
    """That ended well; others tell no version."""
    firsts: list[tuple[int, int]] = field(default_factory=list)
    """The end and the response time, in whole microseconds, of the :data:`FIRST_ANSWERS` that ended first, rising; of a
    worker that has many versions maybe fewer (:mod:`tfs_locust.measure.tracks`)."""

    def record(self, at_ns: int, response_ns: int, most: int = FIRST_ANSWERS) -> None:
        """Count an answer, the first ``most`` with their times."""
        self.answers += 1
        self.first_ns = min(self.first_ns, at_ns)
        self.last_ns = max(self.last_ns, at_ns)
        if len(self.firsts) < most or at_ns // 1000 < self.firsts[-1][0]:
            insort(self.firsts, (at_ns // 1000, response_ns // 1000))
            del self.firsts[most:]

    def merge(self, other: Stint) -> None:
        """Count in what ``other`` counted, the same version's answers at another worker."""
        self.first_ns = min(self.first_ns, other.first_ns)
        self.last_ns = max(self.last_ns, other.last_ns)
        self.answers += other.answers
        self.firsts = sorted([*self.firsts, *other.firsts])[:FIRST_ANSWERS]

    def to_wire(self) -> list[Any]:
        """Integers, ready for msgpack or JSON."""
        return [self.first_ns, self.last_ns, self.answers, [number for pair in self.firsts for number in pair]]

    @classmethod
    def from_wire(cls, wire: Iterable[Any]) -> Stint:
        """What :meth:`to_wire` gave."""
        first_ns, last_ns, answers, flat = wire
        return cls(first_ns, last_ns, answers, list(zip(flat[::2], flat[1::2], strict=True)))


def merge_stints(several: Iterable[dict[StintKey, Stint]]) -> dict[Served, tuple[Stint, ...]]:
    """The stints of several workers as one table: of each version they rise, and a silence lies between any two.

    It is the same in whatever order they are given; what is given stays as it is.
    """
    by_version: dict[Served, list[Stint]] = {}
    for stints in several:
        for key, stint in stints.items():
            by_version.setdefault(Served(key.model, key.version), []).append(stint)
    return {served: joined(by_version[served], SILENCE_NS) for served in sorted(by_version)}


def joined(stints: Iterable[Stint], silence_ns: int) -> tuple[Stint, ...]:
    """Stints of one version, with those put together that no longer silence lies between."""
    merged: list[Stint] = []
    for stint in sorted(stints, key=lambda one: (one.first_ns, one.last_ns)):
        if not merged or stint.first_ns - merged[-1].last_ns > silence_ns:
            merged.append(Stint(stint.first_ns, stint.last_ns))
        merged[-1].merge(stint)
    return tuple(merged)
