"""How a worker comes to its master, where the master goes just then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgpack
import zmq

from tests.swarm.processes import Locust

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
