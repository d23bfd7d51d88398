"""What the contract is held against: scripted peers, and the embedded server with real models."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.conftest import RunningServer, running_server
from tests.wire.engines import ENGINES, Engine
from tests.wire.peers import Peer, running_peer
from tests.wire.relay import Relay, running_relay
from tfs_locust.transport.base import Endpoint, Transport

Connect = Callable[..., Transport[Any]]


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each transport's name in turn."""
    return str(request.param)


@pytest.fixture
def engine(engine_name: str) -> Engine:
    """Each transport in turn."""
    return ENGINES[engine_name]


@pytest.fixture(params=[name for name, engine in ENGINES.items() if engine.protocol == "rest"])
def rest_engine(request: pytest.FixtureRequest) -> Engine:
    """Each transport over HTTP in turn."""
    return ENGINES[request.param]


@pytest.fixture
def peer(engine: Engine) -> Iterator[Peer]:
    """A scripted server that speaks the transport's protocol, and echoes until it is given another script."""
    with running_peer(engine.protocol) as peer:
        yield peer


@pytest.fixture
def relay(peer: Peer) -> Iterator[Relay]:
    """A wire to the peer that can be cut."""
    with running_relay(peer.port) as relay:
        yield relay


@pytest.fixture
def connect(engine: Engine) -> Iterator[Connect]:
    """Open the transport to a port; it is closed with the test, before the peer ends."""
    with ExitStack() as transports:

        def connect(port: int, host: str = "127.0.0.1", **settings: Any) -> Transport[Any]:
            transport = engine.open(Endpoint(host, port, **settings))
            transports.callback(transport.close)
            return transport

        yield connect


@pytest.fixture(scope="session")
def wire_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of make_models.py, made by the first of the test processes that needs them."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "wire_models"
    with (base / "wire_models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = base / "wire_models.making"
            script = Path(__file__).with_name("make_models.py")
            subprocess.run([sys.executable, str(script), str(making)], check=True, capture_output=True, timeout=60)
            making.rename(folder)
    return folder


def _models_config(folder: Path, models: Path) -> Path:
    def entry(name: str, more: str = "") -> str:
        return f'config {{ name: "{name}" base_path: "{models / name}" model_platform: "tensorflow" {more} }}'

    versions = (
        "model_version_policy { all {} } "
        'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
    )
    file = folder / "models.config"
    file.write_text(f"model_config_list {{ {entry('echo', versions)} {entry('slow')} {entry('queue')} }}")
    return file


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, wire_models: Path) -> Iterator[RunningServer]:
    """The embedded server with the models of make_models.py; shared, so leave it idle.

    It has 63 threads for gRPC and one for batches; what comes through REST may execute for half a second, and two of
    the models take 1.5.
    """
    folder = tmp_path_factory.mktemp("wire_server")
    monitoring, batching = folder / "monitoring.config", folder / "batching.config"
    monitoring.write_text("prometheus_config { enable: true }")
    batching.write_text("num_batch_threads { value: 1 }")
    flags = {
        "model_config_file": _models_config(folder, wire_models),
        "allow_version_labels_for_unavailable_models": True,
        "monitoring_config_file": monitoring,
        "enable_batching": True,
        "enable_per_model_batching_parameters": True,
        "batching_parameters_file": batching,
        "grpc_max_threads": 64,  # one of them never works
        "rest_api_timeout_in_ms": 500,
        "simulate_delay_ms": "slow=1500,queue=1500",
    }
    with running_server(folder, flags) as server:
        yield server
