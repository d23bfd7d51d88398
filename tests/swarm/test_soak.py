"""A soak: what its master and its worker keep does not grow with its length."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.servers import null_server
from tests.swarm.processes import ROOT, Locust, free_port

LENGTH_S = int(os.environ.get("SOAK_S", "1800"))
RATE = 1000
SETTLED_S = LENGTH_S // 3
"""Pools, caches and the fine part of the timeline are full by then: it is five minutes long."""
EVERY_S = 5.0


def resident_kb(pid: int) -> int:
    """The memory that a process has, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.mark.long
@pytest.mark.timeout(LENGTH_S + 300)
def test_memory_stays_as_it_is(locust: Callable[..., Locust], tmp_path: Path) -> None:
    """Half an hour at 1,000/s: after its first third neither master nor worker grows by more than 0.1 MB a minute, all
    that was due was sent, and the server's count is the report's."""
    with null_server(None, tmp_path) as server:
        file, port, results = str(ROOT / "locustfiles" / "grpc_predict.py"), str(free_port()), tmp_path / "results"
        shape = ["--tfs-shape", "soak"]
        for one in ("unit=rate", f"level={RATE}", f"duration={LENGTH_S}s", "ramp=0s"):
            shape += ["--tfs-shape-param", one]
        given = ["-f", file, "--host", f"grpc://127.0.0.1:{server.port}", "--tfs-model", "my_model", "--only-summary"]
        at = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "1"]
        master = locust(*given, *at, "--headless", "-u", "4", *shape, "--tfs-report", str(results))
        worker = locust("-f", file, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
        sampled: dict[str, list[tuple[float, float]]] = {"master": [], "worker": []}
        began_s = time.monotonic()
        while time.monotonic() - began_s < LENGTH_S - EVERY_S:
            assert master.process.poll() is None, master.output
            for name, process in (("master", master), ("worker", worker)):
                sampled[name].append((time.monotonic() - began_s, resident_kb(process.process.pid) / 1024))
            time.sleep(EVERY_S)  # between two looks; nothing is waited for
        assert master.wait(120) == 0, master.output
        answered = int(server.tell()["predicts"])
    report = json.loads((results / "report.json").read_text())
    slopes = {}
    for name, samples in sampled.items():
        settled = [one for one in samples if one[0] > SETTLED_S]
        slopes[name] = statistics.linear_regression(*zip(*settled, strict=True)).slope * 60
        start, middle, end = samples[0][1], settled[0][1], samples[-1][1]
        print(f"{name}: {start:.1f} MB, {middle:.1f} settled, {end:.1f} at the end; {slopes[name]:+.3f} MB a minute")
    print(f"report.json: {(results / 'report.json').stat().st_size / 1e3:.0f} kB; {report['totals']['ok']:,} requests")
    assert all(slope < 0.1 for slope in slopes.values()), sampled
    assert answered == report["totals"]["ok"] == report["totals"]["requests"] == report["offered"]["scheduled"]
    assert answered == pytest.approx(RATE * LENGTH_S, rel=0.01)
