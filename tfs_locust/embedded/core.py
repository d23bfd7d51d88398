"""The server without its fronts: requests as protos in, answers as protos out, errors as ServingError.

Finds the version a request means and passes the request on to it; answers what concerns no version by itself. All
methods block and may be called from many threads. Source: tensorflow_serving/model_servers/server_core.cc,
get_model_status_impl.cc, model_service_impl.cc; servables/tensorflow/get_model_metadata_impl.cc.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from tfs_locust.embedded import model_config
from tfs_locust.embedded.examples import classify, multi_inference, regress
from tfs_locust.embedded.lifecycle import Lifecycle, State, VersionState
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.predict import predict
from tfs_locust.embedded.servable import Servable, Signatures
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

_SIGNATURE_DEF = "signature_def"


class ServerCore:
    """The models of one server and what can be asked of them."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        metrics: Metrics,
        *,
        allow_labels_for_unavailable: bool = False,
        as_content: bool = False,
    ) -> None:
        """``as_content``: Predict answers with ``tensor_content`` instead of typed lists."""
        self.metrics = metrics
        self._lifecycle = lifecycle
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._as_content = as_content
        self._config = protos.model_server_config_pb2.ModelServerConfig()
        self._config_lock = threading.Lock()
        self._labels: model_config.Labels | None = None

    def predict(
        self, request: protos.predict_pb2.PredictRequest, *, timeout_s: float | None
    ) -> protos.predict_pb2.PredictResponse:
        """Run a signature on named tensors."""
        if not request.HasField("model_spec"):
            raise _missing_spec()
        with self._servable(request.model_spec) as servable:
            return predict(servable, request, timeout_s, self.metrics, as_content=self._as_content)

    def classify(
        self, request: protos.classification_pb2.ClassificationRequest, *, timeout_s: float | None
    ) -> protos.classification_pb2.ClassificationResponse:
        """Run a classification signature on Examples."""
        if not request.HasField("model_spec"):
            raise _missing_spec()
        with self._servable(request.model_spec) as servable:
            return classify(servable, request, timeout_s, self.metrics)

    def regress(
        self, request: protos.regression_pb2.RegressionRequest, *, timeout_s: float | None
    ) -> protos.regression_pb2.RegressionResponse:
        """Run a regression signature on Examples."""
        if not request.HasField("model_spec"):
            raise _missing_spec()
        with self._servable(request.model_spec) as servable:
            return regress(servable, request, timeout_s, self.metrics)

    def multi_inference(
        self, request: protos.inference_pb2.MultiInferenceRequest, *, timeout_s: float | None
    ) -> protos.inference_pb2.MultiInferenceResponse:
        """Run several signatures of the model the first task names on the same Examples."""
        spec = request.tasks[0].model_spec if request.tasks else protos.model_pb2.ModelSpec()
        with self._servable(spec) as servable:
            return multi_inference(servable, request, timeout_s, self.metrics)

    def get_model_metadata(
        self, request: protos.get_model_metadata_pb2.GetModelMetadataRequest
    ) -> protos.get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version; ``signature_def`` is the one metadata field there is."""
        if not request.HasField("model_spec"):
            raise _missing_spec()
        if not request.metadata_field:
            raise ServingError(
                Code.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise ServingError(Code.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
        response = protos.get_model_metadata_pb2.GetModelMetadataResponse()
        with self._servable(request.model_spec) as servable:
            signatures = protos.get_model_metadata_pb2.SignatureDefMap()
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
        response.metadata[_SIGNATURE_DEF].Pack(signatures, deterministic=True)
        return response

    def get_model_status(
        self, request: protos.get_model_status_pb2.GetModelStatusRequest
    ) -> protos.get_model_status_pb2.GetModelStatusResponse:
        """The state of one version, or of all the model ever had; a label is not looked at."""
        if not request.HasField("model_spec"):
            raise _missing_spec()
        name = request.model_spec.name
        states = self._lifecycle.states(name)
        if request.model_spec.HasField("version"):
            version = request.model_spec.version.value
            if version not in states:
                raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
            states = {version: states[version]}
        elif not states:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        response = protos.get_model_status_pb2.GetModelStatusResponse()
        for version, state in states.items():
            status = response.model_version_status.add(version=version, state=int(state.state))
            status.status.SetInParent()
            if state.error is not None:
                status.status.error_code = int(state.error.code)
                status.status.error_message = state.error.message
        return response

    def reload(
        self, request: protos.model_management_pb2.ReloadConfigRequest
    ) -> protos.model_management_pb2.ReloadConfigResponse:
        """Replace the whole configuration; returns when each model that is new has an available version."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                Code.INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported",
            )
        names = dict.fromkeys(request.metric_names)
        before = {name: _metric_value(self.metrics, name) for name in names}
        self.configure(request.config)
        response = protos.model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name in names:
            response.metric.add(name=name, int64_value_increase=_metric_value(self.metrics, name) - before[name])
        return response

    def configure(self, config: protos.model_server_config_pb2.ModelServerConfig) -> None:
        """Make ``config`` what is served: the first one, and each that follows. Blocks like ``reload``.

        Raises ServingError. As in the real server a configuration that fails late, over its labels or its platforms,
        counts as the current one from then on.
        """
        with self._config_lock:
            kind = config.WhichOneof("config")
            old_kind = self._config.WhichOneof("config")
            if old_kind is not None and config != self._config and kind != "model_config_list":
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to "
                    "another.",
                )
            if kind is None:
                return
            if kind != "model_config_list":
                raise ServingError(Code.UNIMPLEMENTED, "custom_model_config is not supported")
            models = list(config.model_config_list.config)
            old_models = list(self._config.model_config_list.config)
            model_config.check_models(models)
            model_config.check_same_platforms(old_models, models)
            self._config = protos.model_server_config_pb2.ModelServerConfig()
            self._config.CopyFrom(config)
            self._labels = model_config.assign_labels(
                models,
                {model.name: self._lifecycle.states(model.name) for model in models},
                self._labels or {},
                allow_unavailable=self._allow_labels_for_unavailable,
            )
            model_config.check_platforms(models)
            new = {model.name for model in models} - {model.name for model in old_models}
            self._lifecycle.watch(models)
            _check_all_available(self._lifecycle.wait_until_available(new), first=old_kind is None)

    def signatures(self, spec: protos.model_pb2.ModelSpec) -> Signatures:
        """The signatures of the version ``spec`` means."""
        with self._servable(spec) as servable:
            return servable.signatures

    def _servable(self, spec: protos.model_pb2.ModelSpec) -> AbstractContextManager[Servable]:
        """The version ``spec`` means, kept loaded while in use. Raises ServingError."""
        if not spec.name:
            raise ServingError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        match spec.WhichOneof("version_choice"):
            case "version":
                return self._lifecycle.servable(spec.name, spec.version.value)
            case "version_label":
                return self._lifecycle.servable(spec.name, self._version_of_label(spec.name, spec.version_label))
            case _:
                return self._lifecycle.servable(spec.name, None)

    def _version_of_label(self, name: str, label: str) -> int:
        if self._labels is None:
            raise ServingError(Code.UNAVAILABLE, f"Model labels does not init yet.{label}")
        version = self._labels.get(name, {}).get(label)
        if version is None:
            raise ServingError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        return version


def _missing_spec() -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, "Missing ModelSpec")


def _check_all_available(settled: dict[tuple[str, int], VersionState], *, first: bool) -> None:
    failed = {version: state for version, state in settled.items() if state.state is not State.AVAILABLE}
    if not failed:
        return
    details = "".join(
        f"{{{{name: {name} version: {version}}}"
        + (f" due to error: {state.error.code.name}: {state.error.message}" if state.error else "")
        + "}, "
        for (name, version), state in failed.items()
    )
    what = "servable(s)" if first else "model(s)"
    raise ServingError(Code.UNKNOWN, f"{len(failed)} {what} did not become available: {{{details}}}")


def _metric_value(metrics: Metrics, name: str) -> int:
    """The integer of the first cell of the metric TensorFlow calls ``name`` (``/tensorflow/serving/...``), else 0."""
    shown = "".join(c if c.isascii() and (c.isalnum() or c == "_") else ":" for c in name) + "{"
    value = next((line.rsplit(" ", 1)[1] for line in metrics.page().splitlines() if line.startswith(shown)), "0")
    return int(value) if value.isdigit() else 0
