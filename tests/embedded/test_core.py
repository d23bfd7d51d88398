"""The core: which version a request means, status, metadata, reload; over a real lifecycle, without TensorFlow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tfs_locust.embedded.core import ServerCore
from tfs_locust.embedded.lifecycle import Lifecycle
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

_SIGNATURE = text_format.Parse(
    'inputs { key: "x" value { name: "x:0" } } outputs { key: "v" value { name: "v:0" } }',
    protos.meta_graph_pb2.SignatureDef(),
)


def _load(name: str, version: int, path: str) -> Servable:
    """A model that answers with its version; one called broken does not load."""
    assert Path(path).is_dir()
    if name == "broken":
        raise ServingError(Code.NOT_FOUND, "no saved_model.pb")
    return Servable(
        name, version, {"serving_default": _SIGNATURE}, lambda *_: [np.array([version], np.int64)], lambda: None
    )


@pytest.fixture
def core(tmp_path: Path) -> Iterator[ServerCore]:
    """A core that serves m with versions 1 and 2, labelled stable and canary."""
    for version in (1, 2):
        (tmp_path / "m" / str(version)).mkdir(parents=True)
    lifecycle = Lifecycle(_load, poll_wait_s=0.01, max_load_retries=0)
    core = ServerCore(lifecycle, Metrics(), allow_labels_for_unavailable=True)
    core.configure(_config(tmp_path))
    assert lifecycle.wait_until_settled(30)
    yield core
    lifecycle.stop()


def _config(base: Path, more: str = "") -> Any:
    text = f"""model_config_list {{
        config {{ name: "m" base_path: "{base}/m" model_platform: "tensorflow" model_version_policy {{ all {{}} }}
                  version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }}
        {more} }}"""
    return text_format.Parse(text, protos.model_server_config_pb2.ModelServerConfig())


def _spec(text: str) -> Any:
    return text_format.Parse(text, protos.model_pb2.ModelSpec())


def _predict(core: ServerCore, spec: str) -> int:
    request = protos.predict_pb2.PredictRequest(model_spec=_spec(spec))
    request.inputs["x"].dtype = protos.types_pb2.DT_FLOAT
    return int(core.predict(request, timeout_s=None).outputs["v"].int64_val[0])


def _error(call: Callable[[], object]) -> tuple[Code, str]:
    with pytest.raises(ServingError) as error:
        call()
    return error.value.code, error.value.message


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ('name: "m"', 2),
        ('name: "m" version { value: 1 }', 1),
        ('name: "m" version_label: "stable"', 1),
        ('name: "m" version_label: "canary"', 2),
    ],
)
def test_the_version_a_request_means(spec: str, version: int, core: ServerCore) -> None:
    """By number, by label, or the highest."""
    assert _predict(core, spec) == version


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        ("", Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ("version { value: 1 }", Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ('name: "x"', Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
        ('name: "m" version {}', Code.NOT_FOUND, "Servable not found for request: Specific(m, 0)"),
        ('name: "m" version { value: 9 }', Code.NOT_FOUND, "Servable not found for request: Specific(m, 9)"),
        ('name: "m" version_label: "x"', Code.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
        ('name: "m" version_label: ""', Code.INVALID_ARGUMENT, "Unrecognized servable version label: "),
        ('name: "x" version_label: "stable"', Code.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
    ],
)
def test_versions_that_are_not_there(spec: str, code: Code, text: str, core: ServerCore) -> None:
    """Each way to miss has the server's code and text; an empty model_spec is one that has no name."""
    assert _error(lambda: _predict(core, spec)) == (code, text)
    assert _error(lambda: core.signatures(_spec(spec))) == (code, text)


@pytest.mark.parametrize(
    "call",
    [
        lambda core: core.predict(protos.predict_pb2.PredictRequest(), timeout_s=None),
        lambda core: core.classify(protos.classification_pb2.ClassificationRequest(), timeout_s=None),
        lambda core: core.regress(protos.regression_pb2.RegressionRequest(), timeout_s=None),
        lambda core: core.get_model_metadata(protos.get_model_metadata_pb2.GetModelMetadataRequest()),
        lambda core: core.get_model_status(protos.get_model_status_pb2.GetModelStatusRequest()),
    ],
)
def test_missing_spec(call: Callable[[ServerCore], object], core: ServerCore) -> None:
    """Every call but MultiInference insists on a model_spec."""
    assert _error(lambda: call(core)) == (Code.INVALID_ARGUMENT, "Missing ModelSpec")


