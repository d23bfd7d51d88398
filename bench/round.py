"""One round: a fresh server, one client, and what both say about it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.peers import SETTLING_S, Load, NoClaim, Peer, missing
from bench.process import Process, cores, machine_cpu_s, started
from bench.servers import COUNTED_AFTER_S, Server, serving

_STARTS_WITHIN_S = 30.0
_ENDS_WITHIN_S = 30.0
_QUIET_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Round:
    """What was measured; ``problem`` says why it is not to be used, and then the numbers mean nothing."""

    problem: str = ""
    rate: float = 0.0
    """Requests per second, by the client's own report."""
    server_rate: float = 0.0
    """The same by the server's count, over a window of its own."""
    cpu_us: float = 0.0
    """Processor time of the client for each request that the server answered, user and system."""
    client_share: float = 0.0
    """Of a core, in that window."""
    server_share: float = 0.0
    others_share: float = 0.0
    """What all else on the machine used, in cores: it was taken from the client, the server, or neither."""
    peak_mb: float = 0.0

    @property
    def disturbed(self) -> bool:
        """Whether the machine was busy with something else, so that the rates say little."""
        return self.others_share > _QUIET_SHARE


def usable(rounds: Iterable[Round]) -> list[Round | None]:
    """The rounds in their order, None for one without a result; and for disturbed ones, if others are there."""
    good = [None if one.problem else one for one in rounds]
    quiet = [None if one is None or one.disturbed else one for one in good]
    return quiet if any(quiet) else good


def measure(peer: Peer, load: Load) -> Round:
    """Let the client run, and look at both processes from one second after the first answer to one before the end."""
    problem = missing(peer)
    if problem:
        return Round(problem)
    server_core, client_core = cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(peer.protocol, server_core, folder) as server:
            command = peer.command(load, server.port, folder)
            with started(command.arguments, core=client_core, folder=folder, environment=command.environment) as client:
                watched = _watch(server, client, load.seconds - 2 * SETTLING_S)
                ended = client.wait(_ENDS_WITHIN_S)
                output = client.output
            try:
                claim = peer.claim(load, folder, output)
            except NoClaim as reason:
                return Round(f"did not run: {reason}")
            time.sleep(COUNTED_AFTER_S)
            answered = server.answered()
    if not ended or watched is None:
        return Round("it did not end in time" if watched else "it ended before it could be watched")
    if claim.failed:
        return Round(f"{claim.failed} requests failed")
    if claim.answered > answered:
        return Round(f"not believed: it says {claim.answered}, and the server answered {answered}")
    return Round("", claim.rate, *watched)


def _watch(server: Server, client: Process, window_s: float) -> tuple[float, ...] | None:
    """The fields of a Round from ``server_rate`` on; None where the client ended before."""
    give_up = time.monotonic() + _STARTS_WITHIN_S
    while server.answered() < 2:  # the first may have been a question for the metadata
        if not client.running or time.monotonic() > give_up:
            return None
        time.sleep(0.02)
    time.sleep(SETTLING_S)

    def look() -> tuple[float, ...]:
        return time.monotonic(), server.answered(), client.cpu_s(), server.process.cpu_s(), machine_cpu_s()

    try:
        before = look()
        time.sleep(window_s)
        after = look()
        peak_mb = client.peak_mb()
    except FileNotFoundError:
        return None
    passed_s, answered, client_s, server_s, all_s = (b - a for a, b in zip(before, after, strict=True))
    if not answered:
        return None
    others_s = max(0.0, all_s - client_s - server_s)
    return (
        answered / passed_s,
        client_s / answered * 1e6,
        client_s / passed_s,
        server_s / passed_s,
        others_s / passed_s,
        peak_mb,
    )
