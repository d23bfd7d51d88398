"""The timelines of all workers as one, kept up with each report: with a thousand workers nobody could wait for a merge.

Workers put old seconds together (see :mod:`tfs_locust.measure.coarse`), each when it comes to it. Where one worker has
a step and another still has seconds, the step counts for both. Reports may come in any order: the result is the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from tfs_locust.measure.coarse import step_of
from tfs_locust.measure.timeline import Second


@dataclass(slots=True)
class _Told:
    """What a worker has told of a second or step, packed: of an hour with a thousand workers there are millions."""

    sequence: int
    count: int
    users: int
    width: int
    packed: bytes


class Timelines:
    """What each worker has told last, and the sum of it."""

    def __init__(self) -> None:
        self._told: dict[Hashable, dict[int, _Told]] = {}
        self._sum: dict[int, Second] = {}

    def take(self, worker: Hashable, sequence: int, number: int, second: Second) -> None:
        """Take the word of a worker's snapshot on a second, or on the step that it and others were put into: of these
        seconds that is the last."""
        told = self._told.setdefault(worker, {})
        before = told.get(number)
        if before is not None and before.width == second.width:
            if sequence <= before.sequence:
                return
            before.sequence = sequence
            # every record raises the count, and users are set: a last report repeats all seconds, few have changed
            if (before.count, before.users) == (second.count, second.users):
                return
        elif (wide := told.get(step_of(told, number))) is not None and wide.width > second.width:
            return
        begin, step = self._step(number, second.width)
        users, users_before = step.users, _users(told, begin, step.width)
        known = Second()
        for inside in range(number, number + second.width):
            if inside in told:
                known.merge(Second.unpack(told.pop(inside).packed))
        told[number] = _Told(sequence, second.count, second.users, second.width, second.pack())
        step.replace(known, second)
        step.users = users - users_before + _users(told, begin, step.width)

    def _step(self, number: int, width: int) -> tuple[int, Second]:
        """Where the sum counts this, and what stands there: at least as wide."""
        begin = step_of(self._sum, number)
        step = self._sum.get(begin)
        if step is not None and step.width >= width:
            return begin, step
        step = Second(width=width)
        for inside in range(number, number + width):
            if inside in self._sum:
                step.merge(self._sum.pop(inside))
        if width > 1:
            step.users = sum(_users(told, number, width) for told in self._told.values())
        self._sum[number] = step
        return number, step

    def sum(self) -> dict[int, Second]:
        """Copies, rising."""
        return {number: self._sum[number].copy() for number in sorted(self._sum)}


def _users(told: dict[int, _Told], begin: int, width: int) -> int:
    """The most users of a worker at any time of a step: they are the same ones from second to second."""
    return max((told[number].users for number in range(begin, begin + width) if number in told), default=0)
