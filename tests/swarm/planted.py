"""A server in which something is planted, and the moments at which the test itself did something to it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf import text_format

from tests.embedded.conftest import TRANSCRIPTS, running_server
from tests.swarm.conftest import Serving
from tests.swarm.processes import wait_until
from tfs_locust.tfserving import protos
from tfs_locust.tfserving.protos import model_server_config_pb2

_MODEL = TRANSCRIPTS / "models" / "half_plus_two" / "1"
_RELOAD = f"/{protos.MODEL_SERVICE}/HandleReloadConfigRequest"
OUTAGE_MS = 500


@dataclass(frozen=True)
class Moment:
    """Something that happened between these two, in Unix time."""

    after_s: float
    before_s: float


@dataclass(frozen=True)
class Planted:
    """The server, with models for each interface, and ``labelled``, whose label ``stable`` is at version 1 of 2."""

    serving: Serving

    @property
    def folder(self) -> Path:
        """The base paths of its models are in it."""
        return self.serving.folder

    def bring(self, model: str, version: int) -> Moment:
        """Put a version into the model's folder, whole."""
        shutil.copytree(_MODEL, self.folder / "later" / model)
        return self._put(self.folder / "later" / model, model, version)

    def bring_broken(self, model: str, version: int) -> Moment:
        """A version without files."""
        (self.folder / "broken").mkdir()
        return self._put(self.folder / "broken", model, version)

    def _put(self, whole: Path, model: str, version: int) -> Moment:
        after_s = time.time()
        whole.rename(self.folder / model / str(version))
        return Moment(after_s, time.time())

    def move_label(self, version: int) -> Moment:
        """Let ``stable`` point to it."""
        after_s = time.time()
        request = protos.model_management_pb2.ReloadConfigRequest(config=_config(self.folder, stable=version))
        with grpc.insecure_channel(self.serving.running.grpc_address) as channel:
            channel.unary_unary(_RELOAD)(request.SerializeToString(), timeout=20)
        return Moment(after_s, time.time())

    def states(self, model: str) -> Mapping[int, str]:
        """As the server says just now."""
        with urllib.request.urlopen(f"{self.serving.rest}/v1/models/{model}", timeout=10) as answer:
            rows = json.loads(answer.read())["model_version_status"]
        return {int(row["version"]): row["state"] for row in rows}

    def wait_for_state(self, model: str, version: int, *states: str) -> Moment:
        """Return when the version is in one of these states, with when it got there: between two questions."""
        asked_s = [time.time()]

        def is_there() -> bool:
            asked_s.append(time.time())
            return self.states(model).get(version) in states

        wait_until(is_there, saying=lambda: str(self.states(model)))
        return Moment(asked_s[-2], time.time())

    def stall(self, seconds: float) -> None:
        """Stop the server for so long, and let it go on."""
        os.kill(self.serving.running.process.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(self.serving.running.process.pid, signal.SIGCONT)

    def outage(self) -> tuple[float, float]:
        """Begin one and wait until it is over; gives the moments at which the server says that it began and ended."""
        self.serving.running.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: "outage: ended" in self._said())
        found = re.findall(r"^outage: (?:began|ended) ([\d.]+)$", self._said(), re.MULTILINE)
        began_s, ended_s = map(float, found)
        return began_s, ended_s

    def _said(self) -> str:
        return self.serving.running.output.read_text()


@contextmanager
def running_planted(folder: Path, **planted: str) -> Iterator[Planted]:
    """Start the server with flags of the family ``simulate_``."""
    for model, versions in {"over_grpc": [1], "over_rest": [1], "pinned": [2], "labelled": [1, 2]}.items():
        for version in versions:
            shutil.copytree(_MODEL, folder / model / str(version))
    (folder / "later").mkdir()
    (folder / "models.config").write_text(text_format.MessageToString(_config(folder, stable=1)))
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    flags = {
        "model_config_file": folder / "models.config",
        "monitoring_config_file": folder / "monitoring.config",
        "allow_version_labels_for_unavailable_models": "true",
        "max_num_load_retries": 0,
        "grpc_max_threads": 256,
        "rest_api_num_threads": 256,
        "simulate_outage_ms": OUTAGE_MS,
        **{f"simulate_{name}": value for name, value in planted.items()},
    }
    with running_server(folder, flags) as running:
        yield Planted(Serving(running, folder))


def _config(folder: Path, *, stable: int) -> model_server_config_pb2.ModelServerConfig:
    config = model_server_config_pb2.ModelServerConfig()
    for name in ("over_grpc", "over_rest", "pinned", "labelled"):
        config.model_config_list.config.add(name=name, base_path=str(folder / name), model_platform="tensorflow")
    labelled = config.model_config_list.config[-1]
    labelled.model_version_policy.all.SetInParent()
    labelled.version_labels["stable"] = stable
    return config