def test_multi_inference_without_tasks(core: ServerCore) -> None:
    """Its model is the first task's; without tasks it has no name."""
    request = protos.inference_pb2.MultiInferenceRequest()
    assert _error(lambda: core.multi_inference(request, timeout_s=None)) == (
        Code.INVALID_ARGUMENT,
        "ModelSpec has no name specified.",
    )


def test_labels_before_any_configuration() -> None:
    """A server that was given no models does not know labels yet."""
    lifecycle = Lifecycle(_load)
    core = ServerCore(lifecycle, Metrics())
    core.configure(protos.model_server_config_pb2.ModelServerConfig())
    assert _error(lambda: core.signatures(_spec('name: "m" version_label: "a"'))) == (
        Code.UNAVAILABLE,
        "Model labels does not init yet.a",
    )
    lifecycle.stop()


def _metadata(core: ServerCore, *fields: str, spec: str = 'name: "m" version { value: 1 }') -> Any:
    return core.get_model_metadata(
        protos.get_model_metadata_pb2.GetModelMetadataRequest(model_spec=_spec(spec), metadata_field=fields)
    )


def test_metadata(core: ServerCore) -> None:
    """The signatures come packed, with the version they belong to; a field named twice is answered once."""
    response = _metadata(core, "signature_def", "signature_def")
    signatures = protos.get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert dict(signatures.signature_def) == {"serving_default": _SIGNATURE}
    assert response.model_spec == _spec('name: "m" version { value: 1 }')
    assert core.signatures(_spec('name: "m"')) == {"serving_default": _SIGNATURE}


def test_wrong_metadata_requests(core: ServerCore) -> None:
    """At least one field, no other than signature_def, checked before the model is looked for."""
    assert _error(lambda: _metadata(core, spec='name: "x"')) == (
        Code.INVALID_ARGUMENT,
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    assert _error(lambda: _metadata(core, "signature_def", "other", spec='name: "x"')) == (
        Code.INVALID_ARGUMENT,
        "Metadata field other is not supported",
    )


def _status(core: ServerCore, spec: str) -> list[tuple[int, int, int, str]]:
    response = core.get_model_status(protos.get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(spec)))
    return [(v.version, v.state, v.status.error_code, v.status.error_message) for v in response.model_version_status]


def test_status(core: ServerCore) -> None:
    """All versions newest first, one by its number; a label is not looked at."""
    assert _status(core, 'name: "m"') == [(2, 30, 0, ""), (1, 30, 0, "")]
    assert _status(core, 'name: "m" version { value: 1 }') == [(1, 30, 0, "")]
    assert _status(core, 'name: "m" version_label: "stable"') == [(2, 30, 0, ""), (1, 30, 0, "")]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ('name: "x"', "Could not find any versions of model x"),
        ("", "Could not find any versions of model "),
        ('name: "m" version { value: 9 }', "Could not find version 9 of model m"),
        ('name: "x" version { value: 1 }', "Could not find version 1 of model x"),
    ],
)
def test_status_of_what_is_unknown(spec: str, text: str, core: ServerCore) -> None:
    """A model or version nobody ever saw is NOT_FOUND."""
    assert _error(lambda: _status(core, spec)) == (Code.NOT_FOUND, text)


def _reload(core: ServerCore, config: Any, *metric_names: str) -> Any:
    return core.reload(protos.model_management_pb2.ReloadConfigRequest(config=config, metric_names=metric_names))


def _model(base: Path, name: str) -> str:
    (base / name / "1").mkdir(parents=True, exist_ok=True)
    return f'config {{ name: "{name}" base_path: "{base}/{name}" model_platform: "tensorflow" }}'


def test_reload_returns_when_the_new_model_is_available(core: ServerCore, tmp_path: Path) -> None:
    """The call ends with OK and the new model serves."""
    response = _reload(core, _config(tmp_path, _model(tmp_path, "n")))
    assert response.HasField("status")
    assert (response.status.error_code, response.status.error_message) == (0, "")
    assert _predict(core, 'name: "n"') == 1


