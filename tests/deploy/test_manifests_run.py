"""What the manifests start, started here: the same arguments and variables, as processes without containers."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.manifests import environment, needs_kubectl, pods, rendered
from tests.swarm.conftest import Serving
from tests.swarm.processes import ANY_PACE, ROOT, Locust, Started, free_port

pytestmark = needs_kubectl
Start = Callable[..., Locust]


@dataclass
class _Cluster:
    """A master, and as many workers as one likes."""

    roles: dict[str, tuple[list[str], dict[str, str]]]
    locust: Start

    def start(self, role: str) -> Locust:
        arguments, variables = self.roles[role]
        return self.locust(*arguments, **variables)


def _cluster(overlay: str, locust: Start, serving: Serving, results: Path, **changed: str) -> _Cluster:
    """Addresses, paths, pace and length are this machine's; all else is as an overlay has it."""
    objects, roles, port = rendered(overlay), {}, str(free_port())
    here = {
        "LOCUST_LOCUSTFILE": str(ROOT / "locustfiles" / "grpc_predict.py"),
        "TFS_METRICS_ADDRESS": "127.0.0.1",
        "TFS_METRICS_PORT": "0",
    }
    of = {
        "master": {
            "LOCUST_HOST": serving.grpc,
            "LOCUST_MASTER_BIND_PORT": port,
            "LOCUST_MASTER_BIND_HOST": "127.0.0.1",
            "LOCUST_WEB_PORT": str(free_port()),
            "LOCUST_WEB_HOST": "127.0.0.1",
            "LOCUST_EXPECT_WORKERS": "2",
            "TFS_LIMIT": ANY_PACE,
            "TFS_MODEL": "dense",
            "TFS_REPORT": str(results),
            "TFS_SLO": "p99<8s | error_rate<1%",  # how fast this machine is just now is not what is asked
            "TFS_WARMUP": "1s",
            **changed,
        },
        "worker": {"LOCUST_MASTER_NODE_HOST": "127.0.0.1", "LOCUST_MASTER_NODE_PORT": port},
    }
    for one in pods(objects):
        role = one.labels["app.kubernetes.io/component"]
        if role in of:
            container = one.containers[0]
            roles[role] = (container["args"], environment(objects, container) | here | of[role])
    return _Cluster(roles, locust)


@pytest.mark.parametrize(
    ("objectives", "code", "state"), [("p99<10s", 0, "PASS"), ("p99<1us | error_rate<0.1%", 1, "FAIL")]
)
def test_pipeline(objectives: str, code: int, state: str, locust: Start, serving: Serving, tmp_path: Path) -> None:
    """The master ends with the verdict's code and prints Markdown; its workers end with it, and well."""
    changed = {"LOCUST_RUN_TIME": "4s", "LOCUST_USERS": "10", "LOCUST_SPAWN_RATE": "10", "TFS_SLO": objectives}
    cluster = _cluster("pipeline", locust, serving, tmp_path, **changed)
    workers = [cluster.start("worker")]  # one may be there before its master, or after it
    master = cluster.start("master")
    workers.append(cluster.start("worker"))
    assert master.wait(90) == code, master.output
    assert [worker.wait(30) for worker in workers] == [0, 0], workers[0].output
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith(f"# {state}")
    assert master.output.rstrip().endswith(summary.rstrip())


def test_local(locust: Start, serving: Serving, tmp_path: Path) -> None:
    """A run begins by itself and its verdict is told while the page stays. A worker more and one less lose nothing."""
    before = serving.predictions("dense", "grpc")
    cluster = _cluster("local", locust, serving, tmp_path, LOCUST_RUN_TIME="12s", TFS_RATE="50", TFS_WARMUP="0")
    master = cluster.start("master")
    first, second = cluster.start("worker"), cluster.start("worker")
    master.wait_for("All users spawned")
    third = cluster.start("worker")  # scaled up
    master.wait_for("3 workers connected")
    second.process.send_signal(signal.SIGTERM)  # scaled down: the pod is deleted
    assert second.wait(30) == 0, second.output
    master.wait_for("the run has ended", within_s=60)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"]["state"] == "PASS", report["verdict"]
    assert report["totals"]["ok"] == serving.predictions("dense", "grpc") - before
    assert report["totals"]["requests"] == report["totals"]["ok"]
    assert master.process.poll() is None
    master.process.send_signal(signal.SIGTERM)
    assert master.wait(30) == 0, master.output
    assert [first.wait(30), third.wait(30)] == [0, 0]


@pytest.mark.parametrize(("is_there", "code"), [(True, 0), (False, 2)])
def test_local_waits_for_its_target(
    is_there: bool, code: int, python: Callable[..., Started], serving: Serving
) -> None:
    """The master's container begins when the one before it has found the model; until then that one is tried again."""
    objects = rendered("local")
    (first,) = next(one for one in pods(objects) if one.name == "locust-master").spec["initContainers"]
    host = serving.grpc if is_there else f"grpc://127.0.0.1:{free_port()}"
    variables = environment(objects, first) | {"LOCUST_HOST": host}
    program, *arguments = (one.replace("$(LOCUST_HOST)", host) for one in first["args"])
    assert program == "tfs-locust"
    process = python("-m", "tfs_locust", *arguments, **variables)
    assert process.wait(60) == code, process.output


def test_workers_follow_a_new_master(locust: Start, serving: Serving, tmp_path: Path) -> None:
    """A master that is rolled over ends its run and sends its workers home, well; started again, they take part in the
    next one's, which loses nothing."""
    cluster = _cluster("local", locust, serving, tmp_path, LOCUST_RUN_TIME="9s", TFS_RATE="50", TFS_WARMUP="0")
    master, workers = cluster.start("master"), [cluster.start("worker") for _ in range(2)]
    master.wait_for("All users spawned")
    master.process.send_signal(signal.SIGTERM)
    assert master.wait(40) == 3, master.output  # INVALID: it was interrupted
    assert [worker.wait(30) for worker in workers] == [0, 0]
    assert json.loads((tmp_path / "report.json").read_text())["verdict"]["state"] == "INVALID"
    before = serving.predictions("dense", "grpc")
    workers = [cluster.start("worker") for _ in range(2)]
    second = cluster.start("master")
    second.wait_for("the run has ended", within_s=60)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"]["state"] == "PASS", report["verdict"]
    assert report["totals"]["requests"] == serving.predictions("dense", "grpc") - before
