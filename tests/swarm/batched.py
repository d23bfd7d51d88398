"""A model server that batches, for runs that are to see what batching does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.embedded.conftest import TRANSCRIPTS, RunningServer, running_server
from tests.swarm.conftest import Interface

BATCH_MS = 20
"""What a batch costs there, whatever its rows, if nothing else is said; and one or two more, which are Python's."""


@dataclass(frozen=True)
class Batched:
    """The server, and the file it batches by."""

    running: RunningServer
    file: Path

    def arguments(self, *more: str, users: int = 12, run_time: str = "3s") -> list[str]:
        """Of a run over gRPC that knows the server's settings and writes its report to ``out``."""
        interface = Interface("grpc", f"grpc://{self.running.grpc_address}")
        known = ["--tfs-batching-parameters-file", str(self.file), "--tfs-server-cpus", "8"]
        known += ["--tfs-grpc-max-threads", "64", "--tfs-server-metrics", self.running.rest_url]
        return interface.arguments(*known, "--tfs-report", "out", *more, model="m", users=users, run_time=run_time)


@contextmanager
def running_batched(folder: Path, parameters: str, batch_ms: int = BATCH_MS) -> Iterator[Batched]:
    """With two batch threads, and a model ``m``."""
    file, monitoring = folder / "batching.config", folder / "monitoring.config"
    file.write_text(f"{parameters} num_batch_threads {{ value: 2 }}")
    monitoring.write_text("prometheus_config { enable: true }")
    flags = {
        "model_name": "m",
        "model_base_path": TRANSCRIPTS / "models" / "half_plus_two",
        "enable_batching": "true",
        "batching_parameters_file": file,
        "monitoring_config_file": monitoring,
        "simulate_delay_ms": f"m={batch_ms}",
        "grpc_max_threads": 64,
    }
    with running_server(folder, flags) as running:
        yield Batched(running, file)
