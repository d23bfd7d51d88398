"""Runs without a web page: in one process, in several, and what they leave behind."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import ROOT, Locust, free_port, in_processes, wait_until

Start = Callable[..., Locust]
WATCHING = str(ROOT / "tests" / "swarm" / "watching.py")
_HEARTBEAT_IS_LATE_S = 3.0


def _watched(output: str) -> tuple[int, float]:
    """Requests sent by the process, and the longest gap in seconds between heartbeats it got from one worker."""
    found = re.search(r"WATCHED sent (\d+), longest heartbeat gap ([\d.]+) s", output)
    assert found, output
    return int(found[1]), float(found[2])


def _master_and_workers(locust: Start, interface: Interface, *more: str, **run: object) -> tuple[Locust, list[Locust]]:
    port = str(free_port())
    files = f"{interface.locustfile},{WATCHING}"
    arguments = interface.arguments(*more, **run)  # type: ignore[arg-type]
    arguments[arguments.index(interface.locustfile)] = files
    at = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"]
    master = locust(*arguments, *at)
    worker = ["-f", files, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    return master, [locust(*worker) for _ in range(2)]


def test_one_process(interface: Interface, serving: Serving, locust: Start) -> None:
    """A headless run ends with 0, counts no failure, and each of its requests is one the server answered."""
    before = serving.predictions("dense", interface.name)
    run = locust(*interface.arguments("--stop-timeout", "5"))
    assert run.wait() == 0, run.output
    row = run.only_row()
    assert (row["name"], row["method"], row["num_failures"]) == ("predict dense", interface.name, 0)
    assert row["num_requests"] > 0
    assert serving.predictions("dense", interface.name) - before == row["num_requests"]
    run.assert_nothing_left()


def test_processes(interface: Interface, serving: Serving, locust: Start) -> None:
    """``--processes 2``: forked workers send, nothing is lost in between, all of them end."""
    before = serving.predictions("dense", interface.name)
    run = locust(*interface.arguments(*in_processes(2), "--stop-timeout", "5"))
    assert run.wait() == 0, run.output
    row = run.only_row()
    assert (row["name"], row["method"], row["num_failures"]) == ("predict dense", interface.name, 0)
    assert row["num_requests"] > 0
    assert serving.predictions("dense", interface.name) - before == row["num_requests"]
    assert run.output.count(f"{interface.user_class}: predict dense over {interface.name} to") == 2
    run.assert_nothing_left()


def test_master_and_workers(interface: Interface, serving: Serving, locust: Start) -> None:
    """Both workers send; the master's count is the sum of theirs and the server's own."""
    before = serving.predictions("dense", interface.name)
    master, workers = _master_and_workers(locust, interface, "--stop-timeout", "5")
    assert master.wait() == 0, master.output
    assert [worker.wait(10) for worker in workers] == [0, 0]
    row = master.only_row()
    assert (row["name"], row["method"], row["num_failures"]) == ("predict dense", interface.name, 0)
    sent = [_watched(worker.output)[0] for worker in workers]
    assert min(sent) > 0
    assert row["num_requests"] == sum(sent) == serving.predictions("dense", interface.name) - before
    assert _watched(master.output)[0] == 0
    assert "failed to send heartbeat" not in master.output


@pytest.mark.parametrize("model", ["slow", "dense"])
def test_heartbeats_under_load(interface: Interface, model: str, locust: Start) -> None:
    """200 users on a server that answers slowly, or as fast as it can: no worker is late with a heartbeat."""
    master, workers = _master_and_workers(locust, interface, model=model, users=200, run_time="4s")
    assert master.wait() == 0, master.output
    assert [worker.wait(10) for worker in workers] == [0, 0]
    assert master.only_row()["num_failures"] == 0
    assert min(_watched(worker.output)[0] for worker in workers) > 100
    assert 0 < _watched(master.output)[1] < _HEARTBEAT_IS_LATE_S
    assert "failed to send heartbeat" not in master.output


@pytest.mark.parametrize(
    "headers", ["[x-one: 1, x-two: 2]", '["x-one: 1", "x-two: 2"]', "x-one: 1 | x-two: 2"], ids=["list", "json", "text"]
)
def test_environment_variables(headers: str, serving: Serving, locust: Start) -> None:
    """What is not on the command line is taken from the environment, several headers among it."""
    interface = Interface("rest", serving.rest)
    arguments = interface.arguments(users=1, run_time="1s")
    del arguments[arguments.index("--tfs-model") : arguments.index("--tfs-model") + 2]
    run = locust(*arguments, TFS_MODEL="multi", TFS_VERSION="1", TFS_HEADER=headers, TFS_ROWS="3")
    assert run.wait() == 0, run.output
    assert run.only_row()["name"] == "predict multi/1"
    assert "64 payloads of 3 rows" in run.output


@pytest.mark.parametrize(
    ("number", "processes"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)], ids=str
)
def test_interrupted(number: signal.Signals, processes: int, interface: Interface, locust: Start) -> None:
    """Ctrl-C, or the system's stop, at full load ends a run in order, and its forked workers with it."""
    run = locust(*interface.arguments(*(in_processes(2) if processes == 2 else []), run_time="60s"))
    wait_until(lambda: re.search("All users spawned|Spawning is complete", run.output), saying=lambda: run.output)
    # Ctrl-C reaches the whole group of a terminal, a stop by the system the first process alone
    (os.killpg if number is signal.SIGINT else os.kill)(run.process.pid, number)
    assert run.wait(20) == 3, run.output  # not to be believed: it was to take 60 s
    assert "Traceback" not in run.output
    run.assert_nothing_left()


def test_result_as_markdown(locust: Callable[..., Locust], serving: Serving, tmp_path: Path) -> None:
    """Where it is asked for, what is printed at the end is the report's summary.md."""
    interface = Interface("grpc", serving.grpc)
    process = locust(*interface.arguments("--tfs-report", str(tmp_path), run_time="1s"), TFS_MARKDOWN="true")
    assert process.wait(60) == 0, process.output
    assert (tmp_path / "summary.md").read_text() in process.output
    assert "# PASS" in process.output
