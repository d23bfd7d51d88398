"""A real Prometheus with the project's own configuration, and its tool."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.swarm.processes import ROOT, free_port, wait_until

FOLDER = ROOT / "docker" / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
Labels = Mapping[str, str]

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="there is no prometheus or promtool on the path (Debian: apt-get install prometheus)",
)


def promtool(*arguments: str | Path, given: str = "") -> None:
    """Run it; fail with what it says where it finds anything wrong, or anything to improve."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)], input=given, capture_output=True, text=True, check=False, timeout=60
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "check" not in arguments or "metrics" not in arguments or not said, said


def config(folder: Path, *, master: int, workers: Sequence[int], server: str, every: str) -> Path:
    """The project's configuration with these ports and this server's address in it, and ``every`` for all intervals."""
    text = (FOLDER / "prometheus.yml").read_text()
    listed = json.dumps([f"127.0.0.1:{port}" for port in workers])
    for what, to in (
        (r": 5s$", f": {every}"),
        (r"rules/\*\.yml", str(FOLDER / "rules" / "*.yml")),
        ("master:9646", f"127.0.0.1:{master}"),
        ("tf-serving:8501", server),
        (r"dns_sd_configs:\n(?: {6}.*\n)+", f"static_configs: [{{targets: {listed}}}]\n"),
    ):
        text, found = re.subn(what, to, text, flags=re.MULTILINE)
        assert found, what
    file = folder / "prometheus.yml"
    file.write_text(text)
    return file


class Prometheus:
    """Asked over its HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **parameters: object) -> Any:
        """The data of an answer."""
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{urlencode(parameters)}", timeout=20) as answer:
            return json.load(answer)["data"]

    def now(self, expression: str) -> list[tuple[Labels, float]]:
        """What it has at this moment."""
        return [(one["metric"], float(one["value"][1])) for one in self.get("query", query=expression)["result"]]

    def number(self, expression: str) -> float | None:
        """The only value of an expression; None where there is none."""
        found = self.now(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def has_had(self, expression: str, start_s: float, end_s: float) -> bool:
        """Whether there was any number in that time, second by second."""
        found = self.get("query_range", query=expression, start=start_s, end=end_s, step=1)["result"]
        return any(not math.isnan(float(value)) for one in found for _, value in one["values"])

    def label_values(self, series: str, label: str) -> list[str]:
        """The values that a label has had."""
        values: list[str] = self.get(f"label/{label}/values", **{"match[]": series})
        return values


@contextmanager
def running_prometheus(folder: Path, config_file: Path) -> Iterator[Prometheus]:
    """Start one on a free port, with its data in the folder; it is ended with the block."""
    port, output = free_port(), folder / "prometheus.txt"
    command = ["prometheus", f"--config.file={config_file}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with output.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=folder) as process:
        try:
            yield _ready(f"http://127.0.0.1:{port}", process, output)
        finally:
            process.terminate()
            process.wait(20)


def _ready(url: str, process: subprocess.Popen[bytes], output: Path) -> Prometheus:
    def ready() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_until(ready, saying=output.read_text)
    return Prometheus(url)
