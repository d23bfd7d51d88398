"""What the server is to do: its flags made into settings, the files they name read and checked.

All that is wrong is found before anything starts, and is said at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tfs_locust.embedded.flags import Flags, parse_flags
from tfs_locust.embedded.model_config import check_models, check_platforms, single_model
from tfs_locust.embedded.planted import Planted, read_planted
from tfs_locust.embedded.status import ServingError
from tfs_locust.embedded.versions import aspired_versions, versions_on_disk
from tfs_locust.tfserving import protos
from tfs_locust.tfserving.batching import BatchingParameters
from tfs_locust.tfserving.text_proto import BOOL, STRING, FieldType, TextProtoError, declare_messages, read_text_proto

_DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"

# declared in tensorflow_serving/config: monitoring_config and ssl_config
_MESSAGES = declare_messages(
    "tensorflow.serving",
    {
        "PrometheusConfig": (FieldType("enable", 1, BOOL), FieldType("path", 2, STRING)),
        "MonitoringConfig": (FieldType("prometheus_config", 1, ".tensorflow.serving.PrometheusConfig"),),
        "SSLConfig": (
            FieldType("server_key", 1, STRING),
            FieldType("server_cert", 2, STRING),
            FieldType("custom_ca", 3, STRING),
            FieldType("client_verify", 4, BOOL),
        ),
    },
)


class OptionsError(Exception):
    """Settings the server cannot start with; ``problems`` names each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM contents, as in an SSLConfig."""

    server_key: bytes
    server_cert: bytes
    custom_ca: bytes | None
    client_verify: bool


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """One server's settings: ``flags`` for what is plain there, the rest made of what the flags refer to."""

    flags: Flags
    model_config: protos.model_server_config_pb2.ModelServerConfig
    batching: BatchingParameters | None
    metrics_path: str | None
    tls: Tls | None
    channel_arguments: Mapping[str, int | str]
    planted: Planted


def read_options(arguments: Sequence[str]) -> ServerOptions:
    """Settings from a command line. Raises OptionsError with everything that is wrong."""
    flags, problems = parse_flags(arguments)

    def collect(read: Any, *args: Any, otherwise: Any = None) -> Any:
        try:
            return read(*args)
        except (TextProtoError, ServingError, ValueError) as error:
            problems.append(str(error))
            return otherwise

    config = collect(read_model_config, flags, otherwise=protos.model_server_config_pb2.ModelServerConfig())
    models = list(config.model_config_list.config)
    for check in (check_models, check_platforms):
        collect(check, models)
    problems.extend(problem for model in models if (problem := _folder_problem(model)) is not None)
    planted, problems_of_planted = read_planted(flags)
    options = ServerOptions(
        flags,
        config,
        collect(_batching, flags),
        collect(_metrics_path, flags),
        collect(_tls, flags),
        collect(_channel_arguments, flags, otherwise={}),
        planted,
    )
    problems += problems_of_planted
    if flags.rest_api_port > 0 and flags.rest_api_port == flags.port:
        problems.append(f"--port and --rest_api_port are both {flags.port}; give them different ports")
    if flags.rest_api_port >= 0 and flags.rest_api_num_threads < 2:
        problems.append(
            "--rest_api_num_threads: one thread runs the event loop, so there must be 2 at least (with 1 the real "
            "server answers nothing)"
        )
    if problems:
        raise OptionsError(problems)
    return options


def read_model_config(flags: Flags) -> protos.model_server_config_pb2.ModelServerConfig:
    """The models to serve. Raises TextProtoError for the file, ValueError where nothing says what to serve."""
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, protos.model_server_config_pb2.ModelServerConfig())
    if not flags.model_base_path:
        raise ValueError("nothing to serve: give --model_base_path or --model_config_file")
    return single_model(flags.model_name, str(Path(flags.model_base_path).absolute()))


def _folder_problem(model: protos.model_server_config_pb2.ModelConfig) -> str | None:
    """What keeps the model from ever having a version; the real server would wait for one for ever."""
    asked = f"model {model.name!r}, base path {model.base_path}"
    try:
        on_disk = versions_on_disk(model.base_path)
    except OSError as error:
        return f"{asked}: {error.strerror}; give the folder that holds the numbered version folders"
    if aspired_versions(model, on_disk):
        return None
    if on_disk:
        there = ", ".join(map(str, sorted(on_disk)))
        return f"{asked}: has version {there}, none of which model_version_policy asks for"
    if Path(model.base_path, "saved_model.pb").exists():
        hint = f"it is a SavedModel itself; move it into a numbered folder, {Path(model.base_path, '1')}"
    else:
        names = sorted(child.name for child in Path(model.base_path).iterdir())
        there = f"it holds {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "it is empty"
        hint = f"{there}; put the SavedModel into a numbered folder, {Path(model.base_path, '1')}"
    return f"{asked}: has no version; {hint}"


def _batching(flags: Flags) -> BatchingParameters | None:
    if not flags.enable_batching:
        if flags.batching_parameters_file:
            raise ValueError("--batching_parameters_file is set without --enable_batching")
        return None
    if not flags.batching_parameters_file:
        return BatchingParameters(thread_pool_name="model_server_batch_threads")
    parameters = BatchingParameters.read(flags.batching_parameters_file)
    if problems := parameters.problems():  # no model would ever load
        raise ValueError(f"{flags.batching_parameters_file}: {'; '.join(problems)}")
    return parameters


def _metrics_path(flags: Flags) -> str | None:
    if not flags.monitoring_config_file:
        return None
    message = cast("Any", read_text_proto(flags.monitoring_config_file, _MESSAGES["MonitoringConfig"]()))
    config = message.prometheus_config
    return str(config.path or _DEFAULT_METRICS_PATH) if config.enable else None


def _tls(flags: Flags) -> Tls | None:
    if not flags.ssl_config_file:
        return None
    config = cast("Any", read_text_proto(flags.ssl_config_file, _MESSAGES["SSLConfig"]()))
    if not config.server_key or not config.server_cert:
        raise ValueError(f"{flags.ssl_config_file}: needs server_key and server_cert, the PEM contents, not paths")
    ca = config.custom_ca.encode() or None
    return Tls(config.server_key.encode(), config.server_cert.encode(), ca, config.client_verify)


def _channel_arguments(flags: Flags) -> dict[str, int | str]:
    arguments: dict[str, int | str] = {}
    for argument in filter(None, flags.grpc_channel_arguments.split(",")):
        key, equals, value = argument.partition("=")
        if not equals:
            raise ValueError(f"--grpc_channel_arguments: {argument!r} is not key=value")
        try:
            arguments[key] = int(value)
        except ValueError:
            arguments[key] = value
    return arguments
