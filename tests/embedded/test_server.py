"""The server as a process: what it says, how it ends, and what its flags do to real models."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from tfs_locust.embedded.tensor import tensor_from_proto
from tfs_locust.tfserving import protos

_MODELS = Path(__file__).parents[1] / "data" / "transcripts" / "models"
_HALF = """model_spec { name: "half_plus_two" } inputs { key: "x" value {
    dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1 } }"""
Serve = Callable[..., Any]


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tfs_locust.embedded.server", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _call(server: Any, method: str, request: Any, response: type, timeout: float = 30) -> Any:
    with grpc.insecure_channel(server.grpc_address) as channel:
        return response.FromString(channel.unary_unary(method)(request.SerializeToString(), timeout=timeout))


def _predict(server: Any, text: str, timeout: float = 30) -> Any:
    request = text_format.Parse(text, protos.predict_pb2.PredictRequest())
    return _call(server, protos.PREDICT, request, protos.predict_pb2.PredictResponse, timeout)


def _states(server: Any, model: str) -> dict[int, int]:
    request = protos.get_model_status_pb2.GetModelStatusRequest(model_spec={"name": model})
    response = _call(server, protos.GET_MODEL_STATUS, request, protos.get_model_status_pb2.GetModelStatusResponse)
    return {version.version: version.state for version in response.model_version_status}


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _half_plus_two(folder: Path, *versions: int) -> Path:
    for version in versions:
        shutil.copytree(_MODELS / "half_plus_two" / "1", folder / str(version))
    return folder


def test_start_and_end(serve: Serve) -> None:
    """It says what it is, where it is and what it serves; SIGTERM ends it at once with 0."""
    server = serve(model_name="half_plus_two", model_base_path=_MODELS / "half_plus_two")
    assert server.output.read_text().splitlines() == [
        "tfs-locust serve: for demos and tests; this is not TensorFlow Serving",
        f"gRPC: {server.grpc_address}",
        f"REST: {server.rest_url}",
        "model half_plus_two: versions 1 AVAILABLE",
        "ready",
    ]
    assert list(_predict(server, _HALF).outputs["y"].float_val) == [2.5]
    assert server.stop() == 0
    assert len(server.output.read_text().splitlines()) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_call_in_flight_is_not_answered(number: signal.Signals, serve: Serve) -> None:
    """The connection closes, the process does not wait for its models."""
    server = serve(
        model_name="half_plus_two",
        model_base_path=_MODELS / "half_plus_two",
        simulate_delay_ms="half_plus_two=60000",
        rest_api_port=-1,
    )
    request = text_format.Parse(_HALF, protos.predict_pb2.PredictRequest()).SerializeToString()
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary(protos.PREDICT).future(request, timeout=50)
        _wait_until(lambda: _states(server, "half_plus_two") == {1: 30})
        server.process.send_signal(number)
        assert server.process.wait(timeout=5) == 0
        assert call.exception(timeout=10).code() is grpc.StatusCode.UNAVAILABLE


def test_wrong_settings_are_all_listed(tmp_path: Path) -> None:
    """Exit code 2, each mistake on a line, nothing started."""
    ended = _run("--enable_baching", "--port=x", f"--model_base_path={tmp_path}")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == [
        "--enable_baching",
        "--port",
        f"model 'default', base path {tmp_path}",
    ]


def test_help_and_version() -> None:
    """Both end with 0 and need no model."""
    ended = _run("--help")
    assert ended.returncode == 0
    assert "for demos and tests. It is not TensorFlow Serving." in ended.stdout
    ended = _run("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("tfs-locust ")


def test_taken_port_is_an_error() -> None:
    """Unlike the real server it does not stay up and serve nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = _run(f"--port={port}", "--rest_api_port=-1", f"--model_base_path={_MODELS / 'half_plus_two'}")
    assert ended.returncode == 1
    assert f"failed to start: gRPC cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_model_that_does_not_load_fails_the_start(made_models: Path) -> None:
    """Here because of its warm-up requests: the status they got is shown."""
    ended = _run(
        "--port=0",
        "--rest_api_port=-1",
        f"--model_base_path={made_models / 'cold'}",
        "--max_num_load_retries=0",
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "tfs-locust serve: failed to start: UNKNOWN: 1 servable(s) did not become available: {{{name: default "
        'version: 1} due to error: FAILED_PRECONDITION: Serving signature key "nope" not found.}, }'
    )
    assert "Traceback" not in ended.stderr


def test_switch_of_versions_under_load(serve: Serve, tmp_path: Path) -> None:
    """A new version folder takes over; no call in between fails; the old version is gone after."""
    base = _half_plus_two(tmp_path / "m", 1)
    server = serve(model_name="half_plus_two", model_base_path=base, rest_api_port=-1)
    _half_plus_two(tmp_path / "new", 2)
    (tmp_path / "new" / "2").rename(base / "2")
    versions = []
    deadline = time.monotonic() + 60
    while 2 not in versions:
        assert time.monotonic() < deadline
        versions.append(_predict(server, _HALF).model_spec.version.value)
    assert versions == [1] * (len(versions) - 1) + [2]
    _wait_until(lambda: _states(server, "half_plus_two") == {2: 30, 1: 50})
    with pytest.raises(grpc.RpcError) as error:
        _predict(server, _HALF.replace('"half_plus_two"', '"half_plus_two" version { value: 1 }'))
    assert error.value.details() == "Servable not found for request: Specific(half_plus_two, 1)"


