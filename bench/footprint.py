"""What a client costs that does little: 1,000 users at their leisure, and a worker that has just started."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.peers import LIBRARY, PLAIN, WIRE, Load
from bench.process import ROOT, Process, cores, started
from bench.round import Round, measure
from bench.servers import serving
from bench.table import markdown, median, number, share
from bench.workload import MODEL, small

_USERS = 1000
_PER_USER = 1.0
_WITHIN_S = 30.0
_WORKERS = {
    "ours, gRPC": ("grpc", "grpc", "locustfiles/grpc_predict.py"),
    "ours, REST": ("rest", "http", "locustfiles/rest_predict.py"),
    "Locust + grpcio": ("grpc", "http", "bench/locustfiles/plain_grpcio.py"),
    "Locust FastHttpUser": ("rest", "http", "bench/locustfiles/plain_fasthttp.py"),
}
"""Protocol, the host's scheme, locustfile."""


def calm(*, seconds: int, tell: Callable[[str], None]) -> str:
    """Memory and processor time of 1,000 users that call once a second each."""
    rows = []
    for protocol in WIRE:
        for peer in (WIRE[protocol], LIBRARY[protocol], PLAIN[protocol]):
            one = measure(peer, Load(_USERS, small(protocol), seconds, per_user=_PER_USER))
            tell(f"{_USERS} calm users  {peer.name} ({protocol}): {one.problem or f'{one.peak_mb:.0f} MB'}")
            rows.append([f"{protocol}, {peer.name}", *_calm_cells(one), one.problem])
    return markdown(("client", "requests/s", "memory, MB", "share of a core", "CPU us/request", "note"), rows)


def _calm_cells(one: Round) -> list[str]:
    if one.problem:
        return [number(None)] * 4
    return [number(one.server_rate), number(one.peak_mb), share(one.client_share), number(one.cpu_us)]


@dataclass(frozen=True, slots=True)
class Start:
    """A worker's start: seconds until the master knew it as ready, and what it had used by then."""

    seconds: float
    cpu_s: float
    memory_mb: float


def starts(*, rounds: int, tell: Callable[[str], None]) -> str:
    """Time and memory until a worker is ready."""
    results: dict[str, list[Start]] = {name: [] for name in _WORKERS}
    for _ in range(rounds):
        for name, measured in results.items():
            start = _start(*_WORKERS[name])
            if start is not None:
                measured.append(start)
            tell(f"start of a worker, {name}: {f'{start.seconds:.2f} s' if start else 'it never came'}")
    rows = [
        [
            name,
            number(median(start.seconds for start in measured), 2),
            number(median(start.cpu_s for start in measured), 2),
            number(median(start.memory_mb for start in measured)),
        ]
        for name, measured in results.items()
    ]
    return markdown(("worker", "ready after, s", "CPU time until then, s", "memory then, MB"), rows)


def _start(protocol: str, scheme: str, locustfile: str) -> Start | None:
    server_core, client_core = cores()
    with tempfile.TemporaryDirectory() as place, serving(protocol, server_core, Path(place)) as server:
        homes = [Path(place) / name for name in ("master", "worker")]
        for home in homes:
            home.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        body = Path(place) / "body"
        body.write_bytes(small(protocol).body)
        environment = {"BENCH_BODY": str(body), "BENCH_HOST": f"127.0.0.1:{server.port}", "TFS_MODEL": MODEL}
        host = f"{scheme}://127.0.0.1:{server.port}"
        locust = [sys.executable, "-m", "locust", "-f", str(ROOT / locustfile), "--host", host]
        # it waits for a second worker, so that the first only gets ready
        lead = ["--master", "--headless", "--expect-workers", "2"]
        bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        follow = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
        with started([*locust, *lead, *bind], core=server_core, folder=homes[0], environment=environment) as master:
            if not _wait_for("Waiting for workers", master):
                return None
            with started([*locust, *follow], core=client_core, folder=homes[1], environment=environment) as worker:
                if not _wait_for("reported as ready", master):
                    return None
                return Start(time.monotonic() - worker.started, worker.cpu_s(), worker.memory_mb())


def _wait_for(words: str, process: Process) -> bool:
    give_up = time.monotonic() + _WITHIN_S
    while words not in process.output:
        if not process.running or time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True
