"""Which model configurations are accepted, and where labels may point."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format

from tfs_locust.embedded.lifecycle import State, VersionState
from tfs_locust.embedded.model_config import (
    assign_labels,
    check_models,
    check_platforms,
    check_same_platforms,
    single_model,
)
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

_AVAILABLE = {"m": {2: VersionState(State.AVAILABLE, None), 1: VersionState(State.END, None)}}


def _models(text: str) -> Any:
    config = text_format.Parse(f"model_config_list {{ {text} }}", protos.model_server_config_pb2.ModelServerConfig())
    return config.model_config_list.config


def _model(name: str = "m", path: str = "/m", platform: str = "tensorflow", rest: str = "") -> str:
    return f'config {{ name: "{name}" base_path: "{path}" model_platform: "{platform}" {rest} }}'


def _labels(label: str, version: int) -> Any:
    return _models(_model(rest=f'version_labels {{ key: "{label}" value: {version} }}'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_model() + _model(), "Illegal to list model m multiple times in config list"),
        (
            _model(path="models/m"),
            "Expected model m to have an absolute path or URI; got base_path()=models/m",
        ),
    ],
)
def test_wrong_models(text: str, message: str) -> None:
    """Names are unique, base paths absolute."""
    with pytest.raises(ServingError) as error:
        check_models(_models(text))
    assert (error.value.code, error.value.message) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_model(platform="onnx"), "Model m requests unsupported platform onnx"),
        (
            _model(platform=""),
            (
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                "ModelServerConfig::model_platform, model name is m"
            ),
        ),
        (
            _model(rest="model_type: TENSORFLOW"),
            (
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                "ModelServerConfig::model_platform, model name is m"
            ),
        ),
        (_model(platform="", rest="model_type: OTHER"), "ModelServerConfig::model_type choice 2 not supported."),
    ],
)
def test_wrong_platforms(text: str, message: str) -> None:
    """TensorFlow is the one platform, however it is said."""
    with pytest.raises(ServingError) as error:
        check_platforms(_models(text))
    assert (error.value.code, error.value.message) == (Code.INVALID_ARGUMENT, message)


def test_deprecated_way_to_name_the_platform() -> None:
    """model_type TENSORFLOW is as good."""
    check_platforms(_models(_model(platform="", rest="model_type: TENSORFLOW")))


def test_a_model_keeps_its_platform() -> None:
    """A successor configuration may not change it; a new model may have any."""
    check_same_platforms(_models(_model()), _models(_model() + _model("n", platform="x")))
    with pytest.raises(ServingError) as error:
        check_same_platforms(_models(_model()), _models(_model(platform="x")))
    assert error.value.message == (
        "Illegal to change a model's platform. For model m platform was tensorflow and new platform requested is x"
    )


def test_single_model() -> None:
    """The two flags make a configuration of one TensorFlow model."""
    model = single_model("m", "/base").model_config_list.config[0]
    assert (model.name, model.base_path, model.model_platform) == ("m", "/base", "tensorflow")


def test_label_of_an_available_version() -> None:
    """It is assigned, and may have pointed elsewhere before."""
    labels = assign_labels(_labels("stable", 2), _AVAILABLE, {"m": {"stable": 1}}, allow_unavailable=False)
    assert labels == {"m": {"stable": 2}}


@pytest.mark.parametrize(
    ("version", "current", "allow", "accepted"),
    [
        (1, {}, False, False),
        (9, {}, False, False),
        (9, {}, True, True),
        (9, {"m": {"stable": 9}}, True, True),
        (9, {"m": {"stable": 2}}, True, False),
        (9, {"other": {"stable": 2}}, True, True),
    ],
)
def test_label_of_an_unavailable_version(
    version: int, current: dict[str, dict[str, int]], allow: bool, accepted: bool
) -> None:
    """Only where the flag allows it, and never to move a label that is in use."""
    if accepted:
        labels = assign_labels(_labels("stable", version), _AVAILABLE, current, allow_unavailable=allow)
        assert labels == {"m": {"stable": version}}
        return
    with pytest.raises(ServingError) as error:
        assign_labels(_labels("stable", version), _AVAILABLE, current, allow_unavailable=allow)
    assert error.value.code is Code.FAILED_PRECONDITION
    assert error.value.message == (
        f"Request to assign label to version {version} of model m, which is not currently available for inference"
    )
