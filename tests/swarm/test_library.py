"""Locust used as a library, as its documentation shows, with users of ours."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.swarm.conftest import Interface
from tests.swarm.processes import Started

_SCRIPT = """
import json, sys
from tfs_locust import GrpcPredictUser, RestPredictUser
import gevent
from locust.env import Environment

interface, host, model, events = sys.argv[1:]

class Own({"grpc": GrpcPredictUser, "rest": RestPredictUser}[interface]):
    pass

Own.host, Own.model = host, model

def run():
    if events == "of locust":
        from locust import events as used
        environment = Environment(user_classes=[Own], events=used)
    else:
        environment = Environment(user_classes=[Own])
    runner = environment.create_local_runner()
    runner.start(3, spawn_rate=3)
    with gevent.Timeout(20):
        while not runner.exceptions and runner.stats.total.num_requests < 50:
            gevent.sleep(0.02)
        if not runner.exceptions:
            runner.stop()
        while runner.state != "stopped":
            gevent.sleep(0.02)
    runner.quit()
    problems = [row["msg"] for row in runner.exceptions.values()]
    rows = [[row.name, row.method, row.num_requests >= 50, row.num_failures] for row in runner.stats.entries.values()]
    return rows, problems

print("RESULT", json.dumps([run(), run()]))
"""


@pytest.mark.parametrize("events", ["of locust", "of its own"])
def test_environment_and_local_runner(events: str, interface: Interface, python: Callable[..., Started]) -> None:
    """Two environments, one after the other, each load the model; with Locust's event hooks or hooks of their own."""
    run = python("-c", _SCRIPT, interface.name, interface.host, "dense", events)
    assert run.wait() == 0, run.output
    result = json.loads(run.output.partition("RESULT ")[2])
    assert result == [[[["predict dense", interface.name, True, 0]], []]] * 2


@pytest.mark.parametrize("events", ["of locust", "of its own"])
def test_wrong_model(events: str, interface: Interface, python: Callable[..., Started]) -> None:
    """A wrong model ends the run; the runner's exceptions say why; the process is the user's own and goes on."""
    run = python("-c", _SCRIPT, interface.name, interface.host, "dens", events)
    assert run.wait() == 0, run.output
    for rows, problems in json.loads(run.output.partition("RESULT ")[2]):
        assert rows == []
        (problem,) = problems
        assert problem.startswith("Own: model 'dens' is not known to the server; ")
