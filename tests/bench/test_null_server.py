"""The null server and the paced client, where they can be compiled."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import workload
from bench.native import NotBuilt, binary
from bench.servers import NullServer, null_server
from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.control import GrpcControl, resolve
from tfs_locust.tfserving.protos import GET_MODEL_STATUS, PREDICT
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.base import Endpoint, asking
from tfs_locust.transport.grpc_library import GrpcLibrary


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Both programs."""
    try:
        binary("null_server"), binary("paced_client")
    except NotBuilt as reason:
        pytest.skip(str(reason))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NullServer]:
    """One that answers 2 ms late."""
    with null_server(None, tmp_path, delay_us=2000) as one:
        yield one


@pytest.fixture
def transport(server: NullServer) -> Iterator[GrpcLibrary]:
    """A client of it."""
    transport = GrpcLibrary(Endpoint("127.0.0.1", server.port))
    yield transport
    transport.close()


def told_after(server: NullServer, predicts: int) -> dict[str, Any]:
    """What it tells, with its times of all these answers: it counts one when it knows that it is written."""
    deadline = time.monotonic() + 30
    counted = 0
    while True:
        told = server.tell()
        counted += told["delay_us"]["count"]
        if told["predicts"] >= predicts:
            return {**told, "times": counted}
        assert time.monotonic() < deadline, told


def test_it_answers_and_counts(server: NullServer, transport: GrpcLibrary) -> None:
    """Metadata at once, Predict late; what it does not know is UNIMPLEMENTED; each is counted once."""
    model = resolve(GrpcControl(asking(transport, 30)), Target(workload.MODEL))
    assert [spec.name for spec in model.inputs] == ["x"]
    request = transport.prepare(PREDICT, workload.small("grpc").body)
    for _ in range(3):
        reply = transport.call(request, 30)
        assert (reply.outcome, reply.body) == (Outcome.OK, workload.grpc_answer())
        assert reply.end_ns - reply.sent_ns >= 2_000_000
    assert transport.call(transport.prepare(GET_MODEL_STATUS, b""), 30).outcome is Outcome.UNIMPLEMENTED
    told = told_after(server, 3)
    assert (told["predicts"], told["metadata"], told["times"]) == (3, 1, 3)
    assert server.tell()["delay_us"]["count"] == 0


def test_the_paced_client_tells_what_the_server_does(server: NullServer, tmp_path: Path) -> None:
    """Both count the same requests; none is answered before its time."""
    request = tmp_path / "request"
    request.write_bytes(workload.small("grpc").body)
    command = [binary("paced_client"), str(server.port), request, "200", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["answered"] == told_after(server, 400)["predicts"] == 400
    assert told["service_us"]["count"] == told["send_lag_us"]["count"] == 200
    assert told["service_us"]["p50"] >= 2000
