"""tfs_locust: a distributed load generator for TensorFlow Serving, built on Locust."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfs_locust.load.arrival import constant, poisson, trace
    from tfs_locust.load.rows import rows
    from tfs_locust.measure.sample import Outcome, Sample
    from tfs_locust.swarm.users import GrpcPredictUser, PredictError, Prediction, RestPredictUser

# name -> module; imported when first used, because Locust patches the process on import and the command line need not
_HOMES = {
    "Expected": "tfs_locust.tfserving.expectation",
    "GrpcPredictUser": "tfs_locust.swarm.users",
    "Outcome": "tfs_locust.measure.sample",
    "PredictError": "tfs_locust.swarm.users",
    "Prediction": "tfs_locust.swarm.users",
    "RestPredictUser": "tfs_locust.swarm.users",
    "Sample": "tfs_locust.measure.sample",
    "constant": "tfs_locust.load.arrival",
    "poisson": "tfs_locust.load.arrival",
    "rows": "tfs_locust.load.rows",
    "trace": "tfs_locust.load.arrival",
}

__all__ = [
    "Expected",
    "GrpcPredictUser",
    "Outcome",
    "PredictError",
    "Prediction",
    "RestPredictUser",
    "Sample",
    "constant",
    "poisson",
    "rows",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
