"""How many requests a second from one core, closed loop: ours against the others, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.peers import IN_C, LIBRARY, PLAIN, WIRE, Load, Peer, peers
from bench.round import Round, measure, usable
from bench.table import markdown, median, number, ratio, share, span, times
from bench.workload import large, small

PAYLOADS = {"small": small, "large": large}


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured in each round: one client under one load."""

    peer: Peer
    payload: str
    users: int


Results = dict[Cell, list[Round]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What the fast engines are for: at so many users at least this many times another client, small payloads."""

    ours: Peer
    other: Peer
    users: int
    at_least: float


GOALS = (
    Goal(WIRE["grpc"], PLAIN["grpc"], 100, 8.0),
    Goal(WIRE["grpc"], PLAIN["grpc"], 1000, 6.0),
    Goal(WIRE["grpc"], IN_C["grpc"], 100, 0.6),
    Goal(WIRE["rest"], PLAIN["rest"], 100, 4.0),
)


def run(payload: str, user_counts: Sequence[int], *, rounds: int, seconds: int, tell: Callable[[str], None]) -> Results:
    """Every client at every number of users, one after the other; then all again."""
    cells = [Cell(peer, payload, users) for users in user_counts for protocol in WIRE for peer in peers(protocol)]
    results: Results = {cell: [] for cell in cells}
    payloads = {protocol: PAYLOADS[payload](protocol) for protocol in WIRE}
    for turn in range(rounds):
        for cell in cells:
            one = measure(cell.peer, Load(cell.users, payloads[cell.peer.protocol], seconds))
            results[cell].append(one)
            said = one.problem or f"{one.rate:,.0f}/s, {one.cpu_us:.1f} us each"
            tell(f"{payload} {turn + 1}/{rounds}  {cell.users} users  {cell.peer.name} ({cell.peer.protocol}): {said}")
    return results


def table(results: Results, protocol: str) -> str:
    """A row for each client at each number of users."""
    rows = []
    for cell, measured in results.items():
        if cell.peer.protocol != protocol:
            continue
        good = [one for one in usable(measured) if one]
        problem = next((one.problem for one in measured if one.problem), "")
        wire, library = (results.get(Cell(ours[protocol], cell.payload, cell.users), []) for ours in (WIRE, LIBRARY))
        rows.append(
            [
                f"{cell.users:,} users, {cell.peer.name}",
                number(median(one.rate for one in good)),
                span([one.rate for one in good]),
                times(by_rate(wire, measured)),
                times(by_rate(library, measured)),
                number(median(one.cpu_us for one in good), 1),
                times(by_cpu(wire, measured)),
                times(by_cpu(library, measured)),
                share(median(one.client_share for one in good)),
                share(median(one.server_share for one in good)),
                share(median(one.others_share for one in good)),
                problem,
            ]
        )
    header = (
        *("client", "requests/s", "rounds", "wire is", "library is"),
        *("CPU us/request", "wire is", "library is"),
        *("client's core", "server's core", "all else", "note"),
    )
    return markdown(header, rows)


def goals(results: Results) -> str:
    """The goals, and what was seen."""
    rows = []
    for goal in GOALS:
        ours, other = (results.get(Cell(peer, "small", goal.users), []) for peer in (goal.ours, goal.other))
        seen = by_rate(ours, other), by_cpu(ours, other)
        kept = "not measured" if seen[0] is None else "yes" if seen[0] >= goal.at_least else "no"
        rows.append(
            [
                f"{goal.ours.protocol}, {goal.users:,} users: wire to {goal.other.name}",
                times(goal.at_least),
                times(seen[0]),
                times(seen[1]),
                kept,
            ]
        )
    return markdown(("goal", "at least", "by rate", "by CPU time", "reached by rate"), rows)


def by_rate(ours: Sequence[Round], others: Sequence[Round]) -> float | None:
    """How many times as many requests a second ours makes."""
    above, below = _together(ours, others)
    return ratio(
        [None if one is None else one.rate for one in above], [None if one is None else one.rate for one in below]
    )


def by_cpu(ours: Sequence[Round], others: Sequence[Round]) -> float | None:
    """How many times as many requests ours makes of the same processor time: also where the server was the limit."""
    below, above = _together(ours, others)
    return ratio(
        [None if one is None else one.cpu_us for one in above], [None if one is None else one.cpu_us for one in below]
    )


def _together(one: Sequence[Round], other: Sequence[Round]) -> tuple[Sequence[Round | None], Sequence[Round | None]]:
    """Both without their disturbed rounds, if a pair of rounds is left; else all of both."""
    quiet = usable(one), usable(other)
    if any(a and b for a, b in zip(*quiet, strict=False)):
        return quiet
    return [a if not a.problem else None for a in one], [b if not b.problem else None for b in other]


def noise(results: Results) -> str:
    """A warning where most rounds were disturbed."""
    ran = [one for rounds in results.values() for one in rounds if not one.problem]
    disturbed = [one for one in ran if one.disturbed]
    if len(disturbed) * 2 <= len(ran):
        return ""
    return (
        f"**The machine was busy with something else in {len(disturbed)} of {len(ran)} rounds: "
        "do not rely on ratios by rate.**\n\n"
    )
