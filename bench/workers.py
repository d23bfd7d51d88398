"""What a master costs for each of its workers: real ones up to a hundred, simulated ones up to a thousand.

The master is a real one, on the servers' core, and keeps a ledger of itself (bench/locustfiles/ledger.py). Real workers
are processes that send little, to a null server that counts; simulated ones are many in one process
(bench/simulated_workers.py).
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import correlation, linear_regression
from typing import Any

from bench.process import ROOT, Process, cores, started
from bench.servers import COUNTED_AFTER_S, NullServer, null_server
from bench.table import markdown, number
from bench.workload import MODEL

LITTLE, MUCH = 5, 10_000
"""Requests a second of each worker: as real ones are given, and as much as one carries."""
_USERS = 2  # of each worker
_LEDGER = ROOT / "bench" / "locustfiles" / "ledger.py"
_SETTLING_S = 6.0  # after the first line in which all users are there: all workers have reported twice
_WATCHED_S = 9.0  # at the least
_STARTS_S = 0.6  # of a run, for each real worker: it uses up to a third of that until its users are there
_WITHIN_S = 180.0
_ANY_PACE = "send_lag=none | loop_lag=none | cpu=none | throttled=none"


@dataclass(frozen=True, slots=True)
class Kind:
    """Which workers."""

    simulated: bool
    rate: int
    """Requests a second of each."""

    @property
    def name(self) -> str:
        return f"{'simulated' if self.simulated else 'real'}, {self.rate:,}/s each"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a master used while its workers sent load; ``problem`` says why it is not to be used."""

    problem: str = ""
    cpu_share: float = 0.0
    """Of a core."""
    cpu_us: float = 0.0
    """For each report, heartbeats and all else included."""
    reports: float = 0.0
    """A second."""
    report_bytes: float = 0.0
    """Of a report."""
    bytes_per_s: float = 0.0
    """Of all messages to the master."""
    peak_mb: float = 0.0
    late_ms: float = 0.0
    """The latest that the event loop was."""
    missed: int = 0
    """Workers of which no heartbeat came for three seconds."""
    ending_s: float = 0.0
    """From the end of the load until the verdict was there."""
    ending_late_ms: float = 0.0
    """The latest that the event loop was in that time."""
    requests: int = 0
    """As reported, and as counted by the server or the simulated workers: they are equal."""
    answered_ms: float | None = None
    """The longest that a heartbeat waited for its answer, in the whole run."""


Results = dict[Kind, dict[int, Cost]]


def run(
    real: Sequence[int], simulated: Sequence[tuple[int, Sequence[int]]], *, seconds: int, tell: Callable[[str], None]
) -> Results:
    """Masters of so many real workers; then, for each rate, of so many simulated ones."""
    results: Results = {}
    for kind, counts in ((Kind(False, LITTLE), real), *((Kind(True, rate), counts) for rate, counts in simulated)):
        for count in counts:
            cost = measure(kind, count, seconds)
            said = cost.problem or f"{cost.cpu_share:.1%} of a core, {cost.cpu_us:.0f} us for each report"
            tell(f"{count} workers, {kind.name}: {said}")
            results.setdefault(kind, {})[count] = cost
    return results


