"""Inputs into request bytes, answer bytes into outputs: PredictRequest messages for gRPC, JSON documents for REST.

Requests are encoded before the run and answers decoded on demand, so nothing here is on the hot path but
:func:`served_version`.

Sources: tensorflow_serving/apis/predict.proto; tensorflow_serving/util/json_tensor.cc and g3doc/api_rest.md.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from tfs_locust.tfserving.protos import predict_pb2
from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import Array, TensorError, cast, decode_tensor, encode_tensor

Inputs = Mapping[str, Array]


class CodecError(ValueError):
    """Inputs that do not fit the signature, or an answer that cannot be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded answer. ``version`` is the version that served it; None where the protocol does not tell (REST)."""

    outputs: dict[str, Array]
    version: int | None


def check_inputs(signature: Signature, inputs: Inputs) -> None:
    """Raise CodecError listing every input that is missing, unknown, of the wrong type or of the wrong shape."""
    specs = {spec.name: spec for spec in signature.inputs}
    faults = [f"input {name!r} is missing" for name in specs if name not in inputs]
    for name, array in inputs.items():
        if name not in specs:
            faults.append(f"input {name!r} is not in the signature, which takes: {', '.join(specs) or 'none'}")
            continue
        spec = specs[name]
        if spec.dtype.is_string != (array.dtype.kind in "OSU"):
            faults.append(f"input {name!r} takes {spec.dtype.name}, not an array of {array.dtype}")
        if spec.shape is not None and not _fits(array.shape, spec.shape):
            faults.append(f"input {spec}: an array of shape {list(array.shape)} does not fit")
    if faults:
        raise CodecError("; ".join(faults))


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w is None or w == s for s, w in zip(shape, wanted, strict=True))


def rows_of(signature: Signature, inputs: Inputs) -> int:
    """Rows in one request: the first dimension where the signature leaves it open in any input, else 1."""
    for spec in signature.inputs:
        if (spec.shape is None or (spec.shape and spec.shape[0] is None)) and inputs[spec.name].ndim:
            return int(inputs[spec.name].shape[0])
    return 1


# gRPC


def encode_grpc(target: Target, signature: Signature, inputs: Inputs) -> bytes:
    """A serialised PredictRequest. Raises CodecError where the inputs do not fit the signature."""
    check_inputs(signature, inputs)
    request = predict_pb2.PredictRequest(model_spec=target.model_spec())
    for spec in signature.inputs:
        try:
            request.inputs[spec.name].CopyFrom(encode_tensor(inputs[spec.name], spec.dtype))
        except TensorError as error:
            raise CodecError(f"input {spec.name!r}: {error}") from error
    return bytes(request.SerializeToString(deterministic=True))


def spec_field(target: Target) -> bytes:
    """The part of a serialised PredictRequest that names the target. With what :func:`without_spec` gives it makes a
    whole one: a message is its fields, in any order (protobuf encoding specification)."""
    return bytes(predict_pb2.PredictRequest(model_spec=target.model_spec()).SerializeToString(deterministic=True))


def without_spec(body: bytes) -> bytes:
    """A serialised PredictRequest without its model_spec, the other fields as they are. Raises CodecError."""
    kept, position = b"", 0
    try:
        while position < len(body):
            start = position
            tag, position = _varint(body, position)
            if tag & 7 != _LENGTH:
                raise CodecError(f"the body is no PredictRequest: a field of wire type {tag & 7} at byte {start}")
            length, position = _varint(body, position)
            position += length
            if tag != _REQUEST_SPEC_TAG:
                kept += body[start:position]
    except IndexError:
        position = len(body) + 1
    if position != len(body):
        raise CodecError("the body is no PredictRequest: it is cut off")
    return kept


def decode_grpc(body: bytes) -> Answer:
    """The outputs in a serialised PredictResponse. Raises CodecError."""
    try:
        response = predict_pb2.PredictResponse.FromString(body)
        outputs = {name: decode_tensor(tensor) for name, tensor in response.outputs.items()}
    except (DecodeError, TensorError) as error:
        raise CodecError(f"the answer is no readable PredictResponse: {error}") from error
    spec = response.model_spec
    return Answer(outputs, spec.version.value if spec.HasField("version") else None)


_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MODEL_SPEC_TAG = 2 << 3 | _LENGTH
_REQUEST_SPEC_TAG = 1 << 3 | _LENGTH


def served_version(body: bytes, known: dict[bytes, str]) -> str:
    """The version in a PredictResponse's model_spec, as digits; empty where it names none or cannot be read.

    Skips over the outputs by their lengths and parses nothing: model_spec's bytes repeat from answer to answer, so
    ``known`` (owned by the caller) remembers what they mean.
    """
    field = _model_spec_field(body)
    version = known.get(field)
    if version is None:
        try:
            spec = predict_pb2.PredictResponse.FromString(field).model_spec
        except DecodeError:
            return ""
        version = known[field] = str(spec.version.value) if spec.HasField("version") else ""
    return version


def version_tail(body: bytes) -> bytes:
    """The bytes of model_spec where they are the last of a PredictResponse, as servers write it; else empty.

    An answer of the same model that ends with the same bytes was served by the same version.
    """
    field = _model_spec_field(body)
    return field if field and body.endswith(field) else b""


def _model_spec_field(body: bytes) -> bytes:
    """The field with its tag and length; empty where there is none."""
    position, end = 0, len(body)
    try:
        while position < end:
            start = position
            tag, position = _varint(body, position)
            if tag & 7 != _LENGTH:
                return b""
            length, position = _varint(body, position)
            position += length
            if tag == _MODEL_SPEC_TAG:
                return body[start:position]
    except IndexError:
        return b""
    return b""


def _varint(body: bytes, position: int) -> tuple[int, int]:
    byte = body[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while True:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


# REST


def encode_rest(target: Target, signature: Signature, inputs: Inputs) -> bytes:
    """A JSON document for ``:predict``: rows (``instances``) where every input is a batch, else columns (``inputs``).

    Raises CodecError where the inputs do not fit the signature or REST does not accept their type.
    """
    check_inputs(signature, inputs)
    for spec in signature.inputs:
        if not spec.dtype.in_json:
            raise CodecError(
                f"input {spec.name!r} is {spec.dtype.name}, which TensorFlow Serving's REST interface does not "
                "accept; use gRPC"
            )
    document: dict[str, Any] = {}
    if target.signature != Target("").signature:
        document["signature_name"] = target.signature
    columns = {spec.name: _to_json(inputs[spec.name], spec) for spec in signature.inputs}
    if _is_batch(signature, inputs):
        names = list(columns)
        if len(names) == 1:
            document["instances"] = columns[names[0]]
        else:
            document["instances"] = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        document["inputs"] = columns
    return json.dumps(document, separators=(",", ":")).encode()


def _is_batch(signature: Signature, inputs: Inputs) -> bool:
    """Whether all inputs share an open first dimension of at least one row (an empty ``instances`` is refused)."""
    if not signature.inputs:
        return False
    sizes = set()
    for spec in signature.inputs:
        array = inputs[spec.name]
        if (spec.shape is not None and (not spec.shape or spec.shape[0] is not None)) or not array.ndim:
            return False
        sizes.add(array.shape[0])
    return len(sizes) == 1 and 0 not in sizes


def _to_json(array: Array, spec: TensorSpec) -> Any:
    """Nested lists; bytes that are not plain UTF-8 text as ``{"b64": ...}``; floats in their shortest exact digits."""
    if spec.dtype.is_string:
        try:
            return _strings_to_json(array.tolist())
        except UnicodeEncodeError as error:
            raise CodecError(f"input {spec.name!r}: {error.object!r} is no text: {error.reason}") from error
    if not np.can_cast(array.dtype, spec.dtype.numpy, casting="same_kind"):
        raise CodecError(f"input {spec.name!r}: an array of {array.dtype} does not fit a tensor of {spec.dtype.name}")
    try:
        array = cast(array, spec.dtype)
    except TensorError as error:
        raise CodecError(f"input {spec.name!r}: {error}") from error
    if array.dtype == np.float32:
        # the digits that tell this float32 from its neighbours, not those of the double it would widen to
        array = array.astype(np.str_).astype(np.float64)
    return array.tolist()


def _strings_to_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_strings_to_json(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode("ascii")}
    text = str(value)
    text.encode()  # half a surrogate pair is no text
    return text


def decode_rest(body: bytes, signature: Signature) -> Answer:
    """The outputs in a ``:predict`` answer, rows or columns, with the signature's types. Raises CodecError."""
    try:
        document = json.loads(body.decode("utf-8", errors="surrogateescape"))
    except ValueError as error:
        raise CodecError(f"the answer is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise CodecError("the answer is no JSON object")
    names = [spec.name for spec in signature.outputs]
    if "predictions" in document:
        rows = document["predictions"]
        if not isinstance(rows, list):
            raise CodecError("'predictions' in the answer is no list")
        columns = {names[0]: rows} if len(names) == 1 else _columns(rows, names)
    elif "outputs" in document:
        value = document["outputs"]
        columns = {names[0]: value} if len(names) == 1 else value
    else:
        raise CodecError(f"the answer has neither 'predictions' nor 'outputs', but: {', '.join(map(str, document))}")
    try:
        outputs = {spec.name: _from_json(columns[spec.name], spec) for spec in signature.outputs}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CodecError(f"the answer does not hold the signature's outputs {', '.join(names)}: {error!r}") from error
    return Answer(outputs, None)


def _columns(rows: Sequence[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    try:
        return {name: [row[name] for row in rows] for name in names}
    except (KeyError, TypeError) as error:
        raise CodecError(f"a row of 'predictions' does not hold the outputs {', '.join(names)}") from error


def _from_json(value: Any, spec: TensorSpec) -> Array:
    if not spec.dtype.is_string:
        return np.asarray(value, dtype=spec.dtype.numpy)
    shape: list[int] = []
    probe = value
    while isinstance(probe, list):
        shape.append(len(probe))
        probe = probe[0] if probe else None
    array: Array = np.empty(shape, dtype=np.object_)
    array.reshape(-1)[:] = [_string(item) for item in _leaves(value)]
    return array


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list) else [value]


def _string(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return str(value).encode("utf-8", errors="surrogateescape")