def _config(*models: tuple[str, Path]) -> str:
    entries = " ".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}' for name, path in models
    )
    return f"model_config_list {{ {entries} }}"


def _reload(server: Any, text: str, timeout: float = 30) -> Any:
    config = text_format.Parse(text, protos.model_server_config_pb2.ModelServerConfig())
    request = protos.model_management_pb2.ReloadConfigRequest(config=config)
    response = protos.model_management_pb2.ReloadConfigResponse
    return _call(server, protos.HANDLE_RELOAD_CONFIG, request, response, timeout)


def test_reload(serve: Serve, tmp_path: Path) -> None:
    """A model is added, then the first left out; a broken one blocks its caller and harms no other."""
    first, second = _half_plus_two(tmp_path / "a", 1), _half_plus_two(tmp_path / "b", 1)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    server = serve(model_name="half_plus_two", model_base_path=first, rest_api_port=-1)
    _reload(server, _config(("half_plus_two", first), ("b", second)))
    assert _states(server, "b") == {1: 30}
    _reload(server, _config(("b", second)))
    _wait_until(lambda: _states(server, "half_plus_two") == {1: 50})
    with pytest.raises(grpc.RpcError) as error:
        _predict(server, _HALF)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as error:
        _reload(server, _config(("b", second), ("broken", tmp_path / "broken")), timeout=3)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert _states(server, "broken") == {1: 20}
    assert list(_predict(server, _HALF.replace("half_plus_two", "b")).outputs["y"].float_val) == [2.5]


def test_config_file_is_followed(serve: Serve, tmp_path: Path) -> None:
    """A changed file is served; a wrong one changes nothing."""
    base = _half_plus_two(tmp_path / "m", 1)
    file = tmp_path / "models.config"
    file.write_text(_config(("a", base)))
    server = serve(model_config_file=file, model_config_file_poll_wait_seconds=1, rest_api_port=-1)
    file.write_text("model_config_list {")
    _wait_until(lambda: "was not reloaded" in server.output.read_text())
    assert _states(server, "a") == {1: 30}
    file.write_text(_config(("b", base)))
    _wait_until(lambda: _known(server, "b") and _states(server, "b") == {1: 30})


def _known(server: Any, model: str) -> bool:
    try:
        return bool(_states(server, model))
    except grpc.RpcError:
        return False


@pytest.mark.parametrize("batching", [False, True])
def test_slow_model_and_its_deadline(batching: bool, serve: Serve) -> None:
    """Every execution takes the simulated time; one that ends after its deadline has failed."""
    server = serve(
        model_name="half_plus_two",
        model_base_path=_MODELS / "half_plus_two",
        simulate_delay_ms="half_plus_two=150+50",
        enable_batching=batching,
        rest_api_port=-1,
    )
    started = time.monotonic()
    _predict(server, _HALF)
    assert time.monotonic() - started >= 0.2
    request = text_format.Parse(_HALF, protos.predict_pb2.PredictRequest()).SerializeToString()
    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(protos.PREDICT)(request, timeout=0.1)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_full_batching_queue(serve: Serve, tmp_path: Path) -> None:
    """One thread, batches of one, one batch enqueued: of six calls at once two are answered, four refused at once."""
    file = tmp_path / "batching.config"
    file.write_text("max_batch_size { value: 1 } max_enqueued_batches { value: 1 } num_batch_threads { value: 1 }")
    server = serve(
        model_name="half_plus_two",
        model_base_path=_MODELS / "half_plus_two",
        enable_batching="true",
        batching_parameters_file=file,
        simulate_delay_ms="half_plus_two=1500",
        grpc_max_threads=32,
        rest_api_port=-1,
    )
    request = text_format.Parse(_HALF, protos.predict_pb2.PredictRequest()).SerializeToString()
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary(protos.PREDICT)
        futures = [call.future(request, timeout=30)]
        _wait_until(lambda: _states(server, "half_plus_two") == {1: 30})
        futures += [call.future(request, timeout=30) for _ in range(5)]
        errors = [future.exception() for future in futures]
    refused = [error for error in errors if error is not None]
    assert len(refused) == 4
    assert {(error.code(), error.details()) for error in refused} == {
        (
            grpc.StatusCode.UNAVAILABLE,
            (
                "The batch scheduling queue to which this task was submitted is full; currently 1 batches enqueued and "
                "max_enqueued_batches is 1"
            ),
        )
    }


