"""Settings made from flags and files, and every mistake found before the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfs_locust.embedded.options import OptionsError, ServerOptions, Tls, read_options
from tfs_locust.tfserving.batching import BatchingParameters


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A base path with one version; nobody looks inside."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    return tmp_path / "m"


def _options(model: Path, *flags: str) -> ServerOptions:
    return read_options([f"--model_base_path={model}", "--model_name=m", *flags])


def _problems(*flags: str) -> tuple[str, ...]:
    with pytest.raises(OptionsError) as error:
        read_options(flags)
    return error.value.problems


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_one_model(model: Path) -> None:
    """The two model flags make a configuration; batching, metrics and TLS are off."""
    options = _options(model)
    config = options.model_config.model_config_list.config[0]
    assert (config.name, config.base_path) == ("m", str(model))
    assert (options.batching, options.metrics_path, options.tls) == (None, None, None)


def test_relative_base_path(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line a path may be relative to where one is."""
    monkeypatch.chdir(model.parent)
    assert _options(Path("m")).model_config.model_config_list.config[0].base_path == str(model)


def test_batching(model: Path, tmp_path: Path) -> None:
    """Batching without a file uses the defaults, under a thread pool name of its own."""
    assert _options(model, "--enable_batching").batching == BatchingParameters(
        thread_pool_name="model_server_batch_threads"
    )
    file = _write(tmp_path / "batching.config", "max_batch_size { value: 8 }")
    assert _options(model, "--enable_batching", f"--batching_parameters_file={file}").batching == BatchingParameters(8)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ("prometheus_config {}", None),
        ("", None),
    ],
)
def test_metrics_path(text: str, path: str | None, model: Path, tmp_path: Path) -> None:
    """The page is off unless its configuration turns it on."""
    file = _write(tmp_path / "monitoring.config", text)
    assert _options(model, f"--monitoring_config_file={file}").metrics_path == path


def test_tls(model: Path, tmp_path: Path) -> None:
    """An SSLConfig holds PEM contents."""
    file = _write(tmp_path / "ssl.config", 'server_key: "K\\n" server_cert: "C" client_verify: true')
    assert _options(model, f"--ssl_config_file={file}").tls == Tls(b"K\n", b"C", None, True)


def test_channel_arguments(model: Path) -> None:
    """Numbers are passed on as numbers, the rest as text."""
    options = _options(model, "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.x=y")
    assert options.channel_arguments == {"grpc.max_connection_age_ms": 2000, "grpc.x": "y"}


def test_folder_without_a_version(tmp_path: Path) -> None:
    """What was given, what is there and what to do are said."""
    assert _problems(f"--model_base_path={tmp_path}") == (
        (
            f"model 'default', base path {tmp_path}: has no version; it is empty; put the SavedModel into a numbered "
            f"folder, {tmp_path}/1"
        ),
    )
    (tmp_path / "latest").mkdir()
    assert "has no version; it holds latest; put" in _problems(f"--model_base_path={tmp_path}")[0]
    (tmp_path / "saved_model.pb").touch()
    assert (
        f"it is a SavedModel itself; move it into a numbered folder, {tmp_path}/1"
        in (_problems(f"--model_base_path={tmp_path}")[0])
    )


def test_missing_folder(tmp_path: Path) -> None:
    """A base path that is not there is an error now, not a wait without end."""
    assert _problems(f"--model_base_path={tmp_path}/none") == (
        (
            f"model 'default', base path {tmp_path}/none: No such file or directory; give the folder that holds the "
            "numbered version folders"
        ),
    )


def test_versions_nobody_asks_for(model: Path, tmp_path: Path) -> None:
    """A policy that excludes all there is can never be served."""
    file = _write(
        tmp_path / "models.config",
        f"""model_config_list {{ config {{ name: "m" base_path: "{model}" model_platform: "tensorflow"
            model_version_policy {{ specific {{ versions: 7 }} }} }} }}""",
    )
    assert _problems(f"--model_config_file={file}") == (
        f"model 'm', base path {model}: has version 1, none of which model_version_policy asks for",
    )


def test_everything_wrong_is_listed_together(tmp_path: Path) -> None:
    """One start shows all that has to be mended."""
    batching = _write(tmp_path / "batching.config", "max_batch_sise { value: 8 }")
    problems = _problems(
        "--nope",
        "--port=x",
        "--rest_api_num_threads=1",
        f"--model_config_file={tmp_path}/none.config",
        "--enable_batching",
        f"--batching_parameters_file={batching}",
        f"--monitoring_config_file={tmp_path}",
        "--grpc_channel_arguments=a",
        "--simulate_delay_ms=m",
    )
    assert len(problems) == 8
    assert problems[0].startswith("--nope: no such flag")
    assert f"{tmp_path}/none.config: cannot be read: No such file or directory" in problems
    assert any(problem.startswith(f"{batching}, line 1, column 1: ") for problem in problems)
    assert f"{tmp_path}: cannot be read: Is a directory" in problems
    assert "--grpc_channel_arguments: 'a' is not key=value" in problems
    assert problems[-2].startswith("--simulate_delay_ms: 'm' is not MODEL=MS[+MS_PER_ROW] or ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        (
            "allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 1000",
        ),
    ],
)
def test_batching_no_model_could_load_with(text: str, problem: str, model: Path, tmp_path: Path) -> None:
    """The server's own words, with the file's name before them."""
    file = _write(tmp_path / "batching.config", text)
    flags = ("--enable_batching", f"--batching_parameters_file={file}")
    assert _problems(f"--model_base_path={model}", *flags) == (f"{file}: {problem}",)


def test_parameters_without_batching(model: Path, tmp_path: Path) -> None:
    """A batching file means nothing unless batching is on."""
    file = _write(tmp_path / "batching.config", "")
    assert _problems(f"--model_base_path={model}", f"--batching_parameters_file={file}") == (
        "--batching_parameters_file is set without --enable_batching",
    )


def test_nothing_to_serve() -> None:
    """There is no default model."""
    assert _problems() == ("nothing to serve: give --model_base_path or --model_config_file",)


def test_one_port_for_two_servers(model: Path) -> None:
    """gRPC and REST need a port each."""
    flags = (f"--model_base_path={model}", "--port=9000", "--rest_api_port=9000")
    assert _problems(*flags) == ("--port and --rest_api_port are both 9000; give them different ports",)


def test_tls_without_a_key(model: Path, tmp_path: Path) -> None:
    """Key and certificate are needed, as contents."""
    file = _write(tmp_path / "ssl.config", 'server_cert: "C"')
    assert _problems(f"--model_base_path={model}", f"--ssl_config_file={file}") == (
        f"{file}: needs server_key and server_cert, the PEM contents, not paths",
    )
