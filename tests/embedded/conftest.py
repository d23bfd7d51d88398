"""Servers to test against: real processes on free ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "transcripts"
_START_S = 60


@dataclass(frozen=True)
class RunningServer:
    """A server process that has said it is ready."""

    process: subprocess.Popen[str]
    grpc_address: str
    rest_url: str
    output: Path

    def stop(self) -> int:
        """End the process as an operator would; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


@contextmanager
def running_server(folder: Path, flags: Mapping[str, object], *, within_s: float = _START_S) -> Iterator[RunningServer]:
    """Start a server with ``flags`` and wait until it is ready; it is killed in the end."""
    ready, output = folder / "ready.json", folder / "output.txt"
    settings = {"port": 0, "rest_api_port": 0, "ready_file": ready, **flags}
    command = [sys.executable, "-m", "tfs_locust.embedded.server", *(f"--{k}={v}" for k, v in settings.items())]
    with output.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, text=True) as process:
        try:
            deadline = time.monotonic() + within_s
            while not ready.exists():
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, f"not ready in {within_s} s: {output.read_text()}"
                time.sleep(0.02)
            ports = json.loads(ready.read_text())
            assert ports["pid"] == process.pid
            rest_url = f"http://127.0.0.1:{ports['rest']}"
            yield RunningServer(process, f"127.0.0.1:{ports['grpc']}", rest_url, output)
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningServer]]:
    """Start a server with the given flags; it ends with the test."""
    with ExitStack() as servers:

        def start(**flags: object) -> RunningServer:
            return servers.enter_context(running_server(tmp_path_factory.mktemp("server"), flags))

        yield start


@pytest.fixture(scope="session")
def made_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of make_models.py."""
    folder = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("make_models.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=_START_S)
    return folder


@pytest.fixture(scope="session")
def transcript_models_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the recorded server, with its models where they are here."""
    config = tmp_path_factory.mktemp("config") / "models.config"
    text = (TRANSCRIPTS / "models.config").read_text()
    config.write_text(text.replace('"/models/', f'"{TRANSCRIPTS / "models"}/'))
    return config


@pytest.fixture(scope="session")
def transcript_server(
    tmp_path_factory: pytest.TempPathFactory, transcript_models_config: Path
) -> Iterator[RunningServer]:
    """A server set up as the recorded one was; shared, so leave it as you found it."""
    monitoring = tmp_path_factory.mktemp("config") / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = {
        "model_config_file": transcript_models_config,
        "enable_batching": "true",
        "batching_parameters_file": TRANSCRIPTS / "batching.config",
        "monitoring_config_file": monitoring,
        "allow_version_labels_for_unavailable_models": "true",
        "grpc_max_threads": 128,
    }
    with running_server(tmp_path_factory.mktemp("transcript_server"), flags) as server:
        yield server
