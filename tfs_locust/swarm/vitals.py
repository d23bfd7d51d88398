"""How the generator itself fares: processor time, throttling by its cgroup, standstills of its event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import gevent

from tfs_locust.measure.tally import Tally

_BEAT_S = 0.02
_CGROUP = Path("/sys/fs/cgroup")


class Vitals:
    """Fills a tally's health while a run lasts; one for each process that sends load."""

    def __init__(self, tally: Tally, count_users: Callable[[], int]) -> None:
        self._tally = tally
        self._count_users = count_users
        self._measured_from: tuple[int, float, int | None] | None = None
        self._greenlet = gevent.spawn(self._beat)

    def stop(self) -> None:
        """Take the last reading; the tally's health is final."""
        self._greenlet.kill()
        self._read()

    def _beat(self) -> None:
        next_second_ns = self._tally.origin_ns
        while True:
            due_ns = time.perf_counter_ns() + int(_BEAT_S * 1e9)
            gevent.sleep(_BEAT_S)
            now_ns = time.perf_counter_ns()
            is_warm = now_ns >= self._tally.run_from_ns
            if is_warm:
                self._tally.health.loop_lag.record(max(0, now_ns - due_ns))
                if self._measured_from is None:
                    self._read()
            if now_ns >= next_second_ns:
                next_second_ns = now_ns + 1_000_000_000
                self._tally.record_users(now_ns, self._count_users())
                if is_warm:
                    self._read()

    def _read(self) -> None:
        now_ns, used_s, throttled_us = time.perf_counter_ns(), time.process_time(), _throttled_us()
        if self._measured_from is None:
            self._measured_from = now_ns, used_s, throttled_us
            return
        from_ns, from_s, from_us = self._measured_from
        passed_s = (now_ns - from_ns) / 1e9
        if passed_s <= 0:
            return
        self._tally.health.watched_ns = now_ns - from_ns
        self._tally.health.cpu_share = (used_s - from_s) / passed_s
        if throttled_us is not None and from_us is not None:
            self._tally.health.throttled_share = (throttled_us - from_us) / 1e6 / passed_s


def _throttled_us() -> int | None:
    """Microseconds for which this process's cgroup (version 2) was held back; None where that is not told."""
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        # in a container the group's own folder is the root of what is seen
        stat = next(path for path in (_CGROUP / own / "cpu.stat", _CGROUP / "cpu.stat") if path.exists())
        fields = dict(line.split() for line in stat.read_text().splitlines())
        return int(fields["throttled_usec"])
    except (OSError, StopIteration, KeyError, ValueError):
        return None
