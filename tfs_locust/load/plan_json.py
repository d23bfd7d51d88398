"""A plan as plain data, for reports and for ``tfs-locust plan --json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfs_locust.load.advice import Statement
from tfs_locust.load.plan import Plan


def as_json(plan: Plan, told: Sequence[Statement]) -> dict[str, Any]:
    """The plan as plain data."""
    expected = plan.expected
    return {
        "protocol": plan.protocol,
        "cpus": plan.setup.cpus,
        "rows": str(plan.rows),
        "mean_rows": float(plan.rows.mean),
        "users": plan.demand.users,
        "rate_per_s": plan.demand.rate_per_s,
        "calls_at_once": plan.calls_at_once,
        "in_flight": plan.in_flight,
        "batch_threads": plan.setup.batch_threads,
        "largest_batch": plan.largest_batch,
        "in_flight_to_fill": plan.in_flight_to_fill,
        "queue_rows": plan.queue_rows,
        "queue_requests": plan.queue_requests,
        "fitting_rows": list(plan.fitting_rows),
        "rows_too_large": list(plan.too_large),
        "expected": None
        if expected is None
        else {
            "mean_rows_per_batch": expected.mean_rows_per_batch,
            "requests_per_batch": expected.calls_per_batch,
            "fill_ratio": plan.fill_ratio,
            "padding_ratio": expected.padding_ratio,
            "mean_queueing_s": expected.mean_queueing_s,
            "batch_fixed_s": plan.cost.fixed_s,
            "batch_per_row_s": plan.cost.per_row_s,
        },
        "statements": [{"id": one.id, "warning": one.warning, "sentence": one.sentence} for one in told],
    }
