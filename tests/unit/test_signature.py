"""A model's signature is read from its metadata, over gRPC and REST alike."""

from __future__ import annotations

import pytest

from tests.unit.metadata import grpc_metadata, rest_metadata, signature_def
from tfs_locust.tfserving.signature import (
    Signature,
    SignatureError,
    from_grpc,
    from_rest,
    names_in_grpc,
    names_in_rest,
)

SIGNATURES = {
    "serving_default": signature_def({"b": ("int64", (-1,)), "a": ("float", (-1, 2))}, {"y": ("bfloat16", None)}),
    "other": signature_def({"s": ("string", ())}, {"z": ("bool", (4,))}),
    "__saved_model_init_op": signature_def({}, {"init": ("invalid", None)}),
}


def _described(signature: Signature) -> list[str]:
    return [str(spec) for spec in (*signature.inputs, *signature.outputs)]


def test_both_interfaces_give_the_same_signature() -> None:
    """Names, types and shapes are equal, sorted by name; open sizes are None, an unknown rank is no shape."""
    over_grpc = from_grpc(grpc_metadata(SIGNATURES), "serving_default")
    assert over_grpc == from_rest(rest_metadata(SIGNATURES), "serving_default")
    assert (over_grpc.model, over_grpc.version) == ("m", 3)
    assert _described(over_grpc) == ["a: float [?, 2]", "b: int64 [?]", "y: bfloat16, any rank"]
    assert [spec.shape for spec in over_grpc.inputs] == [(None, 2), (None,)]
    assert over_grpc.outputs[0].shape is None


def test_a_scalar_has_an_empty_shape() -> None:
    """A rank of 0 is known, and is not an unknown rank."""
    assert from_grpc(grpc_metadata(SIGNATURES), "other").inputs[0].shape == ()


def test_only_callable_signatures_are_listed() -> None:
    """TensorFlow's own init op is not offered."""
    assert names_in_grpc(grpc_metadata(SIGNATURES)) == ["other", "serving_default"]
    assert names_in_rest(rest_metadata(SIGNATURES)) == ["other", "serving_default"]


def test_an_unknown_signature_names_those_that_exist() -> None:
    """The error says which signatures the version has."""
    with pytest.raises(SignatureError, match="'m' version 3 has no signature 'nope'; it has: other, serving_default"):
        from_grpc(grpc_metadata(SIGNATURES), "nope")


def test_an_input_that_no_request_can_carry_is_named() -> None:
    """A resource input cannot be sent: the error names the input and its type."""
    signatures = {"serving_default": signature_def({"handle": ("resource", ())}, {})}
    with pytest.raises(SignatureError, match="'handle': data type DT_RESOURCE is not supported"):
        from_grpc(grpc_metadata(signatures), "serving_default")
