"""Changes that take their time: ten versions in a row, a server killed and started again, a worker lost meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.embedded.conftest import TRANSCRIPTS, RunningServer, running_server
from tests.swarm.conftest import Serving
from tests.swarm.open_runs import OpenRun
from tests.swarm.processes import ROOT, Locust, wait_until

MODEL = TRANSCRIPTS / "models" / "half_plus_two"
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def run(locust: Callable[..., Locust], tmp_path: Path, serving: Serving) -> OpenRun:
    """Nothing is started yet."""
    return OpenRun(locust, tmp_path, serving)


def test_ten_switches_in_a_row(run: OpenRun, serving: Serving) -> None:
    """Under 500 requests a second all come off; none is lost; the rate of success is told with what it proves. By the
    locustfile for it, as it is."""
    run.sends((ROOT / "locustfiles" / "version_switch.py").read_text(), model="switched")
    base = serving.folder / "switched"
    params = [f"folder={base}", "at=1s", "every=3s", "times=10", "timeout=60s"]
    given = ["--tfs-model", "switched", "--tfs-allow-changes", "--tfs-scenario-param", " | ".join(params)]
    one = run.start(*given, "--tfs-rate", "500")
    one.wait_for("as version 11", within_s=120)
    run.under_way(run.served() + 3000)
    one.process.send_signal(signal.SIGTERM)
    assert one.wait(60) == 0, one.output
    report = run.assert_exact()
    switches = report["lifecycle"]["switches"]
    assert [switch["to_version"] for switch in switches] == [str(number) for number in range(2, 12)]
    assert all(switch["success"] and switch["errors"] == 0 for switch in switches)
    slowest, success, available = report["objectives"]
    assert (success["state"], success["measured"]) == ("PASS", 1)
    assert success["note"].startswith("10 of 10 switches came off, which proves 74")
    assert (available["state"], available["measured"]) == ("PASS", 1)
    assert slowest["measured"] == max(switch["settled_s"] for switch in switches)
    assert sorted(child.name for child in base.iterdir()) == ["1"]


def test_worker_is_lost(run: OpenRun, serving: Serving) -> None:
    """The run is INVALID, and the server as it was."""
    run.sends(model="held")
    base = serving.folder / "held"
    given = ["--tfs-scenario", "version_switch", "--tfs-scenario-param", f"folder={base} | at=0 | timeout=60s"]
    master = run.lead("--tfs-allow-changes", *given, "-t", "25s")
    wait_until((base / "2").exists, saying=lambda: master.output)
    os.kill(run.workers[0].process.pid, signal.SIGKILL)
    assert master.wait(60) == 3, master.output
    assert run.report()["verdict"]["reasons"][0].startswith("worker-lost: ")
    assert sorted(child.name for child in base.iterdir()) == ["1"]


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[tuple[RunningServer, Path]]:
    """A server of one's own, and a script that starts another one on its ports; both end with the test."""
    flags = {
        "model_name": "half_plus_two",
        "model_base_path": MODEL,
        "grpc_max_threads": 64,
        "rest_api_num_threads": 64,
    }
    with running_server(tmp_path, flags) as server:
        yield server, _again(server, tmp_path)
    if (tmp_path / "again.pid").exists():
        with suppress(ProcessLookupError):
            os.kill(int((tmp_path / "again.pid").read_text()), signal.SIGKILL)


def _again(server: RunningServer, tmp_path: Path) -> Path:
    ready, script = tmp_path / "again.json", tmp_path / "again.sh"
    ports = [address.rsplit(":", 1)[1] for address in (server.grpc_address, server.rest_url)]
    flags = f"--port={ports[0]} --rest_api_port={ports[1]} --ready_file={ready} --model_name=half_plus_two"
    script.write_text(
        f"cd {ROOT}; {sys.executable} -m tfs_locust.embedded.server {flags} "
        f"--model_base_path={MODEL} --grpc_max_threads=64 --rest_api_num_threads=64 & echo $! >{tmp_path}/again.pid\n"
        f"until [ -f {ready} ]; do sleep 0.1; done\n"
    )
    return script


