"""What makes a ModelServerConfig acceptable, alone and as the successor of another.

Source: tensorflow_serving/model_servers/server_core.cc.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tfs_locust.embedded.lifecycle import State, VersionState
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos

PLATFORM = "tensorflow"

Labels = Mapping[str, Mapping[str, int]]
"""Version by label by model."""


def single_model(name: str, base_path: str) -> protos.model_server_config_pb2.ModelServerConfig:
    """The configuration that ``--model_name`` and ``--model_base_path`` stand for."""
    config = protos.model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def check_models(models: Iterable[protos.model_server_config_pb2.ModelConfig]) -> None:
    """Raises ServingError INVALID_ARGUMENT for a model named twice or a base path that is not absolute."""
    models = list(models)
    names: set[str] = set()
    for model in models:
        if model.name in names:
            raise _invalid(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in models:
        if not Path(model.base_path).is_absolute():
            raise _invalid(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )


def check_platforms(models: Iterable[protos.model_server_config_pb2.ModelConfig]) -> None:
    """Raises ServingError INVALID_ARGUMENT for a platform other than TensorFlow."""
    for model in models:
        if (platform := _platform(model)) != PLATFORM:
            raise _invalid(f"Model {model.name} requests unsupported platform {platform}")


def check_same_platforms(
    old: Iterable[protos.model_server_config_pb2.ModelConfig],
    new: Iterable[protos.model_server_config_pb2.ModelConfig],
) -> None:
    """Raises ServingError INVALID_ARGUMENT where a model would change its platform."""
    platforms = {model.name: _platform(model) for model in old}
    for model in new:
        if model.name in platforms and (platform := _platform(model)) != platforms[model.name]:
            raise _invalid(
                f"Illegal to change a model's platform. For model {model.name} platform was {platforms[model.name]} "
                f"and new platform requested is {platform}"
            )


def _platform(model: protos.model_server_config_pb2.ModelConfig) -> str:
    types = protos.model_server_config_pb2.ModelType
    if model.model_type != types.MODEL_TYPE_UNSPECIFIED:
        if model.model_platform:
            raise _invalid(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_type != types.TENSORFLOW:
            raise _invalid(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        return PLATFORM
    if not model.model_platform:
        raise _invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            f"model name is {model.name}"
        )
    return str(model.model_platform)


def assign_labels(
    models: Iterable[protos.model_server_config_pb2.ModelConfig],
    states: Mapping[str, Mapping[int, VersionState]],
    current: Labels,
    *,
    allow_unavailable: bool,
) -> Labels:
    """The labels of ``models``. A label may point to an available version; where ``allow_unavailable``, a label that
    points nowhere else yet may point to any.

    Raises ServingError FAILED_PRECONDITION.
    """
    labels: dict[str, dict[str, int]] = {}
    for model in models:
        for label, version in _labels(model):
            before = current.get(model.name, {}).get(label)
            state = states.get(model.name, {}).get(version)
            available = state is not None and state.state is State.AVAILABLE
            if not available and not (allow_unavailable and before in (None, version)):
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {model.name}, which is not currently "
                    "available for inference",
                )
            labels.setdefault(model.name, {})[label] = version
    return labels


def _labels(model: protos.model_server_config_pb2.ModelConfig) -> Iterator[tuple[str, int]]:
    yield from sorted(model.version_labels.items())


def _invalid(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)
