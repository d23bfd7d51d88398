"""Locust's own statistics are level with the report, whether or not somebody listens to its ``request`` event."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.swarm.conftest import Interface
from tests.swarm.processes import Locust

Start = Callable[..., Locust]

_NOBODY = ""
_SOMEBODY = "environment.events.request.add_listener(hear)"
# a listener that comes after the fiftieth request, and goes after the hundredth
_COMES_AND_GOES = """gevent.spawn(come_and_go, environment)

def come_and_go(environment):
    while environment.stats.total.num_requests < 50:
        gevent.sleep(0.01)
    environment.events.request.add_listener(hear)
    while len(heard) < 50:
        gevent.sleep(0.01)
    environment.events.request.remove_listener(hear)
"""
_LOCUSTFILE = """
import gevent
from locust import constant, events
from tfs_locust import GrpcPredictUser, RestPredictUser

heard = []

def hear(name, response_time, **_):
    heard.append(name)

@events.test_start.add_listener
def _(environment, **_):
    {then}

@events.quitting.add_listener
def _(**_):
    print("HEARD", len(heard), flush=True)

class Good({base}):
    wait_time = constant(0.01)
    model = "dense"

class Bad({base}):
    wait_time = constant(0.05)
    model = "dense"
    fixed_count = 1
    def predict(self, inputs=None):
        return super().predict(b"no body of any kind")
"""


@pytest.mark.parametrize("then", [_NOBODY, _SOMEBODY, _COMES_AND_GOES], ids=["nobody", "somebody", "comes and goes"])
def test_both_tell_the_same(then: str, interface: Interface, locust: Start, tmp_path: Path) -> None:
    """Requests, failures, bytes, shortest and longest time, and the distribution's total."""
    file = tmp_path / "locustfile.py"
    file.write_text(_LOCUSTFILE.format(then=then or "pass", base=f"{interface.name.capitalize()}PredictUser"))
    run = locust("-f", str(file), "--host", interface.host, "--headless", "-u", "4", "-r", "4", "-t", "3s",
                 "--tfs-report", str(tmp_path / "results"))  # fmt: skip
    assert run.wait() == 1, run.output  # some failed
    row = run.only_row()
    report = json.loads((tmp_path / "results" / "report.json").read_text())
    totals, service = report["totals"], report["service_time_s"]
    assert (row["num_requests"], row["num_failures"]) == (totals["requests"], totals["failed"])
    assert min(totals["ok"], totals["failed"]) > 20
    assert sum(row["response_times"].values()) == totals["requests"]
    assert sum(row["num_reqs_per_sec"].values()) == totals["requests"]
    assert row["total_content_length"] == totals["response_bytes"]
    assert row["max_response_time"] >= 1000 * service["max"] - 1e-6
    heard = int(run.output.partition("HEARD ")[2].split()[0])
    expected = {_NOBODY: (0, 0), _SOMEBODY: (totals["requests"],) * 2, _COMES_AND_GOES: (50, totals["requests"] - 1)}
    assert expected[then][0] <= heard <= expected[then][1]
