"""The command line: tensorflow_model_server's flags by their names, and a few of this server's own.

``--flag=value``, ``--flag value`` and, for what is true or false, a bare ``--flag``. Unlike the real server, which
carries on with its defaults, a flag that is unknown or has a wrong value is an error.
Source of names and defaults: tensorflow_serving/model_servers/main.cc and server.h.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

_TRUE, _FALSE = ("true", "1"), ("false", "0")

# real flags whose effect nobody can see from outside, or that only matter on hardware this server does not use
_WITHOUT_EFFECT = frozenset(
    {
        "enable_profiler",
        "flush_filesystem_caches",
        "num_load_threads",
        "num_unload_threads",
        "per_process_gpu_memory_fraction",
        "remove_unused_fields_from_bundle_metagraph",
        "skip_initialize_tpu",
        "xla_cpu_compilation_enabled",
        "xla_gpu_compilation_enabled",
    }
)


def schedulable_cpus() -> int:
    """The CPUs this process may run on; a container's CPU limit does not show here, nor does it in the real server."""
    return len(os.sched_getaffinity(0))


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags' values, as typed. Each field is one flag."""

    port: int = _flag(8500, "TCP port for gRPC; 0: a free one")
    rest_api_port: int = _flag(8501, "TCP port for REST; 0: a free one; -1: no REST")
    host: str = _flag("127.0.0.1", "address to listen on (not a flag of the real server, which listens everywhere)")
    model_name: str = _flag("default", "name of the model (ignored with --model_config_file)")
    model_base_path: str = _flag("", "folder with the model's numbered versions (ignored with --model_config_file)")
    model_config_file: str = _flag("", "ModelServerConfig in text format: the models to serve")
    model_config_file_poll_wait_seconds: int = _flag(0, "how often to read that file again; 0: never")
    file_system_poll_wait_seconds: int = _flag(1, "how often to look for new versions; 0: once; negative: never")
    max_num_load_retries: int = _flag(5, "how often to try again to load a version that failed")
    load_retry_interval_micros: int = _flag(60_000_000, "time between those tries")
    saved_model_tags: str = _flag("serve", "comma-separated tags of the graph to load")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "let an unused label point to a version that is not available yet"
    )
    enable_model_warmup: bool = _flag(True, "replay the warm-up requests of a version before it serves")
    num_request_iterations_for_warmup: int = _flag(0, "how often to replay each of them, if above 0")
    enable_batching: bool = _flag(False, "batch requests")
    batching_parameters_file: str = _flag("", "BatchingParameters in text format")
    enable_per_model_batching_parameters: bool = _flag(
        False, "batch only versions with a batching_params.pbtxt of their own"
    )
    monitoring_config_file: str = _flag("", "MonitoringConfig in text format: the Prometheus page")
    grpc_max_threads: int = _flag(4 * schedulable_cpus(), "calls are refused when all but one of these are busy")
    grpc_channel_arguments: str = _flag("", "key=value,...: passed on to gRPC, e.g. grpc.max_connection_age_ms=2000")
    ssl_config_file: str = _flag("", "SSLConfig in text format, with PEM contents: TLS for gRPC")
    rest_api_num_threads: int = _flag(4 * schedulable_cpus(), "threads for REST; one of them runs the event loop")
    rest_api_timeout_in_ms: int = _flag(30_000, "timeout of a model's run that came through REST")
    rest_api_enable_cors_support: bool = _flag(False, "answer with CORS headers")
    enable_serialization_as_tensor_content: bool = _flag(False, "answer Predict with tensor_content")
    tensorflow_session_parallelism: int = _flag(0, "threads of TensorFlow, within and between operators")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads of TensorFlow within an operator")
    tensorflow_inter_op_parallelism: int = _flag(0, "threads of TensorFlow between operators")
    simulate_delay_ms: str = _flag(
        "",
        "MODEL[/VERSION]=MS[+MS_PER_ROW],...: extra time for each execution, for tests (not a real flag, nor is any "
        "other simulate_...)",
    )
    simulate_load_ms: str = _flag("", "MODEL[/VERSION]=MS,...: a load takes so long at least")
    simulate_cold_ms: str = _flag(
        "", "MODEL[/VERSION]=MSxEXECUTIONS,...: extra time for each of the first executions, warm-up's included"
    )
    simulate_errors: str = _flag(
        "",
        "MODEL[/VERSION]=SHARE[:STATUS],...: an exact share of the answers fails, as 2% or 0.02:UNAVAILABLE (without a "
        "status: INTERNAL); they are counted as errors of the model are",
    )
    simulate_seed: int = _flag(0, "which of the answers these are")
    simulate_outage_ms: int = _flag(
        0, "SIGUSR1 begins an outage of this length: every call is refused (UNAVAILABLE, 503) and not counted; 0: none"
    )
    ready_file: str = _flag("", "written when the server is ready: JSON with grpc, rest, pid")
    version: bool = _flag(False, "print versions and exit")
    help: bool = _flag(False, "print this and exit")


def parse_flags(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """The flags in ``arguments`` and what is wrong with them; a wrong flag keeps its default."""
    known = {flag.name: type(flag.default) for flag in fields(Flags)}
    values: dict[str, Any] = {}
    problems = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            problems.append(f"{argument}: not a flag; flags start with --")
        elif name in _WITHOUT_EFFECT:
            if not equals and rest and not rest[0].startswith("--"):
                rest.pop(0)
        elif name not in known:
            problems.append(_unknown(name, known))
        else:
            kind = known[name]
            if not equals:
                if kind is bool:
                    text = rest.pop(0) if rest and rest[0].lower() in _TRUE + _FALSE else "true"
                elif not rest or rest[0].startswith("--"):
                    problems.append(f"--{name}: needs a value")
                    continue
                else:
                    text = rest.pop(0)
            try:
                values[name] = _value(kind, text)
            except ValueError as error:
                problems.append(f"--{name}: {error}")
    return Flags(**values), problems


def _value(kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise ValueError(f"must be true or false, not {text!r}")
        return text.lower() in _TRUE
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"must be a whole number, not {text!r}") from None
    return text


def _unknown(name: str, known: dict[str, type]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"--{name}: no such flag here; the nearest is --{near[0]}"


def usage() -> str:
    """The text of ``--help``."""
    lines = [
        "A small server with TensorFlow Serving's interfaces, for demos and tests. It is not TensorFlow Serving.",
        "",
    ]
    for flag in fields(Flags):
        default = "" if flag.default in ("", False, MISSING) else f" [{flag.default}]"
        lines.append(f"  --{flag.name}\n        {flag.metadata['help']}{default}")
    lines += ["", "Accepted for the sake of existing command lines, without effect:"]
    lines += [f"  --{name}" for name in sorted(_WITHOUT_EFFECT)]
    return "\n".join(lines)
