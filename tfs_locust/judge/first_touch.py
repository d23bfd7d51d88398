"""How long the first answer of each model and version took, against its later ones.

A server that has many models answers the first request to each late: graphs are optimised when they first run, memory
is allocated, caches are cold, where no warm-up has done it all. Looked at are the first answers that each stint keeps
(:mod:`tfs_locust.measure.stint`), from the run's start, the warm-up's too: of each target the one that ended first, and
the others that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfs_locust.measure.stint import Served, Stint

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Times:
    """Response times of some answers, in seconds; None where there is none. Quantiles are those of the samples."""

    count: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


@dataclass(frozen=True, slots=True)
class FirstTouch:
    """The first answers of all targets, and the ones that followed."""

    targets: int
    """Models and versions that answered; over REST those that were asked for by number or label."""
    slowest_model: str
    slowest_version: str
    """The target whose first answer took longest."""
    first: Times
    later: Times


def first_touch(stints: Mapping[Served, Sequence[Stint]]) -> FirstTouch | None:
    """What the first answers tell; None where nothing answered."""
    kept = {
        served: sorted(pair for stint in several for pair in stint.firsts)
        for served, several in stints.items()
        if any(stint.firsts for stint in several)
    }
    if not kept:
        return None
    firsts = {served: pairs[0][1] for served, pairs in kept.items()}
    slowest = max(firsts, key=lambda served: firsts[served])
    return FirstTouch(
        targets=len(kept),
        slowest_model=slowest.model,
        slowest_version=slowest.version,
        first=_times(list(firsts.values())),
        later=_times([response_us for pairs in kept.values() for _, response_us in pairs[1:]]),
    )


def _times(response_us: list[int]) -> Times:
    rising = sorted(response_us)
    if not rising:
        return Times(0, None, None, None)

    def quantile(percent: int) -> float:
        """The smallest that at least so many percent are not above."""
        return rising[-(-percent * len(rising) // 100) - 1] / _US

    return Times(len(rising), quantile(50), quantile(99), rising[-1] / _US)
