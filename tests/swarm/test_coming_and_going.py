"""Workers that come and go at awkward times, and a master that does."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import msgpack
import zmq

from tests.swarm.conftest import Serving
from tests.swarm.processes import ROOT, Locust, free_port, wait_until
from tests.wire.relay import running_relay

Start = Callable[..., Locust]

LOCUSTFILE = """
import locust.runners
from tfs_locust import GrpcPredictUser

locust.runners.MASTER_HEARTBEAT_TIMEOUT = 3  # of Locust's 60 s

class Any(GrpcPredictUser):
    pass
"""


def test_worker_sent_home_in_the_middle_of_its_greeting(locust: Start, tmp_path: Path) -> None:
    """It ends, and well: whoever started it can start it again, for the next master."""
    (tmp_path / "greeting.py").write_text(LOCUSTFILE)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as master:
        port = master.bind_to_random_port("tcp://127.0.0.1")
        master.setsockopt(zmq.LINGER, 0)
        worker = locust("-f", str(tmp_path / "greeting.py"), "--worker", "--master-port", str(port))
        assert master.poll(30_000), worker.output
        name, greeting = master.recv_multipart()
        assert msgpack.loads(greeting)[0] == "client_ready"
        for message in (("ack", {"index": 0}, name.decode()), ("quit", None, name.decode())):
            master.send_multipart([name, msgpack.dumps(message)])
        assert worker.wait(40) == 0, worker.output
    assert "Didn't get heartbeat from master" in worker.output


def test_worker_that_goes_in_the_middle_of_its_preparation(locust: Start, serving: Serving, tmp_path: Path) -> None:
    """The run goes on with the others: that it could not ask the server any more is nobody's fault."""
    master_port, report = str(free_port()), tmp_path / "report"
    before = serving.predictions("dense", "grpc")
    with running_relay(int(serving.grpc.rpartition(":")[2])) as relay:
        options = ["-f", str(ROOT / "locustfiles" / "grpc_predict.py"), "--tfs-model", "dense"]
        options += ["--host", f"grpc://127.0.0.1:{relay.port}", "--tfs-timeout", "20s"]
        options += ["--tfs-status-interval", "off"]  # its connection would be among those that are counted here
        master = locust(
            *(*options, "--master", "--master-bind-port", master_port, "--headless", "--expect-workers", "2"),
            *("-u", "2", "-r", "2", "-t", "4s", "--tfs-report", str(report)),
        )
        master.wait_for("Waiting for workers", within_s=40)  # it has asked the server what it wanted to know
        asked = relay.accepted
        relay.holds = True
        workers = [locust(*options, "--worker", "--master-port", master_port) for _ in range(2)]
        wait_until(lambda: relay.accepted == asked + 2, saying=lambda: master.output)
        going, staying = workers
        going.process.send_signal(signal.SIGTERM)
        assert going.wait(30) == 0, going.output
        relay.holds = False
        assert master.wait(60) == 0, master.output
        assert staying.wait(30) == 0, staying.output
    assert "cannot start" not in master.output
    totals = json.loads((report / "report.json").read_text())["totals"]
    assert 0 < totals["ok"] == serving.predictions("dense", "grpc") - before


def test_all_workers_go_before_the_end(locust: Start, serving: Serving, tmp_path: Path) -> None:
    """What they sent is counted; a run of less than its time is INVALID, however good it was."""
    port, report = str(free_port()), tmp_path / "report"
    before = serving.predictions("dense", "grpc")
    options = ["-f", str(ROOT / "locustfiles" / "grpc_predict.py"), "--tfs-model", "dense", "--host", serving.grpc]
    master = locust(
        *(*options, "--master", "--master-bind-port", port, "--headless", "--expect-workers", "1"),
        *("-u", "2", "-r", "2", "-t", "60s", "--tfs-report", str(report)),
    )
    worker = locust(*options, "--worker", "--master-port", port)
    master.wait_for("All users spawned", within_s=60)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0, worker.output
    assert master.wait(40) == 3, master.output
    result = json.loads((report / "report.json").read_text())
    assert "interrupted before its 60 s were over" in result["verdict"]["reasons"][0]
    assert 0 < result["totals"]["requests"] == serving.predictions("dense", "grpc") - before
