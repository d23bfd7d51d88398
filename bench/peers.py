"""The clients that are compared: how each is started, and what each says it has done."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from configargparse import ArgumentParser

from bench.process import ROOT
from bench.workload import MODEL, REST_PATH, Payload
from tfs_locust.swarm.options import add_options
from tfs_locust.tfserving.protos import PREDICT

SETTLING_S = 1
"""How long a client runs before it is looked at; tools with a warm-up of their own are given this one."""
_LOCUST = (sys.executable, "-m", "locust", "--headless", "--only-summary", "--loglevel", "WARNING")
_OWN_FILES = ROOT / "bench" / "locustfiles"


@dataclass(frozen=True, slots=True)
class Load:
    """What a client is to do. ``seconds`` is all the time it runs, settling included."""

    users: int
    payload: Payload
    seconds: int
    per_user: float | None = None
    """Requests a second that each user keeps to; None: one after the other."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a client is started."""

    arguments: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client says: all that it counted as answered, what failed, and its rate when it had settled."""

    answered: int
    failed: int
    rate: float


class NoClaim(Exception):  # noqa: N818 - it reads as what happened
    """The client left no result that can be read; the text says what it wrote instead."""


@dataclass(frozen=True, slots=True)
class Peer:
    """``command`` takes a load, the server's port and a folder for files; ``claim`` reads that folder afterwards."""

    name: str
    protocol: str
    command: Callable[[Load, int, Path], Command]
    claim: Callable[[Load, Path, str], Claim]


# ours


def ours_command(
    protocol: str, engine: str, load: Load, port: int, folder: Path, *, more: tuple[str, ...] | None = None
) -> Command:
    """A run of the example locustfile with all that the measuring core has switched on, or with ``more`` instead."""
    scheme = {"grpc": "grpc", "rest": "http"}[protocol]
    arguments = [
        *_LOCUST,
        *("--host", f"{scheme}://127.0.0.1:{port}", "--run-time", f"{load.seconds}s"),
        *("--users", str(load.users), "--spawn-rate", str(load.users)),
        *("--tfs-model", MODEL, "--tfs-dim", f"x={load.payload.values}", "--tfs-warmup", f"{SETTLING_S}s"),
        # a pool of the default size, unless it would be megabytes
        *("--tfs-payloads", "64" if load.payload.values <= 1000 else "8"),
        *(("--tfs-slo", "p99<100ms", "--tfs-slo", "error_rate<0.1%") if more is None else more),
        *("--tfs-report", str(folder)),
    ]
    if takes_option("--tfs-engine"):
        arguments += ["--tfs-engine", engine]
    if load.per_user is None:
        return Command([*arguments, "-f", str(ROOT / "locustfiles" / f"{protocol}_predict.py")])
    user_class = {"grpc": "CalmGrpc", "rest": "CalmRest"}[protocol]
    return Command([*arguments, "-f", str(_OWN_FILES / "calm.py"), user_class], {"BENCH_PER_USER": str(load.per_user)})


def _ours_claim(_: Load, folder: Path, output: str) -> Claim:
    report = folder / "report.json"
    if not report.exists():
        raise NoClaim(_last_line(output))
    result = json.loads(report.read_text())
    totals, warmup = result["totals"], result["warmup"]
    return Claim(
        answered=totals["ok"] + warmup["ok"],
        failed=totals["failed"] + warmup["failed"],
        rate=result["throughput"]["requests_per_s"] or 0.0,
    )


@cache
def takes_option(option: str) -> bool:
    """Whether a run of ours knows an option: the bench measures what there is, and names what is missing."""
    parser = ArgumentParser(add_help=False)
    add_options(parser)
    return option in parser.format_usage().replace("[", " ").split()


# other users of Locust


def _plain_command(locustfile: str, load: Load, port: int, folder: Path) -> Command:
    body = folder / "body"
    body.write_bytes(load.payload.body)
    environment = {"BENCH_HOST": f"127.0.0.1:{port}", "BENCH_BODY": str(body)}
    if load.per_user is not None:
        environment["BENCH_PER_USER"] = str(load.per_user)
    arguments = [
        *_LOCUST,
        *("-f", str(_OWN_FILES / locustfile), "--host", f"http://127.0.0.1:{port}", "--run-time", f"{load.seconds}s"),
        *("--users", str(load.users), "--spawn-rate", str(load.users), "--json-file", str(folder / "stats")),
    ]
    return Command(arguments, environment)


