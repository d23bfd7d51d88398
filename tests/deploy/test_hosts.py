"""A run whose master, workers and servers are hosts of their own: it conserves, and says so where it cannot."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.hosts import Host, Network, running_network, why_no_hosts
from tests.embedded.conftest import TRANSCRIPTS
from tests.swarm.conftest import counted
from tests.swarm.processes import Locust, Started, wait_until

LOCUSTFILE = """
from locust import between, events, runners
from tfs_locust import GrpcPredictUser

class Patient(GrpcPredictUser):
    model = "half_plus_two"
    wait_time = between({least_s}, {most_s})

@events.init.add_listener
def say_who(runner, **_):
    if isinstance(runner, runners.WorkerRunner):
        print("I am", runner.client_id, flush=True)

runners.MASTER_HEARTBEAT_TIMEOUT = {master_heartbeat_timeout}
"""
NAME = "models.example"
_LOCUSTS_S = 60
"""How long a worker of Locust's believes in a master that it does not hear."""
_READ = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
_MODEL = TRANSCRIPTS / "models" / "half_plus_two"
_NEVER_REFUSES = 2048


class Server:
    """The embedded server on a host, at the ports a model server has."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        monitoring, self._ready = folder / "monitoring.config", folder / f"{host.name}.json"
        monitoring.write_text("prometheus_config { enable: true }")
        flags = {
            "host": host.address,
            "model_name": "half_plus_two",
            "model_base_path": _MODEL,
            "monitoring_config_file": monitoring,
            "grpc_max_threads": _NEVER_REFUSES,
            "ready_file": self._ready,
        }
        command = ["-m", "tfs_locust.embedded.server", *(f"--{name}={value}" for name, value in flags.items())]
        self.process = Started(folder, command, {}, through=host.through)

    def wait(self) -> None:
        """Until it serves."""
        wait_until(self._ready.exists, within_s=60, saying=lambda: self.process.output)

    @property
    def peer(self) -> str:
        """Its address, as reports have it."""
        return f"{self.host.address}:8500"

    def served(self) -> int:
        """Its own count of predictions that it answered well."""
        url = f"http://{self.host.address}:8501/monitoring/prometheus/metrics"
        page = self.host.run(sys.executable, "-c", _READ, url)
        return counted(page, "request_latency_count", model_name="half_plus_two", API="Predict")


class Swarm:
    """A master and workers, each on a host."""

    def __init__(self, network: Network, folder: Path, target: str, names: dict[str, list[str]]) -> None:
        self._network, self._folder, self._target, self._names = network, folder, target, names
        self._started: list[Locust] = []
        self.hosts: list[Host] = []
        """The workers'."""
        self.workers: list[Locust] = []
        self.master: Locust

    def start(
        self,
        *,
        users: int,
        run_time: str,
        wait_s: tuple[float, float] = (0.2, 0.6),
        slow: Sequence[int] = (),
        master_heartbeat_timeout: int = _LOCUSTS_S,
    ) -> None:
        """Four workers; the links of those in ``slow`` take 50 ms and lose one frame of a hundred, each way."""
        file = self._folder / "patient.py"
        settings = {"least_s": wait_s[0], "most_s": wait_s[1], "master_heartbeat_timeout": master_heartbeat_timeout}
        file.write_text(LOCUSTFILE.format(**settings))
        leading = self._network.host("master", names=self._names)
        load = ["-u", str(users), "-r", str(users), "-t", run_time, "--host", f"grpc://{self._target}:8500"]
        alone = ["--master", "--headless", "--expect-workers", "4", "--only-summary"]
        self.master = self._locust(leading, "-f", str(file), *alone, *load, TFS_REPORT=str(self._folder / "results"))
        for number in range(4):
            link = {"delay_s": 0.05, "loss": 0.01} if number in slow else {}
            self.hosts.append(self._network.host("worker", names=self._names, **link))
            self.workers.append(
                self._locust(self.hosts[-1], "-f", str(file), "--worker", "--master-host", leading.address)
            )

    def _locust(self, host: Host, *arguments: str, **env: str) -> Locust:
        self._started.append(Locust(self._folder, [*arguments], env, through=host.through))
        return self._started[-1]

    def identity(self, number: int) -> str:
        """What Locust calls a worker."""
        (said,) = [line for line in self.workers[number].output.splitlines() if line.startswith("I am ")]
        return said.removeprefix("I am ")

    def outputs(self) -> str:
        """Of all, for a test that fails."""
        return "\n----\n".join(process.output for process in self._started)

    def report(self) -> dict[str, Any]:
        """What was written at the end."""
        report: dict[str, Any] = json.loads((self._folder / "results" / "report.json").read_text())
        return report

    def ended_well(self) -> dict[str, Any]:
        """Wait for the end of all; nothing was lost on the way, and no worker was missed. The report."""
        assert self.master.wait(60) == 0, self.outputs()
        assert [worker.wait(20) for worker in self.workers] == [0] * 4, self.outputs()
        assert "failed to send heartbeat" not in self.master.output
        report = self.report()
        assert (report["verdict"]["state"], report["verdict"]["reasons"]) == ("PASS", [])
        names = sorted(self.identity(number) for number in range(4))
        assert sorted(worker["name"] for worker in report["workers"]) == names
        assert {worker["state"] for worker in report["workers"]} == {"complete"}
        assert report["totals"]["failed"] == 0
        return report

    def end(self) -> None:
        """Whatever is left of it."""
        for process in self._started:
            process.end()


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """One for all tests of this file: their server is on it."""
    if reason := why_no_hosts():
        pytest.skip(reason)
    with running_network() as network:
        yield network


