"""Servers with many made-up models and versions, which count the calls of each: see planted_server.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.swarm.processes import ROOT, wait_until

_READY_WITHIN_S = 60


@dataclass(frozen=True)
class Versions:
    """A server and where it is."""

    grpc: str
    rest: str
    counts_file: Path

    def calls(self) -> dict[str, int]:
        """Of each ``model/version``, as the server counted them."""
        return dict(json.loads(self.counts_file.read_text())) if self.counts_file.exists() else {}

    def wait_for_calls(self, expected: Mapping[str, int]) -> None:
        """Return when the server has counted these, and no others."""
        wait_until(lambda: self.calls() == expected, within_s=10, saying=lambda: f"{expected}, it has {self.calls()}")


@contextmanager
def serving_versions(
    folder: Path,
    models: Mapping[str, Sequence[int]],
    *,
    labels: Mapping[str, int] | None = None,
    planted: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Versions]:
    """Serve these versions of these models; the labels are those of each model."""
    configs = []
    for model, versions in models.items():
        for version in versions:
            (folder / "models" / model / str(version)).mkdir(parents=True)
            (folder / "models" / model / str(version) / "saved_model.pb").touch()
        marked = "".join(f'version_labels {{ key: "{key}" value: {value} }} ' for key, value in (labels or {}).items())
        configs.append(
            f'config {{ name: "{model}" base_path: "{folder / "models" / model}" model_platform: "tensorflow" '
            f"model_version_policy {{ all {{}} }} {marked} }}"
        )
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(configs)} }}")
    ready, counts, output = folder / "ready.json", folder / "counts.json", folder / "output.txt"
    command = [
        sys.executable, str(Path(__file__).with_name("planted_server.py")), str(counts),
        "--port=0", "--rest_api_port=0", f"--ready_file={ready}", f"--model_config_file={folder / 'models.config'}",
        "--allow_version_labels_for_unavailable_models=true", "--grpc_max_threads=512", "--rest_api_num_threads=64",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PLANTED": json.dumps(planted or {})}
    with output.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            deadline = time.monotonic() + _READY_WITHIN_S
            while not ready.exists():
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.02)
            ports = json.loads(ready.read_text())
            yield Versions(f"grpc://127.0.0.1:{ports['grpc']}", f"http://127.0.0.1:{ports['rest']}", counts)
        finally:
            process.kill()
