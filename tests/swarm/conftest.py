"""One embedded server for all tests of a test process, and Locust against it."""

from __future__ import annotations

import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.conftest import TRANSCRIPTS, RunningServer, made_models, running_server
from tests.swarm.processes import ROOT, Locust, LocustWeb, Started, wait_until

__all__ = ["made_models"]  # a fixture of the embedded server's tests

SLOW_MS = 200
SLOWER_MS = 1500


def counted(page: str, series: str, **labels: str) -> int:
    """On a server's Prometheus page: the sum over a metric's series that carry these labels."""
    found = re.findall(rf"^:tensorflow:serving:{series}\{{(.*)\}} (\d+)$", page, re.MULTILINE)
    return sum(int(value) for given, value in found if all(f'{k}="{v}"' in given for k, v in labels.items()))


@dataclass(frozen=True)
class Serving:
    """The server and where it is."""

    running: RunningServer
    folder: Path
    """Where its configuration is, and the base paths of CHANGED, each in a folder of the model's name."""

    @property
    def grpc(self) -> str:
        return f"grpc://{self.running.grpc_address}"

    @property
    def rest(self) -> str:
        return self.running.rest_url

    def metrics(self, series: str, **labels: str) -> int:
        """The sum over a metric's series that carry these labels."""
        with urllib.request.urlopen(f"{self.rest}/monitoring/prometheus/metrics", timeout=10) as answer:
            return counted(answer.read().decode(), series, **labels)

    def predictions(self, model: str, interface: str) -> int:
        """How many predictions the server answered well."""
        api = "Predict" if interface == "grpc" else "predict"
        return self.metrics("request_latency_count", model_name=model, API=api, entrypoint=interface.upper())


@dataclass(frozen=True)
class Interface:
    """One of the two ways to a model: its example locustfile, and the server's address."""

    name: str
    host: str

    @property
    def locustfile(self) -> str:
        return str(ROOT / "locustfiles" / f"{self.name}_predict.py")

    @property
    def user_class(self) -> str:
        return f"{self.name.capitalize()}Predict"

    def arguments(self, *more: str, model: str = "dense", users: int = 10, run_time: str = "2s") -> list[str]:
        """A headless run."""
        given = ["-f", self.locustfile, "--host", self.host, "--tfs-model", model]
        return [*given, "--headless", "-u", str(users), "-r", str(users), "-t", run_time, *more]


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory, made_models: Path) -> Iterator[Serving]:
    """The recorded models, ``types``, ``slow`` and ``slower``, ``broken``, whose version 2 cannot load, and CHANGED."""
    folder, models = tmp_path_factory.mktemp("serving"), TRANSCRIPTS / "models"
    for name in ("broken", *CHANGED):
        shutil.copytree(models / "half_plus_two", folder / name)
    paths = {
        "half_plus_two": models / "half_plus_two",
        "multi": models / "multi",
        "slow": models / "half_plus_two",
        "slower": models / "half_plus_two",
        "types": made_models / "types",
        **{name: folder / name for name in ("broken", *CHANGED)},
    }
    labels = "".join(f'version_labels {{ key: "{key}" value: {value} }} ' for key, value in LABELS.items())
    configs = [f'name: "{name}" base_path: "{path}"' for name, path in paths.items()]
    configs.append(f'name: "dense" base_path: "{models / "dense"}" model_version_policy {{ all {{}} }} {labels}')
    listed = " ".join(f'config {{ {config} model_platform: "tensorflow" }}' for config in configs)
    (folder / "models.config").write_text(f"model_config_list {{ {listed} }}")
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    flags = {
        "model_config_file": folder / "models.config",
        "monitoring_config_file": folder / "monitoring.config",
        "allow_version_labels_for_unavailable_models": "true",
        "max_num_load_retries": 0,
        "grpc_max_threads": 512,
        "rest_api_num_threads": 256,
        "simulate_delay_ms": f"slow={SLOW_MS},slower={SLOWER_MS}",
    }
    with running_server(folder, flags) as running:
        (folder / "broken" / "2").mkdir()
        status = f"{running.rest_url}/v1/models/broken"
        wait_until(lambda: '"2"' in urllib.request.urlopen(status, timeout=10).read().decode())
        yield Serving(running, folder)


CHANGED = ("switched", "held", "failing")
"""Models of one version each, for tests that change that and put it back."""
LABELS = {"stable": 1, "canary": 2}


@pytest.fixture(params=["grpc", "rest"])
def interface(request: pytest.FixtureRequest, serving: Serving) -> Interface:
    """Each of the two interfaces in turn."""
    return Interface(request.param, getattr(serving, request.param))


def _starter(kind: type[Started], folder: Path) -> Iterator[Callable[..., Any]]:
    started: list[Started] = []

    def start(*arguments: str, **env: str) -> Started:
        started.append(kind(folder, list(arguments), env))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start Python with arguments and, by keyword, environment variables; it ends with the test."""
    yield from _starter(Started, tmp_path)


@pytest.fixture
def locust(tmp_path: Path) -> Iterator[Callable[..., Locust]]:
    """Start Locust with arguments and, by keyword, environment variables; it ends with the test."""
    yield from _starter(Locust, tmp_path)


@pytest.fixture
def locust_web(tmp_path: Path) -> Iterator[Callable[..., LocustWeb]]:
    """Start Locust with its web page; it ends with the test."""
    yield from _starter(LocustWeb, tmp_path)
