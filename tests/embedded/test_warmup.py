"""Recorded requests replayed before a version serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.warmup import warm_up
from tfs_locust.tfserving import protos

_SIGNATURE = text_format.Parse(
    'inputs { key: "inputs" value { name: "x:0" } } outputs { key: "outputs" value { name: "y:0" } }',
    protos.meta_graph_pb2.SignatureDef(),
)
_PREDICT = """predict_log { request { model_spec { name: "m" }
    inputs { key: "inputs" value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1 } } } }"""
_REGRESS = 'regress_log { request { model_spec { name: "m" } input { example_list { examples {} } } } }'


class _Counted:
    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, *_: Any) -> list[Any]:
        self.runs += 1
        return [np.zeros(1, np.float32)]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A version's folder with a warm-up file; its content comes from elsewhere."""
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "tf_serving_warmup_requests").touch()
    return str(tmp_path)


def _servable(run: Any) -> Servable:
    return Servable("m", 1, {"serving_default": _SIGNATURE}, run, lambda: None)


def _record(text: str) -> bytes:
    return bytes(text_format.Parse(text, protos.prediction_log_pb2.PredictionLog()).SerializeToString())


def test_requests_are_replayed(path: str) -> None:
    """Each record runs as often as asked for; records without a log are passed over."""
    run, metrics = _Counted(), Metrics()
    records = [_record(_PREDICT), _record(_REGRESS), b""]
    warm_up(_servable(run), path, lambda _: records, metrics, iterations=2)
    assert run.runs == 4
    page = metrics.page().splitlines()
    assert f':tensorflow:serving:model_warmup_records_read{{model_path="{path}",status="OK"}} 3' in page
    assert f':tensorflow:serving:model_warmup_latency_count{{model_path="{path}",status="OK"}} 1' in page


def test_no_file_is_fine(tmp_path: Path) -> None:
    """Warm-up is optional."""
    warm_up(_servable(_Counted()), str(tmp_path), lambda _: pytest.fail("read"), Metrics())


def test_a_thousand_records_and_no_more(path: str) -> None:
    """The record after the thousandth fails the load."""
    warm_up(_servable(_Counted()), path, lambda _: [b""] * 1000, Metrics())
    with pytest.raises(ServingError) as error:
        warm_up(_servable(_Counted()), path, lambda _: [b""] * 1001, Metrics())
    assert error.value.code is Code.INVALID_ARGUMENT
    assert error.value.message == (
        f"Number of warmup records exceeds the maximum (1000) at {path}/assets.extra/tf_serving_warmup_requests"
    )


@pytest.mark.parametrize(
    ("record", "code", "text"),
    [
        (_record(_PREDICT.replace("inputs {", 'output_filter: "z" inputs {', 1)), Code.INVALID_ARGUMENT, "not found"),
        (_record("session_run_log {}"), Code.UNIMPLEMENTED, "Unsupported log_type for warmup: 5"),
        (b"\xff\xff", Code.INVALID_ARGUMENT, "Failed to parse warmup record: "),
    ],
)
def test_a_failing_record_fails_the_load(path: str, record: bytes, code: Code, text: str) -> None:
    """Its error is the load's error."""
    with pytest.raises(ServingError, match=text) as error:
        warm_up(_servable(_Counted()), path, lambda _: [record], Metrics())
    assert error.value.code is code


def test_damaged_file(path: str) -> None:
    """What is no TFRecord file is said to be none, and counted so."""

    def read(_: str) -> Iterator[bytes]:
        yield b""
        raise ServingError(Code.DATA_LOSS, "corrupted record at 12")

    metrics = Metrics()
    with pytest.raises(ServingError) as error:
        warm_up(_servable(_Counted()), path, read, metrics)
    assert error.value.code is Code.DATA_LOSS
    assert error.value.message == "corrupted record at 12. Please verify your warmup data is in TFRecord format."
    assert 'status="DATA_LOSS: corrupted record at 12"} 1' in metrics.page()
