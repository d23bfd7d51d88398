"""A stretch of a run, as the difference of two views of it: what was counted after the one and until the other.

Counts only rise while a run lasts, so a difference is exact, histograms included. What a view holds as an extreme or a
share is told of the stretch as far as that can be known, see ``since`` of each part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tfs_locust.measure.cell import Cell, CellKey
from tfs_locust.measure.coarse import on_steps, steps_of
from tfs_locust.measure.snapshot import Health
from tfs_locust.measure.timeline import Second
from tfs_locust.measure.view import View, Worker, WorkerState


def between(before: View, after: View) -> View:
    """What was measured after ``before`` and until ``after``, two views of one run.

    Merged with ``before`` it gives ``after``. A request belongs to the stretch in which it *ended*. Of a worker,
    ``started`` and ``finished`` are those of the stretch, so ``missing`` is by how much its requests in flight grew;
    workers that had gone before the stretch are not in it, and neither are stints and
    spells, which are no counts. ``ValueError`` if ``after`` does not continue ``before``.
    """
    if after.load_ns < before.load_ns or before.cells.keys() - after.cells.keys():
        raise ValueError("the second view does not continue the first")
    workers = _workers(before, after)
    return View(
        cells=_cells(before, after),
        timeline=_timeline(before, after),
        workers=workers,
        warmup_ns=after.warmup_ns - before.warmup_ns,
        run_from_ns=after.run_from_ns,
        # not the difference of the longest: a worker that began anew counts from its new beginning
        load_ns=max((one.load_ns for one in workers), default=after.load_ns - before.load_ns),
        send_lag=after.send_lag.since(before.send_lag),
        loop_lag=after.loop_lag.since(before.loop_lag),
    )


def told_ns(before: View, after: View) -> int:
    """How much more ``after`` tells of *every* worker that is at work: 0 while one has not reported since ``before``.

    Workers report every few seconds, so a view is behind, of each worker by another time.
    """
    pairs = ((earlier, one) for earlier, one in _pairs(before, after) if one.is_at_work)
    return min((one.load_ns - (earlier.load_ns if earlier else 0) for earlier, one in pairs), default=0)


def _workers(before: View, after: View) -> tuple[Worker, ...]:
    return tuple(_worker(*pair) for pair in _pairs(before, after))


def _pairs(before: View, after: View) -> Iterator[tuple[Worker | None, Worker]]:
    """The workers of the stretch, each as it was before, if it was, and after."""
    known = {(one.name, one.incarnation): one for one in before.workers}
    for one in after.workers:
        earlier = known.get((one.name, one.incarnation))
        if not _had_gone(earlier, one):
            yield earlier, one


def _cells(before: View, after: View) -> dict[CellKey, Cell]:
    window = {key: cell.since(before.cells.get(key, Cell())) for key, cell in after.cells.items()}
    return {key: cell for key, cell in window.items() if cell.count}


def _timeline(before: View, after: View) -> dict[int, Second]:
    """The seconds in which something was told."""
    window = {}
    wide = steps_of([after.timeline])
    earlier_timeline = on_steps(before.timeline, wide) if wide else before.timeline
    for number, second in after.timeline.items():
        earlier = earlier_timeline.get(number)
        if earlier is None:
            window[number] = second
        elif second != earlier:
            window[number] = second.since(earlier)
    return window


def _had_gone(before: Worker | None, after: Worker) -> bool:
    gone = {WorkerState.COMPLETE, WorkerState.LOST}
    return before is not None and before.state in gone and before.sequence == after.sequence


def _worker(before: Worker | None, after: Worker) -> Worker:
    if before is None:
        before = Worker(after.name, after.incarnation, 0, WorkerState.RUNNING, 0, 0, 0, Health())
    peers = {peer: answers - before.peers.get(peer, 0) for peer, answers in after.peers.items()}
    return replace(
        after,
        started=after.started - before.started,
        finished=after.finished - before.finished,
        unsent=after.unsent - before.unsent,
        offered=after.offered - before.offered,
        health=after.health.since(before.health),
        checked=after.checked - before.checked,
        peers={peer: answers for peer, answers in peers.items() if answers},
        load_ns=after.load_ns - before.load_ns,
    )
