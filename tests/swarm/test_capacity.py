"""The search for capacity, in real runs: against a queue whose capacity is known, and where it has no answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.servers import NullServer, null_server
from tests.swarm.batched import running_batched
from tests.swarm.conftest import Serving
from tests.swarm.processes import ROOT, Locust, wait_until
from tests.unit import queueing
from tfs_locust.load.arrival import poisson
from tfs_locust.load.schedule import ALL, Schedule

Start = Callable[..., Locust]
_QUICK = "warmup=1s | window=1s | steady=4s | cooldown=3s"
_SERVICE_US = 5_000


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[NullServer]:
    """Answers one request after the other, in 5 ms each."""
    with null_server(None, tmp_path, queue_us=_SERVICE_US) as server:
        yield server


def _arguments(port: int, *more: str, file: str = "capacity") -> list[str]:
    given = ["-f", str(ROOT / "locustfiles" / f"{file}.py"), "--host", f"grpc://127.0.0.1:{port}"]
    return [*given, "--tfs-model", "my_model", "--headless", "--only-summary", "--tfs-report", "out", *more]


def _result(run: Locust) -> Any:
    return json.loads((run.folder / "out" / "report.json").read_text())


def _predicts(server: NullServer, at_least: int) -> int:
    """What the server has answered, once it knows of all."""
    counted: list[int] = []
    wait_until(lambda: counted.append(int(server.tell()["predicts"])) or counted[-1] >= at_least, within_s=5)
    return counted[-1]


def test_found_by_rate(queue: NullServer, locust: Start) -> None:
    """The locustfile searches by itself, by the rate: below the rate that the queue cannot pass, confirmed, and told in
    every file; what was sent is what the server counted."""
    given = ["--tfs-slo", "p99<200ms", "--tfs-resolution", "25%"]
    run = locust(*_arguments(queue.port, *given, "--tfs-capacity-param", f"start=50 | {_QUICK}"))
    assert run.wait(110) == 0, run.output
    result = _result(run)
    capacity, totals = result["capacity"], result["totals"]
    assert (capacity["state"], capacity["unit"], capacity["confirmed"]) == ("PASS", "requests/s", True)
    assert 50 <= capacity["value"] <= 1e6 / _SERVICE_US
    assert capacity["limited_by"] in {"p99<200ms", "throughput"}
    assert capacity["bound"]["load"] <= 1.26 * capacity["value"]
    assert {level["purpose"] for level in capacity["levels"]} >= {"growth", "confirmation"}
    assert totals["ok"] + totals["unsent"] == totals["requests"] == result["offered"]["scheduled"]
    assert _predicts(queue, totals["ok"]) == totals["ok"]
    assert f"capacity: {capacity['sentence']}" in run.output
    assert result["verdict"]["state"] == "PASS"
    assert (run.folder / "out" / "capacity.csv").read_text().count("\n") == len(capacity["levels"]) + 1


def test_found_by_users(queue: NullServer, locust: Start) -> None:
    """In a closed loop by users: more of them than the objective allows wait for each other."""
    given = ["--tfs-find-capacity", "--tfs-slo", "p90<28ms"]
    run = locust(*_arguments(queue.port, *given, "--tfs-capacity-param", _QUICK, file="grpc_predict"))
    assert run.wait(110) in {0, 3}, run.output  # a busy machine may not confirm it
    capacity = _result(run)["capacity"]
    assert capacity["unit"] == "users"
    assert 1 <= capacity["at_least"] <= 5  # each waits for the others: n users, n times 5 ms
    assert [level["load"] for level in capacity["levels"]][:3] == [1, 2, 4]


@pytest.mark.long
def test_no_load_is_small_enough(queue: NullServer, locust: Start) -> None:
    """FAIL, exit code 1: what takes 5 ms is never answered in 1."""
    given = ["--tfs-slo", "p50<1ms", "--tfs-capacity-param", f"start=20 | {_QUICK}"]
    run = locust(*_arguments(queue.port, *given))
    assert run.wait(110) == 1, run.output
    capacity = _result(run)["capacity"]
    assert (capacity["value"], capacity["limited_by"]) == (None, "nothing-passed")


@contextmanager
def _hog(core: int) -> Iterator[None]:
    """Something else that wants all of a core."""
    with subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]) as hog:
        try:
            yield
        finally:
            hog.kill()


@pytest.mark.long
def test_the_generator_is_the_limit(tmp_path: Path, locust: Start) -> None:
    """With a few percent of a core it is said that the generator was the limit, and no number is given."""
    with null_server(0, tmp_path) as server, _hog(1):
        given = [
            "--tfs-slo",
            "p99<100ms",
            "--tfs-capacity-param",
            f"start=20000 | time=60s | {_QUICK}",
            "--tfs-server-metrics=none",
        ]
        run = locust(*_arguments(server.port, *given), TFS_LIMIT="")
        os.sched_setaffinity(run.process.pid, {1})
        os.setpriority(os.PRIO_PROCESS, run.process.pid, 10)
        assert run.wait(115) == 3, run.output
    capacity = _result(run)["capacity"]
    assert (capacity["value"], capacity["limited_by"], capacity["state"]) == (None, "generator", "INVALID")
    assert "the generator was the limit" in capacity["sentence"]


def test_interrupted(queue: NullServer, locust: Start) -> None:
    """Ctrl-C ends a search as INVALID, with the levels so far."""
    run = locust(*_arguments(queue.port, "--tfs-capacity-param", f"start=20 | {_QUICK}"))
    wait_until(lambda: int(queue.tell()["predicts"]) > 250)
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 3, run.output
    result = _result(run)
    assert result["capacity"]["limited_by"] == "interrupted"
    assert result["capacity"]["levels"]
    assert result["verdict"]["state"] == "INVALID"


def test_what_cannot_be_searched(serving: Serving, locust: Start) -> None:
    """All that does not go together is told before any load."""
    given = ["--tfs-warmup", "1s", "--tfs-shape", "soak", "--tfs-capacity-param", "max=5 | start=9 | tempo=3"]
    run = locust(*_arguments(int(serving.grpc.rpartition(":")[2]), *given, "--tfs-model", "dense"))
    assert run.wait(20) == 2, run.output
    listed = [line[4:].split(":")[0] for line in run.output.splitlines() if line.startswith("  - ")]
    assert listed == [
        "--tfs-capacity-param 'tempo=3'",
        "--tfs-find-capacity and --tfs-shape exclude each other",
        "--tfs-warmup",
        "--tfs-capacity-param",
    ], run.output


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_known_capacity_three_times(tmp_path: Path, locust: Start) -> None:
    """M/D/1: within 10 % of what queueing theory says, in under 5 minutes, three times of three."""
    service_s, bound_s = 0.002, 0.100
    expected = queueing.capacity(bound_s, 0.99, service_s)
    found = []
    with null_server(None, tmp_path, queue_us=2000) as server:
        for seed in "123":
            run = locust(*_arguments(server.port, "--tfs-slo", "p99<100ms", "--tfs-seed", seed))
            assert run.wait(300) == 0, run.output
            found.append(_result(run)["capacity"]["value"])
    print(f"expected {expected:.0f}/s, found {found}")
    assert found == pytest.approx([expected] * 3, rel=0.1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_batching_server_three_times(tmp_path: Path, locust: Start) -> None:
    """A server with a fixed cost for each batch: two threads, 16 rows in 100 ms each, within 10 % of 320 rows/s."""
    batch_ms = 100
    expected = 2 * 16 / (batch_ms / 1e3)
    found = []
    parameters = "max_batch_size { value: 16 } batch_timeout_micros { value: 5000 } max_enqueued_batches { value: 99 }"
    with running_batched(tmp_path, parameters, batch_ms) as server:
        for _ in range(3):
            port = int(server.running.grpc_address.rpartition(":")[2])
            given = ["--tfs-rows", "4", "--tfs-slo", "p99<1s", "--tfs-slo", "error_rate<1%", "--tfs-model", "m"]
            run = locust(*_arguments(port, *given))
            assert run.wait(300) == 0, run.output
            found.append(_result(run)["capacity"]["rows_per_s"])
    print(f"expected {expected:.0f} rows/s, found {found}")
    assert found == pytest.approx([expected] * 3, rel=0.1)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("load", "service_us"), [(0.5, 10_000), (0.8, 5_000), (0.95, 2_000)])
def test_waiting_in_a_queue_is_as_theory_says(load: float, service_us: int, tmp_path: Path, locust: Start) -> None:
    """The measured p99 of M/D/1 agrees within 10 % with Erlang's formula.

    A minute of arrivals differs from the formula by chance, at 95 % load by a third; so it is one that by Lindley's
    recursion would not. Services are long against the milliseconds for which a machine may stand still.
    """
    expected = queueing.response_time_quantile(load, 0.99, service_us * 1e-6)
    rate = load * 1e6 / service_us
    seed = next(one for one in range(100) if _p99_s(one, rate, service_us) == pytest.approx(expected, rel=0.02))
    with null_server(None, tmp_path, queue_us=service_us) as server:
        given = ["--tfs-arrival", "poisson", "--tfs-rate", str(rate), "--tfs-seed", str(seed), "-t", f"{_SECONDS}s"]
        run = locust(*_arguments(server.port, *given, file="grpc_predict"), TFS_LIMIT="")
        assert run.wait(_SECONDS + 30) == 0, run.output
        measured = _result(run)["response_time_s"]["p99"]
    print(f"expected {expected * 1e3:.3f} ms, measured {measured * 1e3:.3f} ms")
    assert measured == pytest.approx(expected, rel=0.1)


_SECONDS = 60


def _p99_s(seed: int, rate: float, service_us: int) -> float:
    """What a single server, first come, first served, would make of the schedule (D. Lindley, 1952)."""
    schedule = Schedule(poisson(), seed, ((0, rate),))
    due_ns = schedule.stripe(ALL).take(_SECONDS * 10**9).due_ns
    served_ns = service_us * 1000 * np.arange(len(due_ns))
    responses_ns = np.maximum.accumulate(due_ns - served_ns) + served_ns + service_us * 1000 - due_ns
    return float(np.quantile(responses_ns, 0.99)) / 1e9