def test_per_model_batching_parameters(serve: Serve, tmp_path: Path) -> None:
    """A version with parameters of its own is batched with them, one without is not batched at all."""
    batched, plain = _half_plus_two(tmp_path / "batched", 1), _half_plus_two(tmp_path / "plain", 1)
    (batched / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    file = tmp_path / "models.config"
    file.write_text(_config(("batched", batched), ("plain", plain)))
    server = serve(
        model_config_file=file,
        enable_batching="true",
        enable_per_model_batching_parameters="true",
        rest_api_port=-1,
    )
    three_rows = _HALF.replace("size: 1", "size: 3")
    assert list(_predict(server, three_rows.replace("half_plus_two", "plain")).outputs["y"].float_val) == [2.5] * 3
    with pytest.raises(grpc.RpcError) as error:
        _predict(server, three_rows.replace("half_plus_two", "batched"))
    assert error.value.details() == "Task size 3 is larger than maximum input batch size 2"


def test_classify_regress_and_multi_inference(serve: Serve, made_models: Path) -> None:
    """Examples go into the graph as they are, and results come out in the response's own form."""
    server = serve(model_name="m", model_base_path=made_models / "examples", rest_api_port=-1)
    examples = " ".join(
        f'examples {{ features {{ feature {{ key: "x" value {{ float_list {{ value: {x} }} }} }} }} }}' for x in (1, 3)
    )
    given = f"input {{ example_list {{ {examples} }} }}"
    service = "/tensorflow.serving.PredictionService/"
    classification = _call(
        server,
        service + "Classify",
        text_format.Parse(f'model_spec {{ name: "m" }} {given}', protos.classification_pb2.ClassificationRequest()),
        protos.classification_pb2.ClassificationResponse,
    )
    assert [[(c.label, c.score) for c in row.classes] for row in classification.result.classifications] == [
        [("plus", 1), ("minus", -1)],
        [("plus", 3), ("minus", -3)],
    ]
    regression = _call(
        server,
        service + "Regress",
        text_format.Parse(
            f'model_spec {{ name: "m" signature_name: "regress" }} {given}', protos.regression_pb2.RegressionRequest()
        ),
        protos.regression_pb2.RegressionResponse,
    )
    assert [row.value for row in regression.result.regressions] == [2, 6]
    tasks = (
        'tasks { model_spec { name: "m" signature_name: "regress" } method_name: "tensorflow/serving/regress" }'
        'tasks { model_spec { name: "m" } method_name: "tensorflow/serving/classify" }'
    )
    both = _call(
        server,
        service + "MultiInference",
        text_format.Parse(f"{tasks} {given}", protos.inference_pb2.MultiInferenceRequest()),
        protos.inference_pb2.MultiInferenceResponse,
    )
    assert both.results[0].regression_result == regression.result
    assert both.results[1].classification_result == classification.result
    with pytest.raises(grpc.RpcError) as error:
        _call(
            server,
            service + "Regress",
            text_format.Parse(
                f'model_spec {{ name: "m" signature_name: "nowhere" }} {given}',
                protos.regression_pb2.RegressionRequest(),
            ),
            protos.regression_pb2.RegressionResponse,
        )
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


_TENSORS = {
    "float16": ("DT_HALF", "half_val: 0x3c00", 1.0),
    "bfloat16": ("DT_BFLOAT16", "half_val: 0x3f80", 1.0),
    "bool": ("DT_BOOL", "bool_val: true", True),
    "int8": ("DT_INT8", "int_val: -7", -7),
    "uint64": ("DT_UINT64", "uint64_val: 18446744073709551615", 2**64 - 1),
    "complex64": ("DT_COMPLEX64", "scomplex_val: 1 scomplex_val: 2", 1 + 2j),
    "float64": ("DT_DOUBLE", "double_val: 0.1", 0.1),
    "string": ("DT_STRING", 'string_val: "\\377"', b"\xff"),
}


@pytest.mark.parametrize("as_content", [False, True])
def test_types(as_content: bool, serve: Serve, made_models: Path) -> None:
    """Every type goes through the graph and comes back, as a list or as one buffer; scalars do without batching."""
    server = serve(
        model_name="types",
        model_base_path=made_models / "types",
        enable_serialization_as_tensor_content=as_content,
        rest_api_port=-1,
    )
    for name, (dtype, values, expected) in _TENSORS.items():
        response = _predict(
            server,
            f"""model_spec {{ name: "types" signature_name: "{name}" }} inputs {{ key: "x" value {{
                dtype: {dtype} tensor_shape {{ dim {{ size: 2 }} }} {values} }} }}""",
        )
        assert tensor_from_proto(response.outputs["y"]).tolist() == [expected] * 2, name
        assert bool(response.outputs["y"].tensor_content) == as_content
    response = _predict(
        server,
        """model_spec { name: "types" signature_name: "scalar" } inputs { key: "x" value {
            dtype: DT_FLOAT tensor_shape {} float_val: 4 } }""",
    )
    assert tensor_from_proto(response.outputs["y"]).tolist() == 4
