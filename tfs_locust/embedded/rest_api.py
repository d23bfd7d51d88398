"""TensorFlow Serving's REST API: method, URL and body -> the answer, and what the metrics count of it.

Knows nothing of sockets and threads. Sources: tensorflow_serving/model_servers/http_rest_api_util.cc (the URLs),
http_rest_api_handler.cc (what each does), http_server.cc (ProcessRequest: OPTIONS, headers, metrics).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

from tfs_locust.tfserving.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    meta_graph_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from .http_message import Answer
from .json_examples import classification_request, regression_request
from .json_predict import predict_request
from .json_request import invalid_argument, raw_bytes
from .json_response import classification_text, error_text, regression_text, tensors_text
from .metrics import Metrics
from .proto_json import metadata_text, status_text
from .status import HTTP_STATUS, Code, ServingError

_LOG = logging.getLogger(__name__)

_INFERENCE_URL = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_STATUS_URL = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?", re.IGNORECASE | re.ASCII
)
_LARGEST_VERSION = 2**63 - 1
_JSON = (("Content-Type", "application/json"),)
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)


class Core(Protocol):
    """What the API asks of the server behind it; every method raises ServingError and may be called from any thread."""

    def predict(
        self, request: predict_pb2.PredictRequest, *, timeout_s: float | None
    ) -> predict_pb2.PredictResponse: ...

    def classify(
        self, request: classification_pb2.ClassificationRequest, *, timeout_s: float | None
    ) -> classification_pb2.ClassificationResponse: ...

    def regress(
        self, request: regression_pb2.RegressionRequest, *, timeout_s: float | None
    ) -> regression_pb2.RegressionResponse: ...

    def get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse: ...

    def get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse: ...

    def signatures(self, spec: model_pb2.ModelSpec) -> Mapping[str, meta_graph_pb2.SignatureDef]: ...


@dataclass(frozen=True, slots=True)
class _Url:
    """A URL of the API, taken apart: what it names, and the method or sub-resource as it was written."""

    name: str
    version: str
    label: str
    action: str

    def spec(self) -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self.name)
        if self.version:
            spec.version.value = int(self.version)
        if self.label:
            spec.version_label = self.label
        return spec


def _url(method: str, target: str) -> _Url | None:
    """None where it is no URL of the API, query string included, or the method is neither POST nor GET."""
    pattern = {"POST": _INFERENCE_URL, "GET": _STATUS_URL}.get(method)
    match = pattern.fullmatch(target) if pattern is not None else None
    if match is None:
        return None
    name, version, label, action = match.groups(default="")
    if version:
        version = version.lstrip("0") or "0"
    return _Url(unquote(name), version, unquote(label), action)


class RestApi:
    """Answers the requests under /v1/. Thread-safe; blocks until the model has answered."""

    def __init__(self, core: Core, metrics: Metrics, *, timeout_s: float | None, cors: bool) -> None:
        self._core = core
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._cors = _CORS if cors else ()
        self._inferences: dict[str, Callable[[model_pb2.ModelSpec, bytes], str]] = {
            "classify": self._classify,
            "regress": self._regress,
            "predict": self._predict,
        }

    def answer(self, method: str, target: str, body: bytes, origin: str) -> Answer:
        """The answer to one request; ``target`` is path and query, ``origin`` the header of that name or empty."""
        started = time.perf_counter_ns()
        if method == "OPTIONS":
            # a preflight request of a browser; its answer has no body, whatever comes of it
            url, text = None, ""
            code = Code.OK if re.search("https?://", origin) else Code.FAILED_PRECONDITION
        else:
            url = _url(method, target)
            code, text = self._result(method, target, url, body)
        name, action = (url.name, url.action) if url is not None else ("", "")
        if code is Code.OK:
            api = action if method == "POST" else ""
            us = (time.perf_counter_ns() - started) // 1000
            self._metrics.observe_request_latency(name, api, "REST", us)
        self._metrics.count_request(name, code.name)
        headers = () if method == "OPTIONS" else _JSON
        return Answer(HTTP_STATUS[code], (*headers, *self._cors), raw_bytes(text))

    def _result(self, method: str, target: str, url: _Url | None, body: bytes) -> tuple[Code, str]:
        if url is not None and int(url.version[:20] or "0") > _LARGEST_VERSION:
            return Code.INVALID_ARGUMENT, ""  # the real server loses the text of this error, too
        try:
            return Code.OK, self._text(method, target, url, body)
        except ServingError as error:
            return error.code, error_text(error.message)
        except Exception:
            _LOG.exception("%s %s failed", method, target)
            return Code.INTERNAL, error_text("Internal error")

    def _text(self, method: str, target: str, url: _Url | None, body: bytes) -> str:
        # the URL is matched whatever its case; what it asks for is understood in lower case only
        if url is not None and method == "POST" and url.action in self._inferences:
            return self._inferences[url.action](url.spec(), body)
        if url is not None and method == "GET":
            if not url.name:
                raise invalid_argument("Missing model name in request.")
            return self._metadata(url.spec()) if url.action == "metadata" else self._status(url.spec())
        raise invalid_argument(f"Malformed request: {method} {target}")

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request, layout = predict_request(body, spec, self._core.signatures)
        response = self._core.predict(request, timeout_s=self._timeout_s)
        return tensors_text(response.outputs, layout)

    def _classify(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request = classification_request(body, spec)
        return classification_text(self._core.classify(request, timeout_s=self._timeout_s).result)

    def _regress(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request = regression_request(body, spec)
        return regression_text(self._core.regress(request, timeout_s=self._timeout_s).result)

    def _metadata(self, spec: model_pb2.ModelSpec) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        return metadata_text(self._core.get_model_metadata(request))

    def _status(self, spec: Any) -> str:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        return status_text(self._core.get_model_status(request))