def _plain_claim(_: Load, folder: Path, output: str) -> Claim:
    stats = folder / "stats.json"
    rows = json.loads(stats.read_text()) if stats.exists() else []
    if not rows:
        raise NoClaim(_last_line(output))
    requests, failed = (sum(row[field] for row in rows) for field in ("num_requests", "num_failures"))
    seconds: dict[int, int] = {}
    for row in rows:
        for second, count in row["num_reqs_per_sec"].items():
            seconds[int(second)] = seconds.get(int(second), 0) + count
    # the first seconds hold the start, and the last is not a whole one
    whole = [count for second, count in sorted(seconds.items())][1 + SETTLING_S : -1]
    return Claim(requests - failed, failed, sum(whole) / len(whole) if whole else 0.0)


# other tools


def _h2load_command(load: Load, port: int, folder: Path) -> Command:
    body = folder / "body"
    message = load.payload.body
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)  # gRPC's prefix: not compressed, length
    arguments = [
        *("h2load", "--threads=1", "--clients=1", f"--max-concurrent-streams={load.users}"),
        *(f"--warm-up-time={SETTLING_S}", f"--duration={load.seconds - SETTLING_S}", f"--data={body}"),
        *("--header=content-type: application/grpc", "--header=te: trailers"),
        f"http://127.0.0.1:{port}{PREDICT}",
    ]
    return Command(arguments)


def _h2load_claim(load: Load, _: Path, output: str) -> Claim:
    found = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    if found is None:
        raise NoClaim(_last_line(output))
    succeeded, failed, errored, late = map(int, found.groups())
    return Claim(succeeded, failed + errored + late, succeeded / (load.seconds - SETTLING_S))


_WRK_SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
function done(summary)
   local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
   io.write(string.format("\\ncounted %d in %d us, %d failed\\n", summary.requests, summary.duration, failed))
end
"""


def _wrk_command(load: Load, port: int, folder: Path) -> Command:
    body, script = folder / "body", folder / "post.lua"
    body.write_bytes(load.payload.body)
    script.write_text(_WRK_SCRIPT.format(body=body))
    arguments = [
        *("wrk", "--threads", "1", "--connections", str(load.users), "--duration", f"{load.seconds}s"),
        *("--script", str(script), f"http://127.0.0.1:{port}{REST_PATH}:predict"),
    ]
    return Command(arguments)


def _wrk_claim(_: Load, __: Path, output: str) -> Claim:
    found = re.search(r"counted (\d+) in (\d+) us, (\d+) failed", output)
    if found is None:
        raise NoClaim(_last_line(output))
    requests, duration_us, failed = map(int, found.groups())
    return Claim(requests, failed, requests / (duration_us / 1e6))


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"


def ours(protocol: str, engine: str) -> Peer:
    """One of our engines."""
    return Peer(f"ours, {engine}", protocol, partial(ours_command, protocol, engine), _ours_claim)


WIRE = {protocol: ours(protocol, "wire") for protocol in ("grpc", "rest")}
LIBRARY = {protocol: ours(protocol, "library") for protocol in ("grpc", "rest")}
PLAIN = {
    "grpc": Peer("Locust + grpcio", "grpc", partial(_plain_command, "plain_grpcio.py"), _plain_claim),
    "rest": Peer("Locust FastHttpUser", "rest", partial(_plain_command, "plain_fasthttp.py"), _plain_claim),
}
IN_C = {
    "grpc": Peer("h2load", "grpc", _h2load_command, _h2load_claim),
    "rest": Peer("wrk", "rest", _wrk_command, _wrk_claim),
}


def peers(protocol: str) -> list[Peer]:
    """All that speak it, ours first."""
    return [kind[protocol] for kind in (WIRE, LIBRARY, PLAIN, IN_C)]


def missing(peer: Peer) -> str:
    """Why a peer cannot be tried at all; empty where it can."""
    if peer in WIRE.values() and not takes_option("--tfs-engine"):
        return "missing: there is no --tfs-engine yet"
    if peer in IN_C.values() and not shutil.which(peer.name):
        return f"missing: {peer.name} is not installed"
    return ""
