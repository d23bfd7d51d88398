"""A core without TensorFlow: half_plus_two, and what a test lets it do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    meta_graph_pb2,
    predict_pb2,
    regression_pb2,
    types_pb2,
)


@dataclass
class FakeCore:
    """x/2 + 2 for one float a row, under the name half_plus_two, version 1; other names are not found."""

    release: Event = field(default_factory=Event)  # the model named `slow` waits for it
    calls: list[tuple[str, Any, float | None]] = field(default_factory=list)

    def signatures(self, spec: Any) -> Mapping[str, Any]:
        self._check(spec)
        signature = meta_graph_pb2.SignatureDef()
        signature.inputs["x"].dtype = types_pb2.DT_FLOAT
        return {"serving_default": signature}

    def predict(self, request: Any, *, timeout_s: float | None) -> Any:
        self.calls.append(("predict", request, timeout_s))
        if request.model_spec.name == "slow":
            assert self.release.wait(30)
        if request.model_spec.name == "broken":
            raise RuntimeError("a bug")
        response = predict_pb2.PredictResponse()
        response.outputs["y"].dtype = types_pb2.DT_FLOAT
        response.outputs["y"].tensor_shape.CopyFrom(request.inputs["x"].tensor_shape)
        response.outputs["y"].float_val.extend(x / 2 + 2 for x in request.inputs["x"].float_val)
        return response

    def classify(self, request: Any, *, timeout_s: float | None) -> Any:
        self.calls.append(("classify", request, timeout_s))
        response = classification_pb2.ClassificationResponse()
        response.result.classifications.add().classes.add(label="a", score=0.5)
        return response

    def regress(self, request: Any, *, timeout_s: float | None) -> Any:
        self.calls.append(("regress", request, timeout_s))
        response = regression_pb2.RegressionResponse()
        response.result.regressions.add(value=2.5)
        return response

    def get_model_metadata(self, request: Any) -> Any:
        self._check(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap())
        return response

    def get_model_status(self, request: Any) -> Any:
        self.calls.append(("status", request, None))
        self._check(request.model_spec)
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=1).state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return response

    def _check(self, spec: Any) -> None:
        if spec.name not in ("half_plus_two", "slow", "broken"):
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
