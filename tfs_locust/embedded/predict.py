"""Predict on one servable: named tensors in, named tensors out.

Source: tensorflow_serving/servables/tensorflow/predict_util.cc; GetInputValues of tensorflow/cc/saved_model/util.cc.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import Array, TensorParsingError, tensor_from_proto, tensor_to_proto
from tfs_locust.tfserving import protos

DEFAULT_SIGNATURE = "serving_default"


def predict(
    servable: Servable,
    request: protos.predict_pb2.PredictRequest,
    timeout_s: float | None,
    metrics: Metrics,
    *,
    as_content: bool = False,
) -> protos.predict_pb2.PredictResponse:
    """Run the signature the request names; ``as_content`` puts output values into ``tensor_content``."""
    spec = request.model_spec
    signature_name = spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(signature_name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.')
    feeds = _feeds(signature, request)
    fetches = _fetches(signature, request.output_filter)
    started = time.perf_counter()
    outputs = servable.run(feeds, list(fetches.values()), timeout_s)
    metrics.observe_runtime_latency(spec.name, "Predict", (time.perf_counter() - started) * 1e6)
    response = protos.predict_pb2.PredictResponse()
    fill_model_spec(response.model_spec, spec, servable)
    for alias, array in zip(fetches, outputs, strict=True):
        tensor_to_proto(array, response.outputs[alias], as_content=as_content)
    return response


def fill_model_spec(
    answered: protos.model_pb2.ModelSpec, asked: protos.model_pb2.ModelSpec, servable: Servable
) -> None:
    """Say in ``answered`` what was run: the name as asked for, the signature, the version."""
    answered.name = asked.name
    answered.signature_name = asked.signature_name or DEFAULT_SIGNATURE
    answered.version.value = servable.version


def _feeds(
    signature: protos.meta_graph_pb2.SignatureDef, request: protos.predict_pb2.PredictRequest
) -> dict[str, Array]:
    """The request's tensors, or the signature's defaults, by tensor name."""
    given, wanted, defaults = request.inputs, signature.inputs, signature.defaults
    if len(given) > len(wanted) or (len(given) < len(wanted) and not defaults):
        raise ServingError(
            Code.INVALID_ARGUMENT,
            f"input size does not match signature: {len(given)}!={len(wanted)} len({_set(given)}) != "
            f"len({_set(wanted)}). Sent extra: {_set(given.keys() - wanted.keys())}. "
            f"Missing but required: {_set(wanted.keys() - given.keys())}.",
        )
    feeds = {}
    for alias in sorted(wanted):
        name = wanted[alias].name
        proto = given.get(alias) or defaults.get(alias)
        if proto is None:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Signature input alias: {alias}(feed name: {name}) not found in request and no default value "
                f"provided. Inputs expected to be in the request {_set(given)}, or default input alias set: "
                f"{','.join(sorted(defaults))}",
            )
        try:
            feeds[name] = tensor_from_proto(proto)
        except TensorParsingError:
            raise ServingError(Code.INVALID_ARGUMENT, f"tensor parsing error: {alias}") from None
    return feeds


def _fetches(signature: protos.meta_graph_pb2.SignatureDef, output_filter: Iterable[str]) -> dict[str, str]:
    """Tensor names by output alias: those of the filter, or all."""
    fetches: dict[str, str] = {}
    for alias in output_filter:
        if alias not in signature.outputs:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{_set(signature.outputs)}.",
            )
        if alias in fetches:
            raise ServingError(Code.INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
        fetches[alias] = signature.outputs[alias].name
    return fetches or {alias: info.name for alias, info in signature.outputs.items()}


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
