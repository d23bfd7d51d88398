"""How the answers spread over the addresses that gave them: ``peers``, ``peer_skew``, and the line that tells both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfs_locust.measure.view import Worker
from tfs_locust.report import units


def peers(workers: Iterable[Worker]) -> dict[str, int]:
    """Answers by the address that gave them, of all workers."""
    total: dict[str, int] = {}
    for worker in workers:
        for peer, answers in worker.peers.items():
            total[peer] = total.get(peer, 0) + answers
    return dict(sorted(total.items()))


def skew(answers: Mapping[str, int]) -> float | None:
    """How many times its even share the busiest address gave: 1 is even. None for fewer than two addresses."""
    return max(answers.values()) * len(answers) / sum(answers.values()) if len(answers) > 1 else None


def line(result: Mapping[str, Any]) -> str:
    """``answers by address: 10.0.0.1:8500 200, 10.0.0.2:8500 100; the busiest gave 1.33 times its even share``.

    Empty where one address gave all, or none is known.
    """
    answers = result["peers"]
    factor = skew(answers)  # reports of before it was in them have what it is made of
    if factor is None:
        return ""
    told = ", ".join(f"{peer} {units.count(number)}" for peer, number in answers.items())
    return f"answers by address: {told}; the busiest gave {factor:.2f} times its even share"
