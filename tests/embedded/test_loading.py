"""A version loaded as the options say, over a runtime of the test's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tfs_locust.embedded import loading, simulated
from tfs_locust.embedded.loading import VersionLoader
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.options import read_options
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

_SIGNATURE = text_format.Parse(
    'inputs { key: "x" value { name: "x:0" } } outputs { key: "y" value { name: "y:0" } }',
    protos.meta_graph_pb2.SignatureDef(),
)
_WARM_UP = """predict_log { request { model_spec { name: "m" }
    inputs { key: "x" value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1 } } } }"""
_X = {"x:0": np.zeros((3, 1), np.float32)}


class _Model:
    """y = x; remembers what it was run with."""

    def __init__(self) -> None:
        self.signatures = {"serving_default": _SIGNATURE}
        self.runs: list[tuple[int, float | None]] = []
        self.closed = False

    def run(self, feeds: Mapping[str, Any], fetches: Sequence[str], timeout_s: float | None) -> list[Any]:
        self.runs.append((len(feeds["x:0"]), timeout_s))
        return [feeds["x:0"] for _ in fetches]

    def close(self) -> None:
        self.closed = True


class _Runtime:
    """Loads one model, whatever the path, and has one warm-up record."""

    def __init__(self) -> None:
        self.model = _Model()
        self.tags: list[str] = []
        self.record = b""

    def load(self, path: str, tags: Sequence[str], metrics: Metrics) -> _Model:
        assert Path(path).is_dir()
        assert isinstance(metrics, Metrics)
        self.tags = list(tags)
        return self.model

    def read_records(self, path: str) -> Iterator[bytes]:
        assert Path(path).is_file()
        yield self.record


@pytest.fixture
def runtime() -> _Runtime:
    """A runtime with one model."""
    return _Runtime()


@pytest.fixture
def load(runtime: _Runtime, tmp_path: Path) -> Iterator[Callable[..., Servable]]:
    """Load version 1 of the model m as a server with the given flags would."""
    (tmp_path / "m" / "1").mkdir(parents=True, exist_ok=True)
    loaders: list[VersionLoader] = []

    def start(*flags: str, metrics: Metrics | None = None) -> Servable:
        options = read_options([f"--model_base_path={tmp_path / 'm'}", *flags])
        loaders.append(VersionLoader(runtime, options, metrics or Metrics()))  # type: ignore[arg-type]
        return loaders[-1]("m", 1, str(tmp_path / "m" / "1"))

    yield start
    for loader in loaders:
        loader.stop()


@pytest.fixture
def warm_up_file(tmp_path: Path) -> None:
    """A warm-up file in version 1's folder; what is in it is the runtime's record."""
    folder = tmp_path / "m" / "1" / "assets.extra"
    folder.mkdir(parents=True)
    (folder / "tf_serving_warmup_requests").touch()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each sleep of the planted behaviour was to be; none is slept."""
    durations: list[float] = []
    clock = SimpleNamespace(sleep=durations.append, monotonic=time.monotonic)
    monkeypatch.setattr(loading, "time", clock)
    monkeypatch.setattr(simulated, "time", clock)
    return durations


def _batching(tmp_path: Path, text: str) -> tuple[str, str]:
    file = tmp_path / "batching.config"
    file.write_text(text)
    return "--enable_batching", f"--batching_parameters_file={file}"


def test_plain(load: Callable[..., Servable], runtime: _Runtime) -> None:
    """Without batching a servable runs its model directly, and closes it."""
    servable = load("--saved_model_tags=a,b")
    assert (servable.name, servable.version, servable.signatures) == ("m", 1, {"serving_default": _SIGNATURE})
    servable.run(_X, ["y:0"], 5.0)
    servable.close()
    assert runtime.tags == ["a", "b"]
    assert (runtime.model.runs, runtime.model.closed) == ([(3, 5.0)], True)


def test_batched(load: Callable[..., Servable], runtime: _Runtime, tmp_path: Path) -> None:
    """With batching it runs padded batches, and closing it closes the model."""
    servable = load(*_batching(tmp_path, "max_batch_size { value: 4 } allowed_batch_sizes: 4"))
    assert servable.run(_X, ["y:0"], None)[0].shape == (3, 1)
    servable.close()
    assert (runtime.model.runs, runtime.model.closed) == ([(4, None)], True)


