"""What a model accepts and gives: names, types and shapes, as its metadata states them.

Reads the answers of GetModelMetadata (tensorflow_serving/apis/get_model_metadata.proto) and of REST's ``/metadata``,
which is the same message as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from tfs_locust.tfserving.protos import get_model_metadata_pb2, meta_graph_pb2
from tfs_locust.tfserving.tensor import DType, TensorError, dtype_of

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output. ``shape`` has None for a size that is not fixed; a ``shape`` of None is an unknown rank."""

    name: str
    dtype: DType
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name}: {self.dtype.name}, any rank"
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype.name} [{sizes}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of one served version of a model. Inputs and outputs are sorted by name."""

    model: str
    version: int
    name: str
    method: str
    """``tensorflow/serving/predict`` or its siblings; Predict may call any of them."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class SignatureError(ValueError):
    """Metadata that holds no usable signature of that name; the text says which names there are."""


def from_grpc(answer: bytes, name: str) -> Signature:
    """The signature ``name`` in the bytes of a GetModelMetadataResponse. Raises SignatureError."""
    response = get_model_metadata_pb2.GetModelMetadataResponse.FromString(answer)
    return _pick(response.model_spec.name, response.model_spec.version.value, _signatures(response), name)


def from_rest(answer: bytes, name: str) -> Signature:
    """The signature ``name`` in the JSON of ``/v1/models/MODEL/metadata``. Raises SignatureError."""
    document: dict[str, Any] = json.loads(answer)
    spec = document["model_spec"]
    signatures = meta_graph_pb2.MetaGraphDef()
    json_format.ParseDict(
        {"signatureDef": document["metadata"]["signature_def"]["signature_def"]}, signatures, ignore_unknown_fields=True
    )
    return _pick(spec["name"], int(spec["version"]), dict(signatures.signature_def), name)


def names_in_grpc(answer: bytes) -> list[str]:
    """The names of all signatures a client can call."""
    response = get_model_metadata_pb2.GetModelMetadataResponse.FromString(answer)
    return _callable_names(_signatures(response))


def names_in_rest(answer: bytes) -> list[str]:
    """The names of all signatures a client can call."""
    return _callable_names(json.loads(answer)["metadata"]["signature_def"]["signature_def"])


def _signatures(response: get_model_metadata_pb2.GetModelMetadataResponse) -> dict[str, Any]:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return dict(signatures.signature_def)


def _callable_names(signatures: dict[str, Any]) -> list[str]:
    # "__saved_model_init_op" and its like are TensorFlow's own and cannot be called
    return sorted(name for name in signatures if not name.startswith("__"))


def _pick(model: str, version: int, signatures: dict[str, Any], name: str) -> Signature:
    if name not in signatures:
        there = ", ".join(_callable_names(signatures)) or "none"
        raise SignatureError(f"model {model!r} version {version} has no signature {name!r}; it has: {there}")
    chosen = signatures[name]
    try:
        return Signature(
            model, version, name, chosen.method_name, _tensor_specs(chosen.inputs), _tensor_specs(chosen.outputs)
        )
    except TensorError as error:
        raise SignatureError(f"signature {name!r} of model {model!r}: {error}") from error


def _tensor_specs(infos: Any) -> tuple[TensorSpec, ...]:
    specs = []
    for alias in sorted(infos):
        info = infos[alias]
        if info.tensor_shape.unknown_rank:
            shape = None
        else:
            shape = tuple(None if dim.size < 0 else int(dim.size) for dim in info.tensor_shape.dim)
        try:
            specs.append(TensorSpec(alias, dtype_of(info.dtype), shape))
        except TensorError as error:
            raise TensorError(f"{alias!r}: {error}") from error
    return tuple(specs)
