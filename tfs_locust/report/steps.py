"""A timeline without holes: seconds in which nothing was told are filled in, so that a standstill is seen."""

from __future__ import annotations

from collections.abc import Mapping

from tfs_locust.measure.timeline import Second


def steps(timeline: Mapping[int, Second]) -> list[tuple[int, Second]]:
    """Each step with where it begins, rising; a step is a second, or several that were put together."""
    found: list[tuple[int, Second]] = []
    at = min(timeline, default=0)
    for number, second in sorted(timeline.items()):
        found += [(missing, Second()) for missing in range(at, number)]
        found.append((number, second))
        at = number + second.width
    return found
