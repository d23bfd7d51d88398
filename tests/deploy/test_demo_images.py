"""The two images together, as the Compose file's profile ``demo`` sets them up."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.compose import mounts, services
from tests.deploy.containers import Container
from tests.deploy.image import built, opened, why_not_built
from tests.swarm.processes import ROOT, free_port, wait_until

pytestmark = [
    pytest.mark.skipif(bool(why_not_built()), reason=why_not_built()),
    pytest.mark.timeout(900),
    pytest.mark.long,  # builds the image with TensorFlow
]


@pytest.fixture(scope="session")
def embedded() -> str:
    """The target with TensorFlow."""
    return built("embedded")


def test_image(embedded: str) -> None:
    """It has TensorFlow and a model to serve, and runs as the other one does."""
    with opened(embedded) as image:
        assert image.config["User"] == "10001:10001"
        assert image.config["StopSignal"] == "SIGTERM"
        assert (image.root / "models" / "dense" / "1" / "saved_model.pb").is_file()
        assert image.python("import tensorflow; print(tensorflow.__version__)").startswith("2.")


def test_demo(container: Callable[..., Container], embedded: str, tmp_path: Path) -> None:
    """Server and load with the Compose file's commands and settings, on ports of this test: the verdict is PASS."""
    demo, master = services()["demo-server"], services()["master"]
    grpc, rest = free_port(), free_port()
    results = tmp_path / "results"
    results.mkdir()
    os.chown(results, 10001, 10001)

    def mounted(service: dict[str, object]) -> dict[Path, str]:
        return {ROOT / "docker" / source: target for target, source in mounts(service).items()}

    at = ["--host=127.0.0.1", f"--port={grpc}", f"--rest_api_port={rest}"]
    server = container(*demo["command"], *at, image=embedded, mounts=mounted(demo), tmpfs=demo["tmpfs"])

    def answers() -> bool:
        assert server.running, server.output
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{rest}/v1/models/dense", timeout=5) as answer:
                return "AVAILABLE" in answer.read().decode()
        except OSError:
            return False

    wait_until(answers, within_s=90, saying=lambda: server.output)
    load = container(
        *("--headless", "-u", "4", "-t", "3s", "--tfs-slo", "error_rate<0.01"),
        env={**master["environment"], "LOCUST_HOST": f"grpc://127.0.0.1:{grpc}"},
        mounts={**mounted(master), results: "/results"},
    )
    assert load.wait(60) == 0, load.output
    report = json.loads((results / "report.json").read_text())
    assert report["verdict"]["state"] == "PASS"
    assert report["totals"]["ok"] > 0
    server.stop()
    assert server.wait() == 0, server.output
