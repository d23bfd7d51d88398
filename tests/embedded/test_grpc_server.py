"""The gRPC front over a core of the test's own: quota, undecodable bytes, deadlines, metrics, TLS."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
import trustme

from tfs_locust.embedded.grpc_server import GrpcServer
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.outage import Outage
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_REQUEST = protos.predict_pb2.PredictRequest(model_spec={"name": "m"}).SerializeToString()


class _Core:
    """Answers Predict with the model_spec, when it is let."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.timeouts: list[float | None] = []
        self.error: ServingError | None = None

    def predict(self, request: Any, *, timeout_s: float | None) -> Any:
        self.timeouts.append(timeout_s)
        self.entered.release()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return protos.predict_pb2.PredictResponse(model_spec=request.model_spec)


@pytest.fixture
def core() -> _Core:
    """A core without models."""
    return _Core()


@pytest.fixture
def listen(core: _Core) -> Iterator[Callable[..., int]]:
    """Open the front on a free port, in an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with ExitStack() as servers:

        def start(max_threads: int = 8, **settings: Any) -> int:
            async def build() -> GrpcServer:
                return GrpcServer(core, max_threads=max_threads, **settings)  # type: ignore[arg-type]

            server = asyncio.run_coroutine_threadsafe(build(), loop).result(10)
            servers.callback(lambda: asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10))
            return asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(10)

        yield start
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def channel(listen: Callable[..., int]) -> Iterator[grpc.Channel]:
    """A channel to a server with 8 threads."""
    with grpc.insecure_channel(f"127.0.0.1:{listen()}") as channel:
        yield channel


def _refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code().name, error.value.details()


def test_answer(channel: grpc.Channel, core: _Core) -> None:
    """The core's response comes back, and the call is counted with its latency."""
    answer = channel.unary_unary(_PREDICT)(_REQUEST, timeout=30)
    assert protos.predict_pb2.PredictResponse.FromString(answer).model_spec.name == "m"
    page = core.metrics.page().splitlines()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in page
    assert ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 1' in page


def test_outage(listen: Callable[..., int], core: _Core) -> None:
    """In one every call is refused and none is counted, as by a server that is not there; then they are answered."""
    outage = Outage(0, lambda _: None)
    with grpc.insecure_channel(f"127.0.0.1:{listen(outage=outage)}") as channel:
        outage.is_on = True
        for method in (_PREDICT, protos.GET_MODEL_STATUS):
            refusal = _refusal(lambda to=method: channel.unary_unary(to)(_REQUEST, timeout=30))
            assert refusal == ("UNAVAILABLE", "Simulated outage")
        assert "request_count{" not in core.metrics.page()
        outage.is_on = False
        channel.unary_unary(_PREDICT)(_REQUEST, timeout=30)
    assert 'request_count{model_name="m",status="OK"} 1' in core.metrics.page()


def test_error(channel: grpc.Channel, core: _Core) -> None:
    """Code and text are the core's; a long text is cut; a failure is counted without latency."""
    core.error = ServingError(Code.FAILED_PRECONDITION, "x" * 2000)
    refusal = _refusal(lambda: channel.unary_unary(_PREDICT)(_REQUEST, timeout=30))
    assert refusal == ("FAILED_PRECONDITION", "x" * 1024 + "...TRUNCATED")
    page = core.metrics.page()
    assert ':tensorflow:serving:request_count{model_name="m",status="FAILED_PRECONDITION"} 1' in page
    assert ":tensorflow:serving:request_latency_count" not in page


@pytest.mark.parametrize(
    ("method", "data", "code"),
    [
        (_PREDICT, b"\xff\xff\xff", "INTERNAL"),
        (_PREDICT, b"\x0a\x03\x0a\x01\xff", "INTERNAL"),
        ("/tensorflow.serving.PredictionService/Nope", b"", "UNIMPLEMENTED"),
        ("/tensorflow.serving.SessionService/SessionRun", b"", "UNIMPLEMENTED"),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"", "UNIMPLEMENTED"),
    ],
)
def test_calls_that_reach_no_model(method: str, data: bytes, code: str, channel: grpc.Channel, core: _Core) -> None:
    """Undecodable bytes, text that is not UTF-8 among them, and unknown methods: no details, no count."""
    assert _refusal(lambda: channel.unary_unary(method)(data, timeout=30)) == (code, "")
    assert ":tensorflow:serving:request_count{" not in core.metrics.page()


