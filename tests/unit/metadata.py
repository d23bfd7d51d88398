"""Metadata answers for tests, as a server would give them, over either interface."""

from __future__ import annotations

import json
from collections.abc import Mapping

from google.protobuf import json_format

from tfs_locust.tfserving.protos import get_model_metadata_pb2, meta_graph_pb2, types_pb2

Shape = "tuple[int, ...] | None"
Tensors = Mapping[str, "tuple[str, tuple[int, ...] | None]"]
"""Alias -> type name and shape; -1 for an open size, None for an unknown rank."""


def signature_def(inputs: Tensors, outputs: Tensors) -> meta_graph_pb2.SignatureDef:
    """A predict signature."""
    made = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for tensors, infos in ((inputs, made.inputs), (outputs, made.outputs)):
        for alias, (dtype, shape) in tensors.items():
            info = infos[alias]
            info.name = f"{alias}:0"
            info.dtype = types_pb2.DataType.Value(f"DT_{dtype.upper()}")
            if shape is None:
                info.tensor_shape.unknown_rank = True
            else:
                for size in shape:
                    info.tensor_shape.dim.add(size=size)
    return made


def grpc_metadata(signatures: Mapping[str, meta_graph_pb2.SignatureDef], model: str = "m", version: int = 3) -> bytes:
    """A serialised GetModelMetadataResponse."""
    holder = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in signatures.items():
        holder.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version
    response.metadata["signature_def"].Pack(holder)
    return bytes(response.SerializeToString())


def rest_metadata(signatures: Mapping[str, meta_graph_pb2.SignatureDef], model: str = "m", version: int = 3) -> bytes:
    """The JSON of ``/v1/models/MODEL/metadata``."""
    return json.dumps(
        {
            "model_spec": {"name": model, "version": str(version), "signature_name": ""},
            "metadata": {
                "signature_def": {
                    "signature_def": {
                        name: json_format.MessageToDict(
                            signature, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
                        )
                        for name, signature in signatures.items()
                    }
                }
            },
        }
    ).encode()
