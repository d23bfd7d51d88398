"""Whether windows of a level agree: nothing is still warming up, filling, or getting worse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfs_locust.measure.cell import Cell
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View

QUANTILE = 0.99
_BY_CHANCE = 2.0
"""Standard deviations within which numbers are not told apart: 95 %."""


@dataclass(frozen=True, slots=True)
class _Window:
    """Throughput and p99 of one window, and what they may be by chance."""

    ok: int
    seconds: float
    p99_ns: float
    """Of all requests, failed ones beyond every time; infinite if these are more than 1 %."""
    at_least_ns: float
    at_most_ns: float


def agree(windows: Sequence[View], tolerance: float) -> bool:
    """Whether the throughput of all is within ``tolerance`` (0.1: 10 %) of each other, and their p99 too.

    Windows of few requests differ by chance alone, so those agree, too, that chance can explain: counts of a Poisson
    process, and the order statistics around p99. What is left open by that is the business of the confidence bound of
    the objectives. p99 ranks failed requests as the slowest, as objectives do.
    """
    seen = [_window(one) for one in windows]
    return _same_rate(seen, tolerance) and _same_p99(seen, tolerance)


def _same_rate(windows: Sequence[_Window], tolerance: float) -> bool:
    rates = [one.ok / one.seconds if one.seconds else 0.0 for one in windows]
    if _close(rates, tolerance):
        return True
    mean = sum(one.ok for one in windows) / sum(one.seconds for one in windows)
    return all(abs(one.ok - mean * one.seconds) <= _BY_CHANCE * math.sqrt(mean * one.seconds) for one in windows)


def _same_p99(windows: Sequence[_Window], tolerance: float) -> bool:
    if _close([one.p99_ns for one in windows], tolerance):
        return True
    return max(one.at_least_ns for one in windows) <= min(one.at_most_ns for one in windows)


def _close(values: Iterable[float], tolerance: float) -> bool:
    low, *_, high = sorted(values)
    return low == high or high <= low * (1 + tolerance)


def _window(view: View) -> _Window:
    ok, failed = Cell(), 0
    for key, cell in view.judged().items():
        if key.key.outcome is Outcome.OK:
            ok.merge(cell)
        else:
            failed += cell.count
    requests = ok.count + failed
    spread = _BY_CHANCE * math.sqrt(requests * QUANTILE * (1 - QUANTILE))

    def at(rank: float) -> float:
        if not requests:
            return 0.0
        time_ns = ok.response.at_rank(max(1, math.ceil(rank)))
        return math.inf if time_ns is None else float(time_ns)

    return _Window(
        ok=ok.count,
        seconds=view.load_ns / 1e9,
        p99_ns=at(QUANTILE * requests),
        at_least_ns=at(QUANTILE * requests - spread),
        at_most_ns=at(QUANTILE * requests + spread + 1),
    )
