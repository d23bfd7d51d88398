"""The command line: values, forms, mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from tfs_locust.embedded.flags import Flags, parse_flags, schedulable_cpus, usage


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--port=9000"], {"port": 9000}),
        (["--port", "9000", "--model_name", "m"], {"port": 9000, "model_name": "m"}),
        (["--rest_api_port=-1"], {"rest_api_port": -1}),
        (["--rest_api_port", "-1"], {"rest_api_port": -1}),
        (["--enable_batching"], {"enable_batching": True}),
        (["--enable_batching", "--port=1"], {"enable_batching": True, "port": 1}),
        (["--enable_batching", "true"], {"enable_batching": True}),
        (["--enable_batching=TRUE"], {"enable_batching": True}),
        (["--enable_batching=1"], {"enable_batching": True}),
        (["--enable_model_warmup=false"], {"enable_model_warmup": False}),
        (["--enable_model_warmup", "0"], {"enable_model_warmup": False}),
        (["--model_base_path="], {"model_base_path": ""}),
        (["--grpc_channel_arguments=a=1,b=2"], {"grpc_channel_arguments": "a=1,b=2"}),
        (["--port=1", "--port=2"], {"port": 2}),
        (["--flush_filesystem_caches=false", "--num_load_threads", "3", "--enable_profiler"], {}),
    ],
)
def test_values(arguments: list[str], expected: dict[str, Any]) -> None:
    """`--flag=value`, `--flag value`, bare flags for booleans; the last of two wins; some real flags do nothing."""
    assert parse_flags(arguments) == (Flags(**expected), [])


def test_defaults_are_the_docker_images() -> None:
    """gRPC on 8500, REST on 8501; thread counts follow the CPUs."""
    flags = Flags()
    assert (flags.port, flags.rest_api_port, flags.host) == (8500, 8501, "127.0.0.1")
    assert flags.grpc_max_threads == flags.rest_api_num_threads == 4 * schedulable_cpus()
    assert (flags.file_system_poll_wait_seconds, flags.rest_api_timeout_in_ms) == (1, 30_000)


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("--enable_baching", "--enable_baching: no such flag here; the nearest is --enable_batching"),
        ("--model_path=/m", "--model_path: no such flag here; the nearest is --model_base_path"),
        ("--port=http", "--port: must be a whole number, not 'http'"),
        ("--port", "--port: needs a value"),
        ("--enable_batching=maybe", "--enable_batching: must be true or false, not 'maybe'"),
        ("serve", "serve: not a flag; flags start with --"),
        ("-port=1", "-port=1: not a flag; flags start with --"),
    ],
)
def test_mistakes(argument: str, problem: str) -> None:
    """A wrong flag is named, with what would be right; the others count."""
    flags, problems = parse_flags(["--model_name=m", argument])
    assert problems == [problem]
    assert flags == Flags(model_name="m")


def test_all_mistakes_at_once() -> None:
    """The first mistake does not hide the second."""
    _, problems = parse_flags(["--port=x", "--nope", "--rest_api_port=y"])
    assert [problem.split(":")[0] for problem in problems] == ["--port", "--nope", "--rest_api_port"]


def test_usage_says_what_this_is() -> None:
    """Nobody should take it for TensorFlow Serving; every flag is listed."""
    text = usage()
    assert "for demos and tests. It is not TensorFlow Serving." in text
    assert all(f"--{name}" in text for name in Flags.__dataclass_fields__)