def test_reload_replaces_the_whole_configuration(core: ServerCore, tmp_path: Path) -> None:
    """A model left out ends and is not found any more; its labels are gone at once."""
    config = text_format.Parse(
        f"model_config_list {{ {_model(tmp_path, 'n')} }}", protos.model_server_config_pb2.ModelServerConfig()
    )
    _reload(core, config)
    deadline = time.monotonic() + 30
    while {state for _, state, _, _ in _status(core, 'name: "m"')} != {50}:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert _error(lambda: _predict(core, 'name: "m"')) == (
        Code.NOT_FOUND,
        "Servable not found for request: Latest(m)",
    )
    assert _error(lambda: _predict(core, 'name: "m" version_label: "stable"'))[0] is Code.INVALID_ARGUMENT


def test_reload_that_only_moves_labels(core: ServerCore, tmp_path: Path) -> None:
    """A label moves to another available version; no model is loaded anew."""
    config = _config(tmp_path)
    config.model_config_list.config[0].version_labels["stable"] = 2
    _reload(core, config)
    assert _predict(core, 'name: "m" version_label: "stable"') == 2


def test_reload_with_a_label_to_nowhere(core: ServerCore, tmp_path: Path) -> None:
    """A label in use cannot move to a version that is not available; the old labels stay."""
    config = _config(tmp_path)
    config.model_config_list.config[0].version_labels["stable"] = 9
    assert _error(lambda: _reload(core, config)) == (
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 9 of model m, which is not currently available for inference",
    )
    assert _predict(core, 'name: "m" version_label: "stable"') == 1


def test_reload_with_a_model_that_does_not_load(core: ServerCore, tmp_path: Path) -> None:
    """The call ends with the load's error once it has been given up; the other model serves on."""
    assert _error(lambda: _reload(core, _config(tmp_path, _model(tmp_path, "broken")))) == (
        Code.UNKNOWN,
        (
            "1 model(s) did not become available: {{{name: broken version: 1} due to error: NOT_FOUND: "
            "no saved_model.pb}, }"
        ),
    )
    assert _status(core, 'name: "broken"') == [(1, 50, 5, "no saved_model.pb")]
    assert _predict(core, 'name: "m"') == 2


def test_first_configuration_that_does_not_load(tmp_path: Path) -> None:
    """At the start the text speaks of servables."""
    lifecycle = Lifecycle(_load, max_load_retries=0)
    core = ServerCore(lifecycle, Metrics())
    text = f"model_config_list {{ {_model(tmp_path, 'broken')} }}"
    config = text_format.Parse(text, protos.model_server_config_pb2.ModelServerConfig())
    code, message = _error(lambda: core.configure(config))
    lifecycle.stop()
    assert (code, message) == (
        Code.UNKNOWN,
        (
            "1 servable(s) did not become available: {{{name: broken version: 1} due to error: NOT_FOUND: "
            "no saved_model.pb}, }"
        ),
    )


@pytest.mark.parametrize("text", ["", "custom_model_config {}"])
def test_reload_takes_nothing_but_a_list_of_models(text: str, core: ServerCore) -> None:
    """An empty request is refused, and so is any other kind of configuration."""
    config = text_format.Parse(text, protos.model_server_config_pb2.ModelServerConfig())
    assert _error(lambda: _reload(core, config)) == (
        Code.INVALID_ARGUMENT,
        (
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        ),
    )


def test_reload_reports_metrics(core: ServerCore, tmp_path: Path) -> None:
    """Counters asked for come with their increase, names nobody knows with 0."""
    count = "/tensorflow/serving/request_count"
    stop = threading.Event()

    def count_requests() -> None:
        while not stop.wait(0.0001):
            core.metrics.count_request("m", "OK")

    thread = threading.Thread(target=count_requests)
    thread.start()
    response = _reload(core, _config(tmp_path, _model(tmp_path, "n")), count, "/nope")
    stop.set()
    thread.join()
    increases = {metric.name: metric.int64_value_increase for metric in response.metric}
    assert increases.keys() == {count, "/nope"}
    assert increases[count] > 0
    assert increases["/nope"] == 0
