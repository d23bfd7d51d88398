"""What each optional part of the measuring costs: the same run, with and without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.peers import LIBRARY, WIRE, Load, Peer, missing, ours_command, takes_option
from bench.round import Round, measure
from bench.table import markdown, median, number, ratio, times
from bench.workload import small

_USERS = 100
_BARE = "no objective, no check"
_PARTS: dict[str, tuple[str, ...]] = {
    _BARE: (),
    "two objectives": ("--tfs-slo", "p99<100ms", "--tfs-slo", "error_rate<0.1%"),
    "1 % of answers decoded and checked": ("--tfs-check", "1%"),
    "all answers decoded and checked": ("--tfs-check", "100%"),
}


def run(*, rounds: int, seconds: int, tell: Callable[[str], None]) -> str:
    """gRPC at 100 users, by the fastest engine there is."""
    base = LIBRARY["grpc"] if missing(WIRE["grpc"]) else WIRE["grpc"]
    results: dict[str, list[Round]] = {name: [] for name in _PARTS}
    for _ in range(rounds):
        for name, options in _PARTS.items():
            if absent := next((one for one in options if one.startswith("--") and not takes_option(one)), None):
                results[name].append(Round(f"missing: there is no {absent} yet"))
                continue
            one = measure(_with(base, options), Load(_USERS, small("grpc"), seconds))
            results[name].append(one)
            tell(f"checks  {name}: {one.problem or f'{one.cpu_us:.1f} us each'}")
    rows = []
    for name, measured in results.items():
        good = [one for one in measured if not one.problem]
        dearer = ratio(*([one.cpu_us or None for one in side] for side in (measured, results[_BARE])))
        rows.append(
            [
                name,
                number(median(one.rate for one in good)),
                number(median(one.cpu_us for one in good), 1),
                times(dearer),
                next((one.problem for one in measured if one.problem), ""),
            ]
        )
    return markdown((f"{base.name}, 100 users", "requests/s", "CPU us/request", "of the first", "note"), rows)


def _with(peer: Peer, options: tuple[str, ...]) -> Peer:
    engine = "wire" if peer is WIRE["grpc"] else "library"
    return Peer(peer.name, "grpc", partial(ours_command, "grpc", engine, more=options), peer.claim)
