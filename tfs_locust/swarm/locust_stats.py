"""Locust's own statistics, filled from the tally several times a second instead of once for each request.

To tell Locust of a request costs more than to send it. Where nobody but Locust listens to its ``request`` event, good
requests are therefore not told one by one: what the tally has counted since the last time is added in one piece, and
Locust shows the same numbers. Failures, which carry a text, are always told one by one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import gevent
from locust import stats as locust_stats
from locust.env import Environment
from locust.stats import StatsEntry

from tfs_locust.measure.cell import Cell, CellKey
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.tally import Tally

_EVERY_S = 0.25
_KNOWN = {"locust.runners", "tfs_locust.swarm.measurement"}  # whose listeners count requests, and do no more
_NS_PER_MS = 1_000_000


class LocustStats:
    """Keeps Locust's statistics of one run level with the tally of this process."""

    def __init__(self, environment: Environment, tally: Tally, names: Mapping[str, str]) -> None:
        """``names`` are what Locust calls each scenario's requests."""
        self._environment = environment
        self._tally = tally
        self._names = names
        self._seen: dict[CellKey, tuple[int, int, int, dict[int, int]]] = {}
        """Of each cell, what Locust knows: count, bytes, total time, buckets."""
        self._listeners = environment.events.request._handlers  # noqa: SLF001 - there is no other way to count them
        self._known = -1
        self._alone = False
        self._greenlet = gevent.spawn(self._keep_level)

    def alone(self) -> bool:
        """Whether a good request that is recorded from now on is not to be told: nobody else listens."""
        if len(self._listeners) != self._known:
            self._level()
            self._known = len(self._listeners)
            self._alone = all(listener.__module__ in _KNOWN for listener in self._listeners)
        return self._alone

    def stop(self) -> None:
        """All is recorded: bring Locust level for the last time."""
        self._greenlet.kill()
        self._level()

    def _keep_level(self) -> None:
        while True:
            gevent.sleep(_EVERY_S)
            self._level()

    def _level(self) -> None:
        for key, cell in self._tally.cells.items():
            name = self._names.get(key.key.scenario)
            if name is None or key.key.outcome is not Outcome.OK:
                continue
            count, size, total_ns, buckets = self._seen.get(key, (0, 0, 0, {}))
            if cell.count == count:
                continue
            if self._alone:
                self._add(name, key.key.protocol, cell, count, size, total_ns, buckets)
            self._seen[key] = cell.count, cell.response_bytes, cell.service.total_ns, dict(cell.service.buckets)

    def _add(
        self, name: str, method: str, cell: Cell, count: int, size: int, total_ns: int, buckets: Mapping[int, int]
    ) -> None:
        now_s = time.time()
        more = StatsEntry(self._environment.stats, name, method)
        more.num_requests = cell.count - count
        more.total_response_time = (cell.service.total_ns - total_ns) / _NS_PER_MS  # type: ignore[assignment]
        more.min_response_time = cell.service.minimum_ns / _NS_PER_MS  # type: ignore[assignment]
        more.max_response_time = cell.service.maximum_ns / _NS_PER_MS  # type: ignore[assignment]
        more.total_content_length = cell.response_bytes - size
        more.num_reqs_per_sec[int(now_s)] = more.num_requests
        more.last_request_timestamp = now_s
        for bucket, times in cell.service.buckets.items():
            if new := times - buckets.get(bucket, 0):
                more.response_times[locust_stats.bucket_response_time(bucket / _NS_PER_MS)] += new
        for entry in (self._environment.stats.total, self._environment.stats.entries[name, method]):
            entry.extend(more)
