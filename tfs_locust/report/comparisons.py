"""What was compared pair by pair: the section ``comparisons``, and how it is told in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfs_locust.measure.paired import Paired, PairedKey
from tfs_locust.report import units

CONFIDENCE = 0.95
_NAMES = {"grpc": "gRPC", "rest": "REST"}


def comparisons(pairs: Mapping[PairedKey, Paired]) -> list[dict[str, Any]]:
    """A row for each user class that is compared with another."""
    return [_row(key, paired) for key, paired in sorted(pairs.items())]


def _row(key: PairedKey, paired: Paired) -> dict[str, Any]:
    bounds = paired.bounds(CONFIDENCE)

    def of_pairs(total: float) -> float | None:
        return total / paired.pairs if paired.pairs else None

    return {
        **key._asdict(),
        "pairs": paired.pairs,
        "unpaired": paired.unpaired,
        "ratio": paired.ratio,
        "lower": bounds and bounds[0],
        "upper": bounds and bounds[1],
        "confidence": CONFIDENCE,
        "scenario_faster": of_pairs(paired.scenario_faster),
        "against_faster": of_pairs(paired.against_faster),
        "scenario_mean_s": of_pairs(paired.scenario_ns / 1e9),
        "against_mean_s": of_pairs(paired.against_ns / 1e9),
        "mean_difference_s": of_pairs((paired.against_ns - paired.scenario_ns) / 1e9),
        "log_ratio_mean": paired.mean_x,
        "log_ratio_deviation": paired.deviation_x,
    }


def names(row: Mapping[str, Any]) -> tuple[str, str]:
    """What the two are called: by their protocols, where these differ, else by their classes."""
    if row["protocol"] != row["against_protocol"]:
        return _NAMES.get(row["protocol"], row["protocol"]), _NAMES.get(
            row["against_protocol"], row["against_protocol"]
        )
    return row["scenario"], row["against"]


def lines(result: Mapping[str, Any]) -> list[str]:
    """A sentence for each comparison: ``REST takes 1.43 times gRPC's service time (1.4 to 1.46, 12,345 pairs)``."""
    rows = result.get("comparisons", [])
    return [(f"{row['scenario']}: " if len(rows) > 1 else "") + sentence(row) for row in rows]


def sentence(row: Mapping[str, Any]) -> str:
    """How the two compare, in one line."""
    own, other = names(row)
    failed = f"; {units.count(row['unpaired'])} with a failure left out" if row["unpaired"] else ""
    if row["ratio"] is None:
        return f"{other} and {own} cannot be compared: no pair ended well{failed}"
    pairs = f"{units.count(row['pairs'])} pair{'s' * (row['pairs'] != 1)}"
    if row["lower"] is None:
        sure = f"{pairs}, too few for bounds"
    else:
        sure = f"{units.number(row['lower'])} to {units.number(row['upper'])}, {pairs}"
        if row["lower"] <= 1 <= row["upper"]:
            sure += ": no difference is proved"
    return f"{other} takes {units.number(row['ratio'])} times {own}'s service time ({sure}{failed})"
