"""How one version becomes a servable: loaded by TensorFlow, batched and behaving as the options say, warmed up."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from tfs_locust.embedded.batching import BatchedRun, BatchScheduler
from tfs_locust.embedded.flags import schedulable_cpus
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.options import ServerOptions
from tfs_locust.embedded.planted import Cold, Delay, planted_at
from tfs_locust.embedded.saved_model import SavedModel, TensorFlow
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.simulated import failing, slowed
from tfs_locust.embedded.status import Code, ServingError
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
        flags, planted = self._options.flags, self._options.planted
        started = time.monotonic()
        model = self._tensorflow.load(path, flags.saved_model_tags.split(","), self._metrics)
        missing_s = planted_at(planted.loads_s, name, version, 0.0) - (time.monotonic() - started)
        if missing_s > 0:
            time.sleep(missing_s)
            self._metrics.record_load_latency(path, round(missing_s * 1e6))
        try:
            servable = self._servable(name, version, path, model)
            if flags.enable_model_warmup:
                iterations = max(flags.num_request_iterations_for_warmup, 1)
                warm_up(servable, path, self._tensorflow.read_records, self._metrics, iterations)
        except ServingError:
            model.close()
            raise
        errors = planted_at(planted.errors, name, version, None)
        if errors is None:
            return servable
        # now, for a warm-up request that fails would fail the load; and outside of batches, which fail as a whole
        return replace(servable, run=failing(servable.run, errors, f"{planted.seed} {name} {version}"))

    def stop(self) -> None:
        """End the batch threads."""
        if self._scheduler is not None:
            self._scheduler.stop()

    def _servable(self, name: str, version: int, path: str, model: SavedModel) -> Servable:
        planted = self._options.planted
        delay = planted_at(planted.delays, name, version, Delay())
        run = slowed(model.run, delay, planted_at(planted.colds, name, version, Cold()))
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
