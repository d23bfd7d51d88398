"""Warm-up: the requests recorded in a SavedModel are replayed before the version is served.

Source: tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc and saved_model_warmup.cc.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from google.protobuf.message import DecodeError

from tfs_locust.embedded.examples import classify, multi_inference, regress
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.predict import predict
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

_MOST_RECORDS = 1000

ReadRecords = Callable[[str], "Iterable[bytes]"]
"""The records of the TFRecord file at a path; raises ServingError DATA_LOSS."""


def warm_up(servable: Servable, path: str, read_records: ReadRecords, metrics: Metrics, iterations: int = 1) -> None:
    """Run the requests in ``assets.extra`` of the SavedModel at ``path``, if there are any, ``iterations`` times each.

    Raises ServingError for a file that is none, for more than 1000 records, and for any record that fails.
    """
    file = Path(path, "assets.extra", "tf_serving_warmup_requests")
    if not file.is_file():
        return
    started = time.perf_counter()
    records = 0
    failure: ServingError | None = None
    reader = iter(read_records(str(file)))
    while True:
        try:
            record = next(reader, None)
        except ServingError as error:
            failure = error
            break
        if record is None:
            break
        for _ in range(iterations):
            _replay(servable, _parsed(record, file), metrics)
        records += 1
        if records > _MOST_RECORDS:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at {file}"
            )
    status = "OK" if failure is None else f"{failure.code.name}: {failure.message}"
    metrics.observe_warmup(path, status, (time.perf_counter() - started) * 1e6)
    metrics.count_warmup_records(path, status, records)
    if failure is not None:
        raise ServingError(
            failure.code, f"{failure.message}. Please verify your warmup data is in TFRecord format."
        ) from failure


def _parsed(record: bytes, file: Path) -> protos.prediction_log_pb2.PredictionLog:
    try:
        return protos.prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        text = f"Failed to parse warmup record: {record.decode(errors='replace')} from {file}"
        raise ServingError(Code.INVALID_ARGUMENT, text) from None


def _replay(servable: Servable, log: protos.prediction_log_pb2.PredictionLog, metrics: Metrics) -> None:
    match log.WhichOneof("log_type"):
        case "predict_log":
            predict(servable, log.predict_log.request, None, metrics)
        case "classify_log":
            classify(servable, log.classify_log.request, None, metrics)
        case "regress_log":
            regress(servable, log.regress_log.request, None, metrics)
        case "multi_inference_log":
            multi_inference(servable, log.multi_inference_log.request, None, metrics)
        case None:
            pass
        case unsupported:
            number = log.DESCRIPTOR.fields_by_name[unsupported].number
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
