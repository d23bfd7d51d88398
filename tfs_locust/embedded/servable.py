"""A servable: one loaded version of a model, as the calls see it. Knows neither TensorFlow nor batching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tfs_locust.embedded.tensor import Array
from tfs_locust.tfserving import protos

Run = Callable[[Mapping[str, Array], Sequence[str], "float | None"], "list[Array]"]
"""``run(feeds, fetches, timeout_s)``: feeds by tensor name (``serving_default_x:0``) -> the fetched tensors, in order.

Raises ServingError with the code and the text TensorFlow gives. ``timeout_s`` None: it may take forever.
"""

Signatures = Mapping[str, protos.meta_graph_pb2.SignatureDef]


@dataclass(frozen=True, slots=True)
class Servable:
    """One version of one model, ready to run until it is closed."""

    name: str
    version: int
    signatures: Signatures
    run: Run
    close: Callable[[], None]
