"""What the bench makes of a master's ledger, and that simulated workers say what real ones would."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.workers import Cost, Kind, _cost, growth
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.snapshot import Snapshot

with pytest.MonkeyPatch.context() as _patched:
    _patched.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")  # the tests beside these want the process as it is
    from locust.rpc.protocol import Message

    from bench.simulated_workers import script


def line(at_s: float, state: str, users: int, **more: Any) -> dict[str, Any]:
    """A line of a ledger, of a master that uses a tenth of a core and reads ten reports of 1 kB a second."""
    reports = int(at_s * 10)
    usual = {"cpu_s": at_s / 10, "late_s": 0.001, "silent": 0, "memory_kb": 1000, "peak_kb": 2000}
    counts = {"messages": {"stats": reports}, "bytes": {"stats": reports * 1000, "heartbeat": reports * 100}}
    return {"at_s": at_s, "state": state, "users": users, **usual, **counts, **more}


def test_a_ledger_is_read_from_when_all_users_have_settled() -> None:
    """What came before, and what the end costs, is not in the figures of the run."""
    lines = [line(0, "ready", 0, late_s=9.0), line(1, "running", 5, late_s=9.0, silent=5)]
    lines += [line(second, "running", 10, silent=2 if second == 20 else 0) for second in range(2, 30)]
    lines += [line(30, "stopping", 10, late_s=0.5), line(31.5, "stopped", 0)]
    cost = _cost(lines, {"requests": 7})
    assert (cost.cpu_share, cost.cpu_us, cost.reports, cost.report_bytes) == (0.1, 10_000, 10, 1000)
    assert (cost.bytes_per_s, cost.peak_mb, cost.late_ms, cost.missed, cost.requests) == (11_000, 2, 1, 2, 7)
    assert (cost.ending_s, cost.ending_late_ms) == (2.5, 500)


def test_growth_is_a_straight_line() -> None:
    """Through all masters of a kind that ran."""
    shares = {10: 0.02, 20: 0.03, 40: 0.05}
    told = growth({Kind(True, 5): {**{count: Cost(cpu_share=one) for count, one in shares.items()}, 80: Cost("lost")}})
    assert [cell.strip() for cell in told.splitlines()[2].split("|")[1:5]] == [
        *("simulated, 5/s each", "0.100%", "1.0%", "1.0000")
    ]


def test_a_script_tells_all_of_its_requests() -> None:
    """Its live reports, then its last one, make a complete worker; the master's count is the script's."""
    says = script(20, 9, random.Random(1))
    live = [Message.unserialize(one).data["tfs"]["snapshot"] for one in says.live]
    aggregate = Aggregate()
    for snapshot in live:
        aggregate.accept(Snapshot.from_wire(snapshot))
    assert len(live) == 3
    assert sum(cell.count for cell in aggregate.view().cells.values()) == 180
    aggregate.accept(Snapshot.from_wire(Message.unserialize(says.final).data["snapshot"]))
    assert aggregate.waiting_for() == []
    assert sum(second.count for second in aggregate.view().timeline.values()) == says.requests == 180


def test_a_live_report_is_as_small_as_documented() -> None:
    """Of 10,000 requests a second below 75 kB, of 5 below 12 kB after half a minute; Locust's statistics included."""
    assert max(map(len, script(10_000, 3, random.Random(1)).live)) < 75_000
    assert max(map(len, script(5, 30, random.Random(1)).live)) < 12_000
