"""The gRPC front: PredictionService and ModelService over a ServerCore.

Messages are handled as bytes, so that what cannot be decoded is answered as the C++ server answers it. Calls run in
threads; as many as the quota has, and the next is refused at once. Source: tensorflow_serving/model_servers/
prediction_service_impl.cc and server.cc; gRPC's thread_manager.cc for the quota.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from tfs_locust.embedded.core import ServerCore
from tfs_locust.embedded.outage import REFUSAL, Outage
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

_STATUS_CODES = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})

Answer = tuple[Code, "bytes | str"]
"""OK and the encoded response, or another code and the details."""


@dataclass(frozen=True, slots=True)
class _Method:
    request: type[Message]
    call: Callable[[Any, float | None], Message]
    api: str | None = None
    """The name under which metrics know the method; None: they do not count it."""


class GrpcServer:
    """One gRPC port."""

    def __init__(
        self,
        core: ServerCore,
        *,
        max_threads: int,
        channel_arguments: Mapping[str, int | str] = MappingProxyType({}),
        credentials: grpc.ServerCredentials | None = None,
        outage: Outage | None = None,
    ) -> None:
        """``max_threads`` as ``--grpc_max_threads``: one of them accepts calls, the others execute them."""
        self._outage = outage
        self._core = core
        self._methods = _methods(core)
        self._quota = threading.Semaphore(max(max_threads - 1, 1))
        self._pool = ThreadPoolExecutor(max(max_threads - 1, 1), thread_name_prefix="grpc")
        self._credentials = credentials
        self._options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # a second server on the same port must fail, not share the calls
            ("grpc.so_reuseport", 0),
            *channel_arguments.items(),
        ]
        self._server: Any = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port bound, a free one for 0. Raises OSError where it cannot."""
        self._server = grpc.aio.server(options=self._options)
        self._server.add_generic_rpc_handlers((self,))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._credentials is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}: is the port taken?") from error
        await self._server.start()
        return int(bound)

    async def stop(self) -> None:
        """Close all connections now; calls in flight get no answer."""
        await self._server.stop(None)
        self._pool.shutdown(wait=False)

    def service(self, details: Any) -> Any:
        """The handler of a method, for grpc: any method has one, as grpc's own refusal has a text of its own."""
        method = self._methods.get(details.method)
        if method is None:
            return grpc.stream_stream_rpc_method_handler(_refuse_unknown)

        async def handle(data: bytes, context: Any) -> bytes:
            return await self._handle(method, data, context)

        return grpc.unary_unary_rpc_method_handler(handle)

    async def _handle(self, method: _Method, data: bytes, context: Any) -> bytes:
        if self._outage is not None and self._outage.is_on:
            await context.abort(grpc.StatusCode.UNAVAILABLE, REFUSAL)
        if not self._quota.acquire(blocking=False):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        time_left = context.time_remaining()
        # a deadline that has passed counts as none, as in the real server
        timeout_s = time_left if time_left is not None and time_left > 0 else None
        future = self._pool.submit(self._answer, method, data, timeout_s)
        # not when this coroutine ends: a caller that hangs up leaves its thread at work
        future.add_done_callback(lambda _: self._quota.release())
        code, answer = await asyncio.wrap_future(future)
        if isinstance(answer, str):
            await context.abort(_STATUS_CODES[code], answer)
        return answer  # type: ignore[return-value]  # abort raises

    def _answer(self, method: _Method, data: bytes, timeout_s: float | None) -> Answer:
        try:
            request = method.request.FromString(data)
        except DecodeError:
            return Code.INTERNAL, ""
        started = time.perf_counter()
        code, answer = _called(method, request, timeout_s)
        if method.api is not None:
            name = request.model_spec.name  # type: ignore[attr-defined]  # the counted requests all have one
            if code is Code.OK:
                us = (time.perf_counter() - started) * 1e6
                self._core.metrics.observe_request_latency(name, method.api, "GRPC", us)
            self._core.metrics.count_request(name, code.name)
        return code, answer if isinstance(answer, str) else answer.SerializeToString()


def _called(method: _Method, request: Message, timeout_s: float | None) -> tuple[Code, Message | str]:
    try:
        return Code.OK, method.call(request, timeout_s)
    except ServingError as error:
        return error.code, error.grpc_details()


def _methods(core: ServerCore) -> dict[str, _Method]:
    prediction, model = f"/{protos.PREDICTION_SERVICE}/", f"/{protos.MODEL_SERVICE}/"
    return {
        prediction + "Predict": _Method(
            protos.predict_pb2.PredictRequest, lambda request, s: core.predict(request, timeout_s=s), "Predict"
        ),
        prediction + "Classify": _Method(
            protos.classification_pb2.ClassificationRequest,
            lambda request, s: core.classify(request, timeout_s=s),
            "Classify",
        ),
        prediction + "Regress": _Method(
            protos.regression_pb2.RegressionRequest, lambda request, s: core.regress(request, timeout_s=s), "Regress"
        ),
        prediction + "MultiInference": _Method(
            protos.inference_pb2.MultiInferenceRequest, lambda request, s: core.multi_inference(request, timeout_s=s)
        ),
        prediction + "GetModelMetadata": _Method(
            protos.get_model_metadata_pb2.GetModelMetadataRequest, lambda request, _: core.get_model_metadata(request)
        ),
        model + "GetModelStatus": _Method(
            protos.get_model_status_pb2.GetModelStatusRequest, lambda request, _: core.get_model_status(request)
        ),
        model + "HandleReloadConfigRequest": _Method(
            protos.model_management_pb2.ReloadConfigRequest, lambda request, _: core.reload(request)
        ),
    }


async def _refuse_unknown(_requests: AsyncIterator[bytes], context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
