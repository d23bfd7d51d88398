"""Rows that are chosen: what they are worth, against every size that could be chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.swarm.batched import Batched, running_batched
from tests.swarm.processes import Locust

Start = Callable[..., Locust]


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("parameters", "most", "users"),
    [
        ("max_batch_size { value: 16 } batch_timeout_micros { value: 5000 } "
         "allowed_batch_sizes: 4 allowed_batch_sizes: 8 allowed_batch_sizes: 16", 16, 12),
        ("max_batch_size { value: 12 } batch_timeout_micros { value: 2000 }", 12, 3),
        ("max_batch_size { value: 12 } batch_timeout_micros { value: 10000 } max_enqueued_batches { value: 99 } "
         "allowed_batch_sizes: 6 allowed_batch_sizes: 12", 12, 30),
    ],
    ids=["sizes", "few-users", "many-users"],
)  # fmt: skip
def test_auto_against_every_size(parameters: str, most: int, users: int, locust: Start, tmp_path: Path) -> None:
    """``auto`` pads nothing, and carries at least 90 % of the rows a second of the best of all fixed sizes."""
    with running_batched(tmp_path, parameters) as server:
        swept = {size: _rows_per_s(server, locust, str(size), users)[0] for size in range(1, most + 1)}
        auto, padding = _rows_per_s(server, locust, "auto", users)
    print({size: round(rate) for size, rate in swept.items()}, round(auto))  # what a reader of a failure wants to see
    assert padding == 0
    assert auto >= 0.9 * max(swept.values())


def _rows_per_s(server: Batched, locust: Start, size: str, users: int) -> tuple[float, float]:
    """Rows a second, and the share of padding by the server's own count."""
    run = locust(*server.arguments("--tfs-rows", size, users=users, run_time="3s"))
    assert run.wait() == 0, run.output
    result: dict[str, Any] = json.loads((run.folder / "out" / "report.json").read_text())
    return result["throughput"]["rows_per_s"], result["server"]["batching"]["padding_ratio"]
