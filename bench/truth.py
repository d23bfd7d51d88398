"""Whether the times we report are true: a fixed rate against a server that answers after 5 ms and keeps its own count.

Of the same requests tell the server (from when it had read one to when it had written the answer) and a client: one of
our engines, or a client in C++ that does nothing else. What a client tells beyond the server's own time is the way
there and back, and its error.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import workload
from bench.native import binary
from bench.peers import LIBRARY, SETTLING_S, WIRE, Load, Peer, missing
from bench.process import ROOT, Process, cores, started
from bench.servers import COUNTED_AFTER_S, null_server
from bench.table import markdown, median, number

DELAY_US = 5000
IN_C = "client in C++"
_ENGINES = {peer.name: peer for peer in (WIRE["grpc"], LIBRARY["grpc"])}
_PACED = ROOT / "bench" / "locustfiles" / "paced.py"
_USERS = 200
_WITHIN_S = 30.0
_SPARE_S = 2  # the run lasts longer than its schedule


class Quantiles(NamedTuple):
    """In milliseconds."""

    p50: float
    p99: float
    p99_9: float


class Told(NamedTuple):
    """What a client tells of all it was answered, and of the times after its first second."""

    answered: int
    service: Quantiles
    send_lag: Quantiles
    response: Quantiles | None
    """From when a request was due."""


class Times(NamedTuple):
    """One run, told by both sides."""

    client: Told
    server: Quantiles


class Untrue(Exception):  # noqa: N818 - it reads as what happened
    """A run that shows nothing; the text says why."""


Results = dict[tuple[int, str], "list[Times | Untrue]"]


def run(rates: Sequence[int], *, rounds: int, seconds: int, tell: Callable[[str], None]) -> Results:
    """Every client at every rate, one after the other; then all again."""
    results: Results = {(rate, name): [] for rate in rates for name in (*_ENGINES, IN_C)}
    for turn in range(rounds):
        for (rate, name), measured in results.items():
            try:
                one = _measure(name, rate, seconds)
                said = f"p99 {one.client.service.p99:.2f} ms, by the server {one.server.p99:.2f}"
                measured.append(one)
            except Untrue as problem:
                said = str(problem)
                measured.append(problem)
            tell(f"truth {turn + 1}/{rounds}  {rate:,}/s  {name}: {said}")
    return results


def _measure(name: str, rate: int, seconds: int) -> Times:
    engine = _ENGINES.get(name)
    if engine and (problem := missing(engine)):
        raise Untrue(problem)
    server_core, client_core = cores()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with null_server(server_core, folder, delay_us=DELAY_US) as server:
            command = (
                _paced(engine, server.port, seconds, folder) if engine else _in_c(server.port, rate, seconds, folder)
            )
            environment = {"BENCH_RATE": str(rate), "BENCH_REQUESTS": str(rate * seconds)}
            with started(command, core=client_core, folder=folder, environment=environment) as client:
                give_up = time.monotonic() + _WITHIN_S
                while not server.tell()["predicts"] and client.running and time.monotonic() < give_up:
                    time.sleep(0.01)
                time.sleep(SETTLING_S)
                server.tell()  # it forgets the times of the first second, as the clients do
                client.wait(_WITHIN_S + seconds)
                time.sleep(COUNTED_AFTER_S)
                counted = server.tell()
                told = _read_report(folder, client) if engine else _read_output(client)
    if told.answered != counted["predicts"]:
        raise Untrue(f"not believed: it says {told.answered}, and the server answered {counted['predicts']}")
    return Times(told, _quantiles(counted["delay_us"], 1e-3))


def _paced(engine: Peer, port: int, seconds: int, folder: Path) -> list[str]:
    load = Load(_USERS, workload.small("grpc"), seconds + _SPARE_S)
    arguments = engine.command(load, port, folder).arguments
    return [*arguments[: arguments.index("-f")], "-f", str(_PACED)]


def _read_report(folder: Path, client: Process) -> Told:
    report = folder / "report.json"
    if not report.exists():
        raise Untrue(f"did not run: {client.output.strip()[-200:]}")
    result = json.loads(report.read_text())
    totals, warmup = result["totals"], result["warmup"]
    if totals["failed"] + warmup["failed"]:
        raise Untrue(f"requests failed: {result['failures']}")
    (worker,) = result["workers"]
    return Told(
        answered=totals["ok"] + warmup["ok"],
        service=_quantiles(result["service_time_s"], 1e3),
        send_lag=_quantiles(worker["send_lag_s"], 1e3),
        response=_quantiles(result["response_time_s"], 1e3),
    )


def _in_c(port: int, rate: int, seconds: int, folder: Path) -> list[str]:
    request = folder / "request"
    request.write_bytes(workload.small("grpc").body)
    return [str(binary("paced_client")), str(port), str(request), str(rate), str(seconds)]


def _read_output(client: Process) -> Told:
    try:
        result = json.loads(client.output)
    except ValueError:
        raise Untrue(f"did not run: {client.output.strip()[-200:]}") from None
    return Told(
        answered=result["answered"],
        service=_quantiles(result["service_us"], 1e-3),
        send_lag=_quantiles(result["send_lag_us"], 1e-3),
        response=None,
    )


def _quantiles(values: Mapping[str, Any], to_ms: float) -> Quantiles:
    return Quantiles(*(values[name] * to_ms for name in Quantiles._fields))


def table(results: Results) -> str:
    """A row for each client at each rate; medians of the rounds."""
    header = (
        *("rate, client", "p50", "p99", "p99.9", "server's p50", "p99", "p99.9"),
        *("beyond it at p50", "p99", "p99.9", "send lag p50", "p99", "response p99", "note"),
    )
    return markdown(header, [_row(f"{rate:,}/s, {name}", measured) for (rate, name), measured in results.items()])


def _row(title: str, measured: list[Times | Untrue]) -> list[str]:
    good = [one for one in measured if isinstance(one, Times)]
    problem = next((str(one) for one in measured if isinstance(one, Untrue)), "")
    beyond = [Quantiles(*(a - b for a, b in zip(one.client.service, one.server, strict=True))) for one in good]
    lags = [one.client.send_lag for one in good]
    responses = [one.client.response for one in good if one.client.response]
    return [
        title,
        *_medians([one.client.service for one in good]),
        *_medians([one.server for one in good]),
        *_medians(beyond),
        *_medians(lags)[:2],
        _medians(responses)[1],
        problem,
    ]


def _medians(rounds: list[Quantiles]) -> list[str]:
    """Milliseconds: of each quantile the median of the rounds."""
    return [number(median(one[position] for one in rounds), 2) for position in range(len(Quantiles._fields))]
