"""How one version becomes a servable: loaded by TensorFlow, delayed and batched as the options say, warmed up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfs_locust.embedded.batching import BatchedRun, BatchScheduler
from tfs_locust.embedded.flags import schedulable_cpus
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.options import Delay, ServerOptions
from tfs_locust.embedded.saved_model import SavedModel, TensorFlow
from tfs_locust.embedded.servable import Run, Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import Array
from tfs_locust.embedded.warmup import warm_up
from tfs_locust.tfserving.batching import BatchingParameters
from tfs_locust.tfserving.text_proto import TextProtoError

_BATCHING_PARAMETERS = "batching_params.pbtxt"


class VersionLoader:
    """Loads versions for one server; they share its batch threads."""

    def __init__(self, tensorflow: TensorFlow, options: ServerOptions, metrics: Metrics) -> None:
        self._tensorflow = tensorflow
        self._options = options
        self._metrics = metrics
        self._scheduler = None if options.batching is None else _scheduler(options.batching)

    def __call__(self, name: str, version: int, path: str) -> Servable:
        """Load version ``version`` of the model ``name`` from the folder ``path``. Raises ServingError."""
        flags = self._options.flags
        model = self._tensorflow.load(path, flags.saved_model_tags.split(","), self._metrics)
        try:
            servable = self._servable(name, version, path, model)
            if flags.enable_model_warmup:
                iterations = max(flags.num_request_iterations_for_warmup, 1)
                warm_up(servable, path, self._tensorflow.read_records, self._metrics, iterations)
        except ServingError:
            model.close()
            raise
        return servable

    def stop(self) -> None:
        """End the batch threads."""
        if self._scheduler is not None:
            self._scheduler.stop()

    def _servable(self, name: str, version: int, path: str, model: SavedModel) -> Servable:
        delay = self._options.delays.get(name)
        run = model.run if delay is None else _delayed(model.run, delay)
        parameters = self._batching_parameters(path)
        if self._scheduler is None or parameters is None:
            return Servable(name, version, model.signatures, run, model.close)
        batched = BatchedRun(run, self._scheduler, parameters, self._metrics)

        def close() -> None:
            batched.close()
            model.close()

        return Servable(name, version, model.signatures, batched, close)

    def _batching_parameters(self, path: str) -> BatchingParameters | None:
        if not self._options.flags.enable_per_model_batching_parameters:
            return self._options.batching
        file = Path(path, _BATCHING_PARAMETERS)
        if not file.exists():
            return None
        try:
            return BatchingParameters.read(str(file))
        except TextProtoError as error:
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error


def _scheduler(parameters: BatchingParameters) -> BatchScheduler:
    threads = parameters.num_batch_threads
    return BatchScheduler(schedulable_cpus() if threads is None else threads, parameters.thread_pool_name)


def _delayed(run: Run, delay: Delay) -> Run:
    """``run`` as a slower model would do it: it cannot be interrupted, and is late for its timeout when it ends."""

    def delayed(feeds: Mapping[str, Array], fetches: Sequence[str], timeout_s: float | None) -> list[Array]:
        first = next(iter(feeds.values()), None)
        rows = 1 if first is None or first.ndim == 0 else len(first)
        seconds = delay.base_s + delay.per_row_s * rows
        time.sleep(seconds)
        if timeout_s is not None and timeout_s <= seconds:
            raise ServingError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
        return run(feeds, fetches, None if timeout_s is None else timeout_s - seconds)

    return delayed
