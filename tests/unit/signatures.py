"""Signatures for tests, as a server would give them."""

from __future__ import annotations

from tests.unit.metadata import Tensors, grpc_metadata, signature_def
from tfs_locust.tfserving.signature import Signature, from_grpc


def signature_of(inputs: Tensors) -> Signature:
    """The default signature of model ``m`` version 3, with these inputs and one output."""
    answer = grpc_metadata({"serving_default": signature_def(inputs, {"y": ("float", (-1,))})})
    return from_grpc(answer, "serving_default")
