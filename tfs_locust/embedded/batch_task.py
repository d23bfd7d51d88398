"""One call that waits for its rows of a batch's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from tfs_locust.embedded.tensor import Array


@dataclass(slots=True)
class Task:
    """One call, or a piece of one. ``enqueued_at`` and ``deadline`` are seconds on the scheduler's clock."""

    feeds: Mapping[str, Array]
    rows: int
    enqueued_at: float
    deadline: float | None
    """None: it waits forever."""
    outputs: Future[Mapping[str, Array]] = field(default_factory=Future)


def cut(task: Task, ranges: Sequence[range]) -> list[Task]:
    """A piece of ``task`` for each range of its rows, with a future of its own."""
    return [
        replace(
            task,
            feeds={name: array[rows.start : rows.stop] for name, array in task.feeds.items()},
            rows=len(rows),
            outputs=Future(),
        )
        for rows in ranges
    ]
