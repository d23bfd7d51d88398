"""SavedModels run by TensorFlow: loaded as the C++ server loads them, run by tensor names through a TF1 session.

A session, not ``tf.saved_model.load``: it runs the same executor behind the same checks as the server, so that a wrong
type or shape is answered with the same text. TensorFlow is imported with the first ``TensorFlow()``, never before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.servable import Signatures
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import Array


class TensorFlow:
    """The TensorFlow runtime of this process, quiet and on the CPU."""

    def __init__(self, *, intra_op_threads: int = 0, inter_op_threads: int = 0) -> None:
        """Import TensorFlow, which takes seconds. 0 threads: as many as there are CPUs."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        # the server's builds fuse operators with oneDNN, which the node names in error texts show
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        with _stderr_to_null():
            import tensorflow as tf
            from tensorflow.python.saved_model import loader_impl
        tf.get_logger().setLevel("ERROR")
        self._tf = tf
        self._loader_impl = loader_impl
        self._config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads, inter_op_parallelism_threads=inter_op_threads
        )

    def load(self, path: str, tags: Sequence[str], metrics: Metrics) -> SavedModel:
        """Load the SavedModel in the folder ``path``. Raises ServingError."""
        started = time.perf_counter()
        try:
            with _translated_errors(self._tf, path, tags):
                model = self._load(path, tags, metrics)
        except ServingError:
            metrics.record_load_attempt(path, "fail")
            raise
        metrics.record_load_attempt(path, "success")
        metrics.record_load_latency(path, _us_since(started))
        return model

    def read_records(self, path: str) -> Iterator[bytes]:
        """The records of a TFRecord file. Raises ServingError DATA_LOSS for a damaged one."""
        try:
            yield from self._tf.compat.v1.io.tf_record_iterator(path)
        except self._tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from error

    def _load(self, path: str, tags: Sequence[str], metrics: Metrics) -> SavedModel:
        loader = self._loader_impl.SavedModelLoader(path)
        graph = self._tf.Graph()
        session = self._tf.compat.v1.Session(graph=graph, config=self._config)
        with graph.as_default():
            started = time.perf_counter()
            saver, _ = loader.load_graph(graph, tags)
            loader.restore_variables(session, saver)
            metrics.observe_load_stage(path, "restore_graph", _us_since(started))
            started = time.perf_counter()
            loader.run_init_ops(session, tags)
            metrics.observe_load_stage(path, "init_graph", _us_since(started))
        signatures = dict(loader.get_meta_graph_def_from_tags(tags).signature_def)
        return SavedModel(self._tf, session, signatures, metrics.count_graph_run)


class SavedModel:
    """A graph in a session of its own. ``run`` may be called from many threads at once."""

    def __init__(self, tf: Any, session: Any, signatures: Signatures, count_graph_run: Callable[[int], None]) -> None:
        self.signatures = signatures
        self._tf = tf
        self._session = session
        self._count_graph_run = count_graph_run
        self._outputs: dict[str, Any] = {}  # by tensor name; looking one up in the graph is slow

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_s: float | None) -> list[Array]:
        """See ``servable.Run``."""
        started = time.perf_counter()
        inputs = {self._output(name): array for name, array in feeds.items()}
        outputs = [self._output(name) for name in fetches]
        try:
            with self._run_options(timeout_s) as options:
                # the private step beneath Session.run, which would wrap each error text in others of its own
                fetched = self._session._call_tf_sessionrun(options, inputs, outputs, [], None)  # noqa: SLF001
        except self._tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from None
        self._count_graph_run(_us_since(started))
        return [_array(value) for value in fetched]

    def close(self) -> None:
        """Free the graph's memory; nothing may run any more."""
        self._session.close()

    def _output(self, name: str) -> Any:
        output = self._outputs.get(name)
        if output is None:
            try:
                tensor = self._session.graph.get_tensor_by_name(name)
            except (KeyError, ValueError):
                text = f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph"
                raise ServingError(Code.INVALID_ARGUMENT, text) from None
            output = self._outputs[name] = tensor._as_tf_output()  # noqa: SLF001 (what _call_tf_sessionrun takes)
        return output

    @contextmanager
    def _run_options(self, timeout_s: float | None) -> Iterator[Any]:
        if timeout_s is None:
            yield None
            return
        from tensorflow.python.client import pywrap_tf_session

        options = self._tf.compat.v1.RunOptions(timeout_in_ms=max(int(timeout_s * 1000), 1))
        buffer = pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            yield buffer
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)


def _array(value: Any) -> Array:
    """A fetched value; a scalar string comes as plain bytes."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _us_since(started: float) -> int:
    return int((time.perf_counter() - started) * 1e6)


@contextmanager
def _translated_errors(tf: Any, path: str, tags: Sequence[str]) -> Iterator[None]:
    """Turn what the Python loader raises into the statuses of the C++ one (tensorflow/cc/saved_model/reader.cc)."""
    try:
        yield
    except tf.errors.OpError as error:
        raise ServingError(Code(error.error_code), error.message) from error
    except RuntimeError as error:  # no graph with these tags
        wanted = " ".join(tags)
        text = (
            f"Could not find meta graph def matching supplied tags: {{ {wanted} }}. To inspect available tag-sets in "
            "the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
        )
        raise ServingError(Code.NOT_FOUND, text) from error
    except OSError as error:
        file = Path(path, "saved_model.pb")
        if file.is_file():
            raise ServingError(Code.DATA_LOSS, f"Can't parse {file} as binary proto") from error
        text = (
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}. Check that the "
            "directory exists and that you have the right permissions for accessing it."
        )
        raise ServingError(Code.NOT_FOUND, text) from error
    except Exception as error:  # whatever else a damaged graph makes of it
        raise ServingError(Code.INVALID_ARGUMENT, f"{type(error).__name__}: {error}") from error


@contextmanager
def _stderr_to_null() -> Iterator[None]:
    """TensorFlow's C++ writes a few lines at import, whatever its log level is."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