def test_deadline_becomes_the_timeout(channel: grpc.Channel, core: _Core) -> None:
    """What is left of the call's deadline is the core's timeout; no deadline is no timeout."""
    call = channel.unary_unary(_PREDICT)
    call(_REQUEST, timeout=30)
    call(_REQUEST)
    assert core.timeouts[0] is not None
    assert 20 < core.timeouts[0] < 31  # gRPC rounds on the wire
    assert core.timeouts[1] is None


def test_quota(listen: Callable[..., int], core: _Core) -> None:
    """With 3 threads 2 calls are at work at once; the third is refused at once, uncounted; a free thread takes more."""
    core.gate.clear()
    with grpc.insecure_channel(f"127.0.0.1:{listen(3)}") as channel:
        call = channel.unary_unary(_PREDICT)
        futures: list[Future[bytes]] = [call.future(_REQUEST, timeout=30) for _ in range(2)]
        for _ in futures:
            assert core.entered.acquire(timeout=30)
        assert _refusal(lambda: call(_REQUEST, timeout=30)) == ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")
        assert ":tensorflow:serving:request_count{" not in core.metrics.page()
        core.gate.set()
        assert all(future.result() for future in futures)
        assert call(_REQUEST, timeout=30)


def test_caller_that_hangs_up_leaves_its_thread_at_work(listen: Callable[..., int], core: _Core) -> None:
    """A cancelled call keeps its place in the quota until the core is done with it."""
    core.gate.clear()
    with grpc.insecure_channel(f"127.0.0.1:{listen(2)}") as channel:
        call = channel.unary_unary(_PREDICT)
        future = call.future(_REQUEST, timeout=30)
        assert core.entered.acquire(timeout=30)
        future.cancel()
        assert _refusal(lambda: call(_REQUEST, timeout=30))[0] == "RESOURCE_EXHAUSTED"
        core.gate.set()
        while True:  # its thread is free in a moment; each refusal is an answer, so this does not spin
            try:
                assert call(_REQUEST, timeout=30)
                break
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests(compression: grpc.Compression, channel: grpc.Channel) -> None:
    """A compressed request is a request."""
    assert channel.unary_unary(_PREDICT)(_REQUEST, timeout=30, compression=compression)


def test_large_messages(channel: grpc.Channel) -> None:
    """The 4 MiB limit of gRPC does not hold here."""
    request = protos.predict_pb2.PredictRequest(model_spec={"name": "x" * (6 * 2**20)}).SerializeToString()
    with pytest.raises(grpc.RpcError) as error:  # it is the client that has the limit now
        channel.unary_unary(_PREDICT)(request, timeout=30)
    assert "Received message larger than max" in error.value.details()


def test_taken_port_is_an_error() -> None:
    """Two servers must not share a port and its calls."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = GrpcServer(_Core(), max_threads=2)  # type: ignore[arg-type]
        with pytest.raises(OSError, match=r"gRPC cannot listen on 127\.0\.0\.1:"):
            asyncio.run(server.start("127.0.0.1", taken.getsockname()[1]))


def test_tls(listen: Callable[..., int]) -> None:
    """With credentials the port speaks TLS and nothing else."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    key, chain = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    port = listen(credentials=grpc.ssl_server_credentials([(key, chain)]))
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    options = [("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(f"127.0.0.1:{port}", trusted, options) as channel:
        assert channel.unary_unary(_PREDICT)(_REQUEST, timeout=30)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert _refusal(lambda: channel.unary_unary(_PREDICT)(_REQUEST, timeout=30))[0] == "UNAVAILABLE"