def measure(kind: Kind, count: int, seconds: int) -> Cost:
    """One run of ``seconds`` with ``count`` workers."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with (
            null_server(cores()[0], folder) as server,
            _master(server, kind, count, seconds, folder) as (master, port),
            _workers(kind, count, port, seconds, folder) as workers,
        ):
            if not master.wait(_WITHIN_S + seconds) or not workers.wait(30):
                return Cost(f"it did not end in time: {master.output[-300:]}")
            time.sleep(COUNTED_AFTER_S)
            counted = server.tell()["predicts"]
            heard = json.loads(workers.output) if kind.simulated else {"requests": counted}
        report = folder / "report.json"
        if not report.exists():
            return Cost(f"did not run: {master.output[-300:]}")
        result = json.loads(report.read_text())
        reported = result["totals"]["requests"] + result["warmup"]["requests"]
        if reported != heard["requests"]:
            return Cost(f"not believed: {reported:,} requests are reported, and {heard['requests']:,} were counted")
        lines = [json.loads(line) for line in (folder / "ledger").read_text().splitlines()]
        return _cost(lines, heard)


def _cost(lines: Sequence[Mapping[str, Any]], heard: Mapping[str, Any]) -> Cost:
    all_users = max(line["users"] for line in lines)
    running = [line for line in lines if line["state"] == "running" and line["users"] == all_users]
    watched = [line for line in running if line["at_s"] > running[0]["at_s"] + _SETTLING_S]
    if len(watched) < 2 or watched[-1]["at_s"] - watched[0]["at_s"] < _WATCHED_S:
        return Cost("the run was too short to be watched")
    first, last = watched[0], watched[-1]
    passed_s, used_s = last["at_s"] - first["at_s"], last["cpu_s"] - first["cpu_s"]
    reports = last["messages"]["stats"] - first["messages"]["stats"]
    after = lines[lines.index(last) :]
    return Cost(
        cpu_share=used_s / passed_s,
        cpu_us=used_s / reports * 1e6,
        reports=reports / passed_s,
        report_bytes=(last["bytes"]["stats"] - first["bytes"]["stats"]) / reports,
        bytes_per_s=(sum(last["bytes"].values()) - sum(first["bytes"].values())) / passed_s,
        peak_mb=lines[-1]["peak_kb"] / 1000,
        late_ms=max(line["late_s"] for line in watched) * 1e3,
        missed=max(line["silent"] for line in watched),
        ending_s=after[-1]["at_s"] - last["at_s"],
        ending_late_ms=max(line["late_s"] for line in after[1:]) * 1e3,
        requests=heard["requests"],
        answered_ms=heard["answered_longest_s"] * 1e3 if "answered_longest_s" in heard else None,
    )


@contextmanager
def _master(server: NullServer, kind: Kind, count: int, seconds: int, folder: Path) -> Iterator[tuple[Process, int]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    home = folder / "master"
    home.mkdir()
    # simulated ones have something new to say for so long
    run_s = seconds + (3 if kind.simulated else _STARTS_S * count)
    command = [
        *(sys.executable, "-m", "locust", "-f", str(_LEDGER), "--headless", "--only-summary", "--master"),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", str(port), "--expect-workers", str(count)),
        *("--host", f"grpc://127.0.0.1:{server.port}", "--users", str(_USERS * count)),
        *("--spawn-rate", str(_USERS * count), "--run-time", f"{run_s:.0f}s"),
        *("--tfs-model", MODEL, "--tfs-dim", "x=10", "--tfs-limit", _ANY_PACE, "--tfs-metrics-port", "off"),
        *("--tfs-report", str(folder)),
    ]
    environment = {**_environment(kind), "BENCH_LEDGER": str(folder / "ledger")}
    with started(command, core=cores()[0], folder=home, environment=environment) as master:
        give_up = time.monotonic() + 30
        while "Waiting for workers" not in master.output and master.running and time.monotonic() < give_up:
            time.sleep(0.05)
        yield master, port


@contextmanager
def _workers(kind: Kind, count: int, port: int, seconds: int, folder: Path) -> Iterator[Process]:
    home = folder / "workers"
    home.mkdir()
    if kind.simulated:
        command = [sys.executable, "-m", "bench.simulated_workers", *map(str, (port, count, kind.rate, seconds))]
    else:
        command = [
            *(sys.executable, "-m", "locust", "-f", str(_LEDGER), "--worker"),
            *("--processes", str(count), "--master-host", "127.0.0.1", "--master-port", str(port)),
            *("--tfs-metrics-port", "off"),
        ]
    # a hundred processes do not keep to one core
    core = cores()[1] if kind.simulated else None
    with started(command, core=core, folder=home, environment=_environment(kind)) as workers:
        yield workers


def _environment(kind: Kind) -> dict[str, str]:
    return {"BENCH_PER_USER": str(kind.rate / _USERS)}


def table(results: Results) -> str:
    """A row for each master."""
    header = (
        *("workers", "CPU", "CPU us/report", "reports/s", "bytes/report", "kB/s to it", "memory, MB"),
        *("loop late, ms", "heartbeats missed", "answered within, ms", "verdict after, s", "loop late then, ms"),
        *("requests", "note"),
    )
    return markdown(
        header,
        (
            [f"{count:,} {kind.name}", *_cells(cost), cost.problem]
            for kind, costs in results.items()
            for count, cost in costs.items()
        ),
    )


def _cells(cost: Cost) -> list[str]:
    if cost.problem:
        return [number(None)] * 12
    return [
        f"{cost.cpu_share:.1%}",
        number(cost.cpu_us),
        number(cost.reports, 1),
        number(cost.report_bytes),
        number(cost.bytes_per_s / 1000),
        number(cost.peak_mb),
        number(cost.late_ms),
        number(cost.missed),
        number(cost.answered_ms),
        number(cost.ending_s, 1),
        number(cost.ending_late_ms),
        number(cost.requests),
    ]


def growth(results: Results) -> str:
    """A straight line through the processor time of each kind: what a worker adds, and how far off the line is."""
    rows = []
    for kind, costs in results.items():
        shares = {count: cost.cpu_share for count, cost in costs.items() if not cost.problem}
        if len(shares) < 3:
            continue
        line = linear_regression(list(shares), list(shares.values()))
        off = [share - (line.intercept + line.slope * count) for count, share in shares.items()]
        rows.append(
            [
                kind.name,
                f"{line.slope:.3%}",
                f"{line.intercept:.1%}",
                number(correlation(list(shares), list(shares.values())) ** 2, 4),
                ", ".join(f"{one:+.1%}" for one in off),
            ]
        )
    return markdown(("workers", "a worker adds", "with none", "r^2", "off the line"), rows)