def test_batching_parameters_of_the_version(load: Callable[..., Servable], runtime: _Runtime, tmp_path: Path) -> None:
    """With per-model parameters a version without a file is not batched, whatever the server's own say."""
    flags = (*_batching(tmp_path, "max_batch_size { value: 2 }"), "--enable_per_model_batching_parameters")
    load(*flags).run(_X, ["y:0"], None)
    file = tmp_path / "m" / "1" / "batching_params.pbtxt"
    file.write_text("max_batch_size { value: 3 } allowed_batch_sizes: 3")
    load(*flags).run(_X, ["y:0"], None)
    assert [rows for rows, _ in runtime.model.runs] == [3, 3]
    for text in ("allowed_batch_sizes: 3", "nonsense"):
        file.write_text(text)
        with pytest.raises(ServingError) as error:
            load(*flags)
        assert error.value.code is Code.INVALID_ARGUMENT
        assert runtime.model.closed


def test_simulated_delay(load: Callable[..., Servable], runtime: _Runtime, slept: list[float]) -> None:
    """Time for the batch and for each row is added; a run that is late for it fails as TensorFlow's would."""
    servable = load("--simulate_delay_ms=other=1000,m=20+5")
    servable.run(_X, ["y:0"], None)
    servable.run(_X, ["y:0"], 1.0)
    with pytest.raises(ServingError) as error:
        servable.run(_X, ["y:0"], 0.03)
    assert slept == [pytest.approx(0.035)] * 3
    assert runtime.model.runs == [(3, None), (3, pytest.approx(0.965))]
    assert (error.value.code, error.value.message) == (
        Code.DEADLINE_EXCEEDED,
        "Timed out waiting for notification",
    )


def test_what_is_said_of_a_version_goes_first(load: Callable[..., Servable], slept: list[float]) -> None:
    """And what is said of another version is nothing to this one."""
    load("--simulate_delay_ms=m=20,m/1=5,m/2=7").run(_X, ["y:0"], None)
    assert slept == [pytest.approx(0.005)]


def test_load_that_takes_its_time(load: Callable[..., Servable], slept: list[float], tmp_path: Path) -> None:
    """The rest of the time is waited for, and the metrics page counts it as the load's."""
    metrics = Metrics()
    load("--simulate_load_ms=m/1=3000", metrics=metrics)
    assert 2 < slept[0] <= 3
    (latency,) = [line for line in metrics.page().splitlines() if "saved_model:load_latency{" in line]
    assert latency == f':tensorflow:cc:saved_model:load_latency{{model_path="{tmp_path}/m/1"}} {round(slept[0] * 1e6)}'


def test_cold_start(load: Callable[..., Servable], slept: list[float]) -> None:
    """The first executions take longer, besides what each takes; a version that is loaded again is cold again."""
    for _ in range(2):
        servable = load("--simulate_cold_ms=m=50x2", "--simulate_delay_ms=m=1")
        for _ in range(3):
            servable.run(_X, ["y:0"], None)
    assert slept == [0.001, 0.05, 0.001, 0.05, 0.001] * 2


@pytest.mark.usefixtures("warm_up_file")
def test_warm_up_warms(load: Callable[..., Servable], runtime: _Runtime, slept: list[float]) -> None:
    """Its requests are the first executions, and none of them fails for errors that are planted."""
    runtime.record = text_format.Parse(_WARM_UP, protos.prediction_log_pb2.PredictionLog()).SerializeToString()
    servable = load("--num_request_iterations_for_warmup=2", "--simulate_cold_ms=m=50x3", "--simulate_errors=m=100%")
    assert (len(runtime.model.runs), slept) == (2, [0, 0.05, 0, 0.05])
    with pytest.raises(ServingError, match="Simulated error"):
        servable.run(_X, ["y:0"], None)
    assert len(runtime.model.runs) == 2


def test_planted_errors(load: Callable[..., Servable], runtime: _Runtime, tmp_path: Path) -> None:
    """An exact share of the calls, at moments that the seed decides; with batching too, where a batch fails as one."""

    def failed(*flags: str) -> dict[int, tuple[Code, str]]:
        servable = load("--simulate_errors=m=10%:UNAVAILABLE", *flags)
        found = {}
        for at in range(50):
            try:
                servable.run(_X, ["y:0"], None)
            except ServingError as error:
                found[at] = error.code, error.message
        return found

    first = failed()
    assert [at // 10 for at in first] == [0, 1, 2, 3, 4]
    assert set(first.values()) == {(Code.UNAVAILABLE, "Simulated error (0.1 of all answers of this version)")}
    assert failed(*_batching(tmp_path, "max_batch_size { value: 4 }")) == first
    assert failed("--simulate_seed=1") != first
    assert len(runtime.model.runs) == 3 * 45


@pytest.mark.usefixtures("warm_up_file")
def test_failed_warm_up_fails_the_load(load: Callable[..., Servable], runtime: _Runtime) -> None:
    """The model is closed again; with warm-up off nothing is replayed."""
    runtime.record = b"\xff"
    load("--enable_model_warmup=false").close()
    runtime.model.closed = False
    with pytest.raises(ServingError, match="Failed to parse warmup record"):
        load()
    assert runtime.model.closed
