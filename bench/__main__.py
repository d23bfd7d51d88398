"""Run the bench: measure, print, and write RESULTS.md."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import checks, footprint, machine, prose, recording, scraping, throughput, truth, workers
from bench.native import NotBuilt, binary
from bench.packages import Missing, provide
from bench.process import ROOT

_PARTS = ("throughput", "truth", "footprint", "checks", "recording", "scraping", "workers")

_WORKERS_S = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    loads: tuple[tuple[str, tuple[int, ...], int, int], ...]
    """Payload, numbers of users, rounds, seconds of each."""
    parts: tuple[str, ...]
    rates: tuple[int, ...]
    rounds: int
    """Of all but the throughput."""
    seconds: int
    workers: tuple[int, ...]
    """Real ones of a master; they run for half a minute, as the next."""
    simulated: tuple[tuple[int, tuple[int, ...]], ...]
    """Requests a second of each, and how many."""


_FULL = Plan(
    loads=(("small", (1, 100, 1000), 3, 5), ("large", (1, 100, 1000), 2, 4)),
    parts=_PARTS,
    rates=(1_000, 5_000, 10_000),
    rounds=3,
    seconds=5,
    workers=(10, 25, 50, 100),
    simulated=((workers.LITTLE, (100, 250, 500, 1000)), (workers.MUCH, (100, 250, 500, 1000))),
)
_QUICK = Plan(
    loads=(("small", (100,), 1, 4),),
    parts=("throughput", "truth", "footprint", "recording", "scraping", "workers"),
    rates=(10_000,),
    rounds=1,
    seconds=4,
    workers=(10, 25),
    simulated=((workers.LITTLE, (100,)),),
)


def main() -> int:
    """Exit code 0, or 2 where something that the bench needs is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="four minutes instead of half an hour, and not written to a file"
    )
    parser.add_argument("--only", choices=_PARTS, nargs="+", metavar="PART", help=", ".join(_PARTS))
    parser.add_argument("--output", type=Path, help="file to write to. Default: bench/RESULTS.md for a full run")
    options = parser.parse_args()
    try:
        provide()
        for program in ("null_server", "paced_client"):
            binary(program)
    except (Missing, NotBuilt) as problem:
        print(problem, file=sys.stderr)
        return 2
    plan = _QUICK if options.quick else _FULL
    parts = options.only or plan.parts
    whole = set(parts) == set(_PARTS)
    output = options.output or (ROOT / "bench" / "RESULTS.md" if plan is _FULL and whole else None)
    begin = time.monotonic()
    text = _results(plan, parts)
    text += f"\nMeasured in {(time.monotonic() - begin) / 60:.0f} minutes.\n"
    print("\n" + text)
    if output:
        output.write_text(text)
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _results(plan: Plan, parts: Sequence[str]) -> str:
    sections = [prose.HEAD.format(facts=machine.facts())]
    if "throughput" in parts:
        sections.append(_throughput(plan))
    if "truth" in parts:
        told = truth.run(plan.rates, rounds=plan.rounds, seconds=plan.seconds, tell=_tell)
        sections.append(prose.TRUTH.format(table=truth.table(told)))
    if "footprint" in parts:
        calm = footprint.calm(seconds=plan.seconds, tell=_tell)
        sections.append(prose.FOOTPRINT.format(calm=calm, starts=footprint.starts(rounds=plan.rounds, tell=_tell)))
    if "checks" in parts:
        sections.append(prose.CHECKS.format(table=checks.run(rounds=plan.rounds, seconds=plan.seconds, tell=_tell)))
    if "recording" in parts:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            recording.main()
        sections.append(prose.RECORDING.format(printed=printed.getvalue()))
    if "scraping" in parts:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            scraping.main()
        sections.append(prose.SCRAPING.format(printed=printed.getvalue()))
    if "workers" in parts:
        costs = workers.run(plan.workers, plan.simulated, seconds=_WORKERS_S, tell=_tell)
        sections.append(prose.WORKERS.format(table=workers.table(costs), growth=workers.growth(costs)))
    return "\n\n".join(sections) + "\n"


def _throughput(plan: Plan) -> str:
    found: throughput.Results = {}
    tables = []
    for payload, users, rounds, seconds in plan.loads:
        of_payload = throughput.run(payload, users, rounds=rounds, seconds=seconds, tell=_tell)
        found |= of_payload
        for protocol, name in (("grpc", "gRPC"), ("rest", "REST")):
            size = throughput.PAYLOADS[payload](protocol).name
            tables.append(f"### {name}, {size}\n\n{throughput.table(of_payload, protocol)}")
    return "\n\n".join([prose.THROUGHPUT.format(noise=throughput.noise(found), goals=throughput.goals(found)), *tables])


if __name__ == "__main__":
    sys.exit(main())
