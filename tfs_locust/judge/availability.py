"""How available the server was: by request, and by second."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Availability:
    """Shares of 1; None where there was nothing to take a share of. The warm-up is not in it."""

    due: int
    """Requests that were due, sent or not."""
    served: int
    """Of these, those that ended well."""
    seconds: int
    """Whole seconds in which load was on."""
    available_seconds: int

    @property
    def by_request(self) -> float | None:
        """The share of requests that were due and were served: what was not sent counts against it, too."""
        return self.served / self.due if self.due else None

    @property
    def by_second(self) -> float | None:
        """The share of available seconds."""
        return self.available_seconds / self.seconds if self.seconds else None

    @property
    def nines(self) -> float | None:
        """Of the share by request: 3 is 99.9 %. None if nothing was due, or all was served: no run proves infinity."""
        share = self.by_request
        return None if share is None or share == 1 else -math.log10(1 - share)


def availability_of(view: View) -> Availability:
    """Of a whole run.

    Seconds are those that lie between the warm-up's end and the load's. One in which nothing ended was not available:
    whoever sends less than a request a second should not look at seconds. Of steps that old seconds were put together
    to, it is the mean of how many each worker saw, and where load began or ended in one all its seconds are alike.
    """
    judged = view.judged()
    due = view.abandoned + sum(cell.count for cell in judged.values())
    served = sum(cell.count for key, cell in judged.items() if key.key.outcome is Outcome.OK)
    first, end = -(-view.run_from_ns // _NS), (view.run_from_ns + view.load_ns) // _NS
    seconds, available = max(0, end - first), 0.0
    for number, second in view.timeline.items():
        inside = min(number + second.width, end) - max(number, first)
        if inside > 0:
            available += inside * second.available_share
    return Availability(due, served, seconds, round(available))
