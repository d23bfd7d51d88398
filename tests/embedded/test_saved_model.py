"""SavedModels loaded and run by TensorFlow itself, in this process."""

from __future__ import annotations

import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.saved_model import SavedModel, TensorFlow
from tfs_locust.embedded.status import Code, ServingError

_MODELS = Path(__file__).parents[1] / "data" / "transcripts" / "models"
_X, _Y = "serving_default_input:0", "StatefulPartitionedCall:0"


@pytest.fixture(scope="module")
def tensorflow() -> TensorFlow:
    """TensorFlow, whose own warnings are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TensorFlow()


@pytest.fixture(scope="module")
def dense(tensorflow: TensorFlow) -> SavedModel:
    """The model [n, 10] float -> [n, 1]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tensorflow.load(str(_MODELS / "dense" / "2"), ["serve"], Metrics())


def test_run(dense: SavedModel) -> None:
    """Tensors are fed and fetched by name, in the order asked for."""
    x = np.arange(10, dtype=np.float32).reshape(1, 10) / 10
    first, second = dense.run({_X: x}, [_Y, _Y], None)
    assert first.tolist() == second.tolist() == [[pytest.approx(0.833989143)]]
    assert first.dtype == np.float32
    assert set(dense.signatures) == {"serving_default", "__saved_model_init_op"}


def test_run_from_many_threads(dense: SavedModel) -> None:
    """Concurrent runs get their own answers."""
    rows = [np.full((1, 10), i, np.float32) for i in range(20)]
    alone = [dense.run({_X: row}, [_Y], None)[0].tolist() for row in rows]
    with ThreadPoolExecutor(8) as pool:
        together = [outputs[0].tolist() for outputs in pool.map(lambda row: dense.run({_X: row}, [_Y], 30.0), rows)]
    assert together == alone


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        (_X, np.zeros((1, 10)), "Expects arg[0] to be float but double is provided"),
        (_X, np.array([[b"a"] * 10], object), "Expects arg[0] to be float but string is provided"),
        (
            _X,
            np.zeros(10, np.float32),
            "In[0] is not a matrix\n\t [[{{node StatefulPartitionedCall/StatefulPartitionedCall/Relu}}]]",
        ),
        (
            "nope:0",
            np.zeros((1, 10)),
            "Tensor nope:0, specified in either feed_devices or fetch_devices was not found in the Graph",
        ),
    ],
)
def test_wrong_feeds(name: str, array: np.ndarray, text: str, dense: SavedModel) -> None:
    """The executor's own texts, without what Python would add."""
    with pytest.raises(ServingError) as error:
        dense.run({name: array}, [_Y], None)
    assert (error.value.code, error.value.message) == (Code.INVALID_ARGUMENT, text)


def test_metrics(tensorflow: TensorFlow) -> None:
    """A load is counted with its stages, a run with its time."""
    metrics, path = Metrics(), str(_MODELS / "half_plus_two" / "1")
    model = tensorflow.load(path, ["serve"], metrics)
    model.run({"serving_default_x:0": np.ones(1, np.float32)}, ["StatefulPartitionedCall:0"], None)
    model.close()
    page = metrics.page().splitlines()
    loads = ":tensorflow:cc:saved_model:"
    assert f'{loads}load_attempt_count{{model_path="{path}",status="success"}} 1' in page
    for stage in ("restore_graph", "init_graph"):
        assert f'{loads}load_latency_by_stage_count{{model_path="{path}",stage="{stage}"}} 1' in page
    assert ":tensorflow:core:graph_runs{} 1" in page


def _refused(tensorflow: TensorFlow, path: Path, *tags: str) -> tuple[Code, str]:
    metrics = Metrics()
    with pytest.raises(ServingError) as error:
        tensorflow.load(str(path), tags or ["serve"], metrics)
    assert f'load_attempt_count{{model_path="{path}",status="fail"}} 1' in metrics.page()
    return error.value.code, error.value.message


def test_folder_without_a_model(tensorflow: TensorFlow, tmp_path: Path) -> None:
    """The C++ loader's text for an export that is not there."""
    assert _refused(tensorflow, tmp_path) == (
        Code.NOT_FOUND,
        (
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {tmp_path}. Check that the "
            "directory exists and that you have the right permissions for accessing it."
        ),
    )


def test_model_without_the_tags(tensorflow: TensorFlow) -> None:
    """The tags asked for are named."""
    code, text = _refused(tensorflow, _MODELS / "dense" / "1", "serve", "gpu")
    assert code is Code.NOT_FOUND
    assert text.startswith("Could not find meta graph def matching supplied tags: { serve gpu }. ")


def test_damaged_model(tensorflow: TensorFlow, tmp_path: Path) -> None:
    """Bytes that are no SavedModel, and a SavedModel whose variables are gone."""
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    assert _refused(tensorflow, tmp_path) == (
        Code.DATA_LOSS,
        f"Can't parse {tmp_path}/saved_model.pb as binary proto",
    )
    shutil.copy(_MODELS / "dense" / "1" / "saved_model.pb", tmp_path)
    code, text = _refused(tensorflow, tmp_path)
    assert code is Code.INVALID_ARGUMENT
    assert "variables" in text


def test_damaged_records(tensorflow: TensorFlow, tmp_path: Path) -> None:
    """A file that is no TFRecord file is DATA_LOSS."""
    file = tmp_path / "records"
    file.write_bytes(b"no records here, but long enough to hold a header")
    with pytest.raises(ServingError, match="corrupted record at 0") as error:
        list(tensorflow.read_records(str(file)))
    assert error.value.code is Code.DATA_LOSS
