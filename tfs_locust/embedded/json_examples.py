"""The JSON body of a REST classify or regress -> the Examples of its request.

Source: tensorflow_serving/util/json_tensor.cc (FillClassifyRegressRequestFromJson, MakeExampleFromJsonObject,
AddValueToFeature).
"""

from __future__ import annotations

from typing import Any

from tfs_locust.tfserving.protos import classification_pb2, model_pb2, regression_pb2

from .json_reader import Json, JsonObject
from .json_request import (
    decode_base64_object,
    format_error,
    invalid_argument,
    is_base64_object,
    parse,
    raw_bytes,
    signature_name,
    type_name,
    utf8,
)

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def classification_request(body: bytes, spec: model_pb2.ModelSpec) -> classification_pb2.ClassificationRequest:
    """The request to the model ``spec`` names. Raises ServingError."""
    request = classification_pb2.ClassificationRequest()
    _fill(request, body, spec)
    return request


def regression_request(body: bytes, spec: model_pb2.ModelSpec) -> regression_pb2.RegressionRequest:
    """The request to the model ``spec`` names. Raises ServingError."""
    request = regression_pb2.RegressionRequest()
    _fill(request, body, spec)
    return request


def _fill(request: Any, body: bytes, spec: model_pb2.ModelSpec) -> None:
    document = parse(body)
    request.model_spec.CopyFrom(spec)
    request.model_spec.signature_name = utf8(signature_name(document))
    holder = request.input.example_list
    if "context" in document:
        holder = request.input.example_list_with_context
        _fill_example(holder.context, document["context"])
    # a regress without examples is told of classify, too
    if "examples" not in document:
        raise format_error(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise format_error(document, "'examples' value is an empty array")
    for example in examples:
        _fill_example(holder.examples.add(), example)


def _fill_example(example: Any, value: Json) -> None:
    """Fill a tensorflow.Example from an object of features. Raises ServingError."""
    if not isinstance(value, JsonObject):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example.SetInParent()
    for key, content in value.members:
        name = key.partition("\0")[0]  # the server holds names in C strings
        feature = example.features.feature[utf8(name)]
        feature.Clear()  # of two features of one name the last counts
        for element in content if isinstance(content, list) else [content]:
            _add(feature, name, element)


def _add(feature: Any, name: str, value: Json) -> None:
    """Add one value to a feature, whose first value decides its kind. Raises ServingError."""
    if value is None or isinstance(value, list) or (isinstance(value, JsonObject) and not is_base64_object(value)):
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    if isinstance(value, (str, JsonObject)):
        kind = "bytes_list"
    else:
        kind = "float_list" if isinstance(value, float) else "int64_list"
    current = feature.WhichOneof("kind")
    if current not in (None, kind):
        raise invalid_argument(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS.get(current, 'UNKNOWN')}"
        )
    if isinstance(value, int) and value > 2**63 - 1:
        raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    if isinstance(value, JsonObject):
        element: bytes | float = decode_base64_object(value)
    elif isinstance(value, str):
        element = raw_bytes(value)
    else:
        element = int(value) if isinstance(value, bool) else value
    getattr(feature, kind).value.append(element)