@pytest.mark.parametrize(
    ("protocol", "engine"), [("grpc", "wire"), ("grpc", "library"), ("rest", "wire"), ("rest", "library")]
)
def test_server_is_killed_and_started_again(
    locust: Callable[..., Locust], tmp_path: Path, lonely: tuple[RunningServer, Path], protocol: str, engine: str
) -> None:
    """By commands, under load: one outage, from the kill to the answer of the new server; all users have connections
    again, and none hangs."""
    server, script = lonely
    host = f"grpc://{server.grpc_address}" if protocol == "grpc" else server.rest_url
    run = OpenRun(locust, tmp_path, Serving(server, tmp_path))
    run.sends(protocol=protocol)
    users = 8
    params = [f"command=kill -9 {server.process.pid}", f"undo=sh {script}", "at=2s", "for=1s", "timeout=120s"]
    given = ["--tfs-allow-changes", "--tfs-scenario", "outage", "--tfs-scenario-param", " | ".join(params)]
    run.file.write_text(EACH_USER.replace("Grpc", protocol.capitalize()))
    before = time.time()
    one = locust(
        *("-f", str(run.file), "--host", host, "--headless", "-u", str(users), "-r", "100", "--only-summary"),
        *("--tfs-report", str(run.results), "--tfs-engine", engine, "--tfs-timeout", "2s"),
        # by the second a server has recovered however fast this machine is just now
        *("--tfs-slo", "recovery_time<120s", "--tfs-slo", "p1<5s", *given),
        SEEN=str(tmp_path / "seen"),
    )
    # every one of the users is answered again
    wait_until(lambda: len(_answered_again(tmp_path / "seen")) == users, within_s=120, saying=lambda: one.output)
    answered = _answered_again(tmp_path / "seen")
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > 5)
    one.process.send_signal(signal.SIGTERM)
    assert one.wait(60) in {0, 1, 3}, one.output
    report = run.report()
    took_s = time.time() - before
    assert report["objectives"][0]["state"] == "PASS"
    outage = max(report["lifecycle"]["outages"], key=lambda each: each["failures"])
    killed, begun = (mark["second"] for mark in report["lifecycle"]["marks"])
    # as the users themselves have seen it
    down_s = min(again_s for _, again_s in answered) - max(before_s for before_s, _ in answered)
    assert abs(outage["first_success_s"] - outage["start_s"] - down_s) < 1
    assert killed - 1 <= outage["start_s"] <= begun <= outage["first_success_s"]
    assert outage["first_success_s"] - outage["start_s"] <= outage["recovery_s"] < took_s
    assert report["totals"]["requests"] == report["totals"]["ok"] + report["totals"]["failed"]
    assert all(worker["missing"] == 0 for worker in report["workers"])


EACH_USER = """
import json, os, time
from pathlib import Path
from locust import constant
from tfs_locust import GrpcPredictUser

class Hit(GrpcPredictUser):
    model = "half_plus_two"
    wait_time = constant(0.02)
    count = 0

    def on_start(self):
        Hit.count += 1
        self.file = Path(os.environ["SEEN"] + f"-{Hit.count}")
        self.before_s = self.again_s = self.failed_s = None

    def predict(self, inputs=None):
        one = super().predict()
        if not one.ok:
            self.failed_s = self.failed_s or time.time()
        elif self.failed_s is None:
            self.before_s = time.time()
        elif self.again_s is None:
            self.again_s = time.time()
            unfinished = self.file.with_name(f"unfinished-{self.file.name}")
            unfinished.write_text(json.dumps([self.before_s, self.again_s]))
            unfinished.rename(self.file)
        return one
"""


def _answered_again(seen: Path) -> list[list[float]]:
    """Of each user that was answered again: its last good answer before the outage, and the first one after."""
    return [json.loads(file.read_text()) for file in seen.parent.glob(f"{seen.name}-*")]
