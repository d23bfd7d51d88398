"""Requests in TensorFlow Serving's own logs: TFRecord files of PredictionLog, as request logging and warm-up have them.

Sources: tensorflow_serving/apis/prediction_log.proto; servables/tensorflow/saved_model_warmup_util.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.fitting import Given, is_batch, misfits
from tfs_locust.load.tfrecord import read_records
from tfs_locust.tfserving.protos import predict_pb2, prediction_log_pb2, tensor_pb2, types_pb2
from tfs_locust.tfserving.signature import Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import Array, TensorError, decode_tensor, tensor_fault

_PREDICT_LOG, _REQUEST = 6, 1
"""Field numbers, in PredictionLog and in PredictLog."""
_LENGTH_DELIMITED = 2


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One Predict request out of a log."""

    place: str
    message: predict_pb2.PredictRequest
    rows: int
    _record: bytes

    def as_logged(self) -> bytes:
        """The request's bytes as they stand in the log."""
        predict_log = _message_in(self._record, _PREDICT_LOG)
        request = None if predict_log is None else _message_in(predict_log, _REQUEST)
        return bytes(self.message.SerializeToString()) if request is None else request

    def addressed_to(self, target: Target) -> bytes:
        """The request with ``target``'s model, version and signature in place of its own."""
        request = predict_pb2.PredictRequest()
        request.CopyFrom(self.message)
        request.model_spec.CopyFrom(target.model_spec())
        return bytes(request.SerializeToString(deterministic=True))

    def inputs(self) -> dict[str, Array]:
        """Its inputs as arrays. Raises CorpusError."""
        arrays = {}
        for name, tensor in self.message.inputs.items():
            try:
                arrays[name] = decode_tensor(tensor)
            except TensorError as error:
                raise CorpusError(f"{self.place}: input {name!r}: {error}") from error
        return arrays


def read_requests(path: Path, signature: Signature) -> Iterator[LoggedRequest]:
    """The requests of a log in order, checked. Raises CorpusError with file and record number."""
    for number, record in read_records(path):
        place = f"{path}, record {number}"
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise CorpusError(f"{place}: its {len(record)} bytes are no PredictionLog") from error
        kind = log.WhichOneof("log_type")
        if kind != "predict_log":
            raise CorpusError(f"{place}: is {kind or 'empty'}; only requests of predict_log can be sent")
        request = log.predict_log.request
        tensors = dict(sorted(request.inputs.items()))  # a map of protobuf has no order of its own
        shapes = {name: tuple(dim.size for dim in tensor.tensor_shape.dim) for name, tensor in tensors.items()}
        given = {name: _given(tensor, shapes[name], signature, name) for name, tensor in tensors.items()}
        faults = misfits(signature, given) or [
            f"input {name!r}: {fault}" for name, tensor in tensors.items() if (fault := tensor_fault(tensor))
        ]
        rows = {name: shapes[name][0] for name in _batches(signature) if not faults and shapes[name]}
        if len(set(rows.values())) > 1:
            faults.append("numbers of rows differ: " + ", ".join(f"{size} in {name!r}" for name, size in rows.items()))
        if 0 in rows.values():
            faults.append("holds no row")
        if faults:
            raise CorpusError(f"{place}: {'; '.join(faults)}")
        yield LoggedRequest(place, request, next(iter(rows.values()), 1), record)


def log_record(request: bytes) -> bytes:
    """A PredictionLog with a serialised PredictRequest in it, as a record of a warm-up file."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.ParseFromString(request)
    return bytes(log.SerializeToString(deterministic=True))


def _given(tensor: tensor_pb2.TensorProto, shape: tuple[int, ...], signature: Signature, name: str) -> Given:
    fits = any(spec.name == name and spec.dtype.number == tensor.dtype for spec in signature.inputs)
    known = tensor.dtype in types_pb2.DataType.values()
    dtype = types_pb2.DataType.Name(tensor.dtype).removeprefix("DT_").lower() if known else f"type {tensor.dtype}"
    return Given(dtype, shape, fits)


def _batches(signature: Signature) -> list[str]:
    return [spec.name for spec in signature.inputs if is_batch(spec)]


def _message_in(body: bytes, number: int) -> bytes | None:
    """The bytes of a message's field, out of a body that parses; None where it is not there exactly once, whole."""
    found = []
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        if tag & 7 != _LENGTH_DELIMITED:
            return None  # no field that these logs have
        length, position = _varint(body, position)
        if tag >> 3 == number:
            found.append(body[position : position + length])
        position += length
    return found[0] if len(found) == 1 else None


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
