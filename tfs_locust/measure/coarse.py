"""A timeline of bounded size for any length of run: seconds that are old are put together to wider steps.

A step of ``width`` seconds begins at a multiple of it, and each width divides the next: of any two steps one lies in
the other, or they have no second in common. So timelines that were put together at different times merge without loss.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from tfs_locust.measure.timeline import Second

FINE_S = 3600
"""Seconds stay seconds for this long, unless somebody wants fewer."""
_TIERS = ((1, 10), (2, 60), (12, 600), (72, 3600))
"""From the age on that is the first, in units of the fine part, steps are as wide as the second.

With an hour for the fine part that makes about 3,600 seconds, 360 steps of 10 s, 600 of a minute, 360 of ten minutes,
and one for each hour that is older than three days. A step has as many buckets as its times spread over, so it is as
large as ten seconds.
"""
WIDTHS = (1, *(width for _, width in _TIERS))


def put_together(timeline: dict[int, Second], then_s: int, now_s: int, fine_s: int = FINE_S) -> list[int]:
    """Widen, in one worker's timeline, the steps that have become old since ``then_s``, when this was last done.

    All counts stay; of users it is the most at any time. It costs what has become old, not what there is. The steps
    that are gone are returned, for whoever remembers something of them.
    """
    gone = []
    for age, width in _TIERS:
        first, end = (max(0, at_s - age * fine_s) // width * width for at_s in (then_s, now_s))
        for begin in range(first, end, width):
            inside = [number for number in range(begin, begin + width) if number in timeline]
            if inside:
                gone += inside
                step = Second(width=width)
                for number in inside:
                    second = timeline.pop(number)
                    step = _with(step, second)
                    step.available += 0 if second.told else second.is_available
                step.told = width
                timeline[begin] = step
    return gone


def _with(step: Second, second: Second) -> Second:
    """Count a second in to the step that holds it: the same users, at another time."""
    users = max(step.users, second.users)
    step.merge(second)
    step.users = users
    return step


class _Step(Protocol):
    @property
    def width(self) -> int: ...


def step_of(timeline: Mapping[int, _Step], number: int) -> int:
    """Where the step begins that holds this second; the second itself where none does."""
    for width in WIDTHS[1:]:
        begin = number - number % width
        if begin in timeline and timeline[begin].width >= width:
            return begin
    return number


def steps_of(timelines: Iterable[Mapping[int, Second]]) -> set[tuple[int, int]]:
    """The steps in them that are wider than a second: begin and width."""
    return {(number, one.width) for timeline in timelines for number, one in timeline.items() if one.width > 1}


def on_steps(timeline: Mapping[int, Second], steps: Collection[tuple[int, int]]) -> dict[int, Second]:
    """One worker's timeline with what lies in one of the ``steps`` put together; what is given stays as it is."""
    put: dict[int, Second] = {}
    for number, second in timeline.items():
        wider = (width for width in WIDTHS if width > second.width and (number - number % width, width) in steps)
        width = max(wider, default=second.width)
        begin = number - number % width
        put[begin] = _with(put.get(begin) or Second(width=width), second)
    return put
