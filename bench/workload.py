"""What is asked and answered in the bench: one model with one input, its metadata, request bodies of a given size."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from google.protobuf import json_format

from tfs_locust.load.corpus import input_shapes, synthetic_inputs
from tfs_locust.tfserving import codec, signature
from tfs_locust.tfserving.protos import get_model_metadata_pb2, meta_graph_pb2, predict_pb2
from tfs_locust.tfserving.target import Target

MODEL = "m"
REST_PATH = f"/v1/models/{MODEL}"
REST_ANSWER = '{"predictions": [[0.5]]}'
_TARGET = Target(MODEL)
_VERSION = 1
_FLOAT = 1  # types.proto: DT_FLOAT


@dataclass(frozen=True, slots=True)
class Payload:
    """A request of one row. ``values`` is how many floats are in it; ``body`` is a message or a JSON document."""

    name: str
    values: int
    body: bytes


def small(protocol: str) -> Payload:
    """1 x 10 floats."""
    return Payload("1 x 10 floats", 10, _body(protocol, 10))


def large(protocol: str) -> Payload:
    """As many floats as make 256 KiB."""
    few = 1000
    bytes_of_one = 4.0 if protocol == "grpc" else len(_body(protocol, few)) / few
    values = int(256 * 1024 / bytes_of_one)
    return Payload("256 KiB", values, _body(protocol, values))


def _body(protocol: str, values: int) -> bytes:
    encode = codec.encode_grpc if protocol == "grpc" else codec.encode_rest
    model = signature.from_grpc(grpc_metadata(), signature.DEFAULT_SIGNATURE)
    inputs = synthetic_inputs(model, input_shapes(model, 1, {"x": [values]}), np.random.default_rng([0, 0]))
    return encode(_TARGET, model, inputs)


def _signatures() -> meta_graph_pb2.SignatureDef:
    """``x``: floats of any width, one row or more; ``y``: one float for each row."""
    one = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for tensors, name, width in ((one.inputs, "x", -1), (one.outputs, "y", 1)):
        tensors[name].name = f"{name}:0"
        tensors[name].dtype = _FLOAT
        for size in (-1, width):
            tensors[name].tensor_shape.dim.add(size=size)
    return one


def grpc_metadata() -> bytes:
    """A GetModelMetadataResponse."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def[signature.DEFAULT_SIGNATURE].CopyFrom(_signatures())
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = MODEL
    response.model_spec.version.value = _VERSION
    response.metadata["signature_def"].Pack(signatures)
    return bytes(response.SerializeToString(deterministic=True))


def grpc_answer() -> bytes:
    """A PredictResponse that names the version, as TensorFlow Serving's do."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = MODEL
    response.model_spec.version.value = _VERSION
    response.model_spec.signature_name = signature.DEFAULT_SIGNATURE
    output = response.outputs["y"]
    output.dtype = _FLOAT
    for size in (1, 1):
        output.tensor_shape.dim.add(size=size)
    output.float_val.append(0.5)
    return bytes(response.SerializeToString(deterministic=True))


def rest_metadata() -> bytes:
    """What ``/v1/models/m/metadata`` answers."""
    one = json_format.MessageToDict(_signatures(), preserving_proto_field_name=True)
    document = {
        "model_spec": {"name": MODEL, "signature_name": "", "version": str(_VERSION)},
        "metadata": {"signature_def": {"signature_def": {signature.DEFAULT_SIGNATURE: one}}},
    }
    return json.dumps(document).encode()