@contextmanager
def _serving(network: Network, folder: Path, count: int) -> Iterator[list[Server]]:
    with ExitStack() as ends:
        servers = []
        for _ in range(count):
            servers.append(Server(network.host("server"), folder))
            ends.callback(servers[-1].process.end)
        for server in servers:
            server.wait()
        yield servers


@pytest.fixture(scope="module")
def server(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """On a host of its own; it counts the runs of all tests."""
    with _serving(network, tmp_path_factory.mktemp("server"), 1) as (server,):
        yield server


Start = Callable[..., Swarm]


@pytest.fixture
def swarm(network: Network, server: Server, tmp_path: Path) -> Iterator[Start]:
    """A swarm that is not started, against the server or, by ``at``, the addresses of a name. It ends with the test."""
    made: list[Swarm] = []

    def make(at: Sequence[str] = ()) -> Swarm:
        target, names = (NAME, {NAME: [*at]}) if at else (server.host.address, {})
        made.append(Swarm(network, tmp_path, target, names))
        return made[-1]

    yield make
    for one in made:
        one.end()


def _under_way(one: Swarm, server: Server, before: int, requests: int) -> None:
    wait_until(lambda: server.served() >= before + requests, within_s=60, saying=one.outputs)


def test_thousand_users(swarm: Start, server: Server) -> None:
    """1000 users on four hosts, for ten seconds: the report has each worker and every request the server counted."""
    before, one = server.served(), swarm()
    one.start(users=1000, run_time="10s", wait_s=(1, 3))
    report = one.ended_well()
    assert report["totals"]["ok"] == server.served() - before
    assert report["totals"]["ok"] >= 2000
    assert max(report["timeline"]["users"]) == 1000
    assert report["peers"] == {server.peer: report["totals"]["ok"]}


def test_cut_link(swarm: Start, server: Server) -> None:
    """A worker that nobody hears any more, and that hears nobody: INVALID names it, the others are complete, and all
    end, the lost one by itself."""
    before, one = server.served(), swarm()
    one.start(users=40, run_time="10s", master_heartbeat_timeout=6)
    _under_way(one, server, before, 400)  # for four seconds: workers report every three
    one.hosts[1].cut()
    assert one.master.wait(60) == 3, one.outputs()
    assert [one.workers[number].wait(20) for number in (0, 2, 3)] == [0, 0, 0], one.outputs()
    report = one.report()
    states = {worker["name"]: worker["state"] for worker in report["workers"]}
    assert states == {one.identity(number): "lost" if number == 1 else "complete" for number in range(4)}
    assert report["verdict"]["state"] == "INVALID"
    (reason,) = report["verdict"]["reasons"]
    assert reason.startswith(f"worker-lost: {one.identity(1)} is gone without its last report; ")
    assert report["totals"]["ok"] <= server.served() - before  # it never claims more than there was
    assert one.workers[1].wait(40) == 0, one.outputs()
    assert "Didn't get heartbeat from master in over 6s" in one.workers[1].output


def test_slow_and_lossy_link(swarm: Start, server: Server) -> None:
    """A worker at 100 ms and 2 % of losses from all others: its heartbeats hold, and not a request is lost."""
    before, sent_again, one = server.served(), server.host.sent_again(), swarm()
    one.start(users=100, run_time="9s", slow=[2])
    report = one.ended_well()
    assert report["totals"]["ok"] == server.served() - before
    (slow,) = [worker for worker in report["workers"] if worker["name"] == one.identity(2)]
    assert slow["finished"] > 100
    assert report["response_time_s"]["max"] >= 0.1
    assert server.host.sent_again() + one.hosts[2].sent_again() > sent_again


@pytest.mark.parametrize("believes_s", [6, pytest.param(_LOCUSTS_S, marks=pytest.mark.long)])
def test_killed_master(believes_s: int, swarm: Start, server: Server) -> None:
    """Without a master workers end by themselves, and each says why."""
    before, one = server.served(), swarm()
    one.start(users=40, run_time="300s", master_heartbeat_timeout=believes_s)
    _under_way(one, server, before, 80)
    one.master.process.send_signal(signal.SIGKILL)
    assert [worker.wait(believes_s + 20) for worker in one.workers] == [0] * 4, one.outputs()
    for worker in one.workers:
        assert f"Didn't get heartbeat from master in over {believes_s}s" in worker.output
        worker.assert_nothing_left()


def test_name_with_several_addresses(swarm: Start, server: Server, network: Network, tmp_path: Path) -> None:
    """Three servers behind one name share the load evenly; the report has each one's own count, and the skew."""
    with _serving(network, tmp_path, 2) as more:
        servers = [server, *more]
        before = {each.peer: each.served() for each in servers}
        one = swarm(at=[each.host.address for each in servers])
        one.start(users=100, run_time="5s")
        report = one.ended_well()
        served = {each.peer: each.served() - before[each.peer] for each in servers}
    assert report["totals"]["ok"] == sum(served.values())
    assert report["peers"] == served
    assert report["peer_skew"] == pytest.approx(3 * max(served.values()) / sum(served.values()))
    assert report["peer_skew"] < 1.1
