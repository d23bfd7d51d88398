"""Plans come true, and the diagnosis names the fault that was planted: against servers, by their own count."""

from __future__ import annotations

import random
import re
import shutil
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.embedded.conftest import TRANSCRIPTS, RunningServer, running_server
from tfs_locust.judge.batching import Client
from tfs_locust.judge.diagnosis import diagnose
from tfs_locust.load.plan import Demand, Plan, Setup, make_plan
from tfs_locust.load.rows import rows
from tfs_locust.load.simulation import BatchCost
from tfs_locust.measure.sample import Outcome
from tfs_locust.swarm.batching import Planned, batching_of
from tfs_locust.tfserving import protos
from tfs_locust.tfserving.batching import BatchingParameters
from tfs_locust.tfserving.errors import closer_meaning

_DEADLINE_S = 60
_AFTER_REFUSAL_S = 0.02


@dataclass(frozen=True)
class _Case:
    """Parameters, what a batch costs, the load, and what is wrong with it."""

    parameters: str
    batch_ms: int
    rows: str
    users: int
    findings: set[str]
    grpc_max_threads: int = 64
    batch_threads: int = 2
    batches: int = 20
    """To measure."""
    most_pause_s: float = 0.0
    """Between a user's calls, at random: or those who once came together would stay together."""


_CASES = {
    "healthy": _Case(
        "max_batch_size { value: 16 } batch_timeout_micros { value: 500000 } "
        "allowed_batch_sizes: 4 allowed_batch_sizes: 8 allowed_batch_sizes: 16",
        *(100, "4", 12, set()),
    ),
    "misfit": _Case(
        "max_batch_size { value: 32 } allowed_batch_sizes: 8 allowed_batch_sizes: 16 allowed_batch_sizes: 32",
        *(50, "17", 8, {"rows-do-not-fit"}),
    ),
    "padded": _Case(
        "max_batch_size { value: 32 } batch_timeout_micros { value: 200000 } "
        "allowed_batch_sizes: 8 allowed_batch_sizes: 32",
        *(40, "1", 20, {"padding", "closes-on-timeout"}),
        batches=12,
    ),
    "waiting": _Case(
        "max_batch_size { value: 64 } batch_timeout_micros { value: 200000 }",
        *(20, "2", 16, {"closes-on-timeout"}),
        batches=12,
    ),
    "idle": _Case("max_batch_size { value: 16 }", 150, "3", 2, {"no-effect"}, most_pause_s=0.15),
    "few": _Case(
        "max_batch_size { value: 32 }", *(100, "4", 6, {"too-few-in-flight"}), grpc_max_threads=8, batch_threads=1
    ),
    "full": _Case(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 500000 } max_enqueued_batches { value: 1 }",
        *(50, "8", 6, {"queue-full"}),
    ),
    "large": _Case(
        "max_batch_size { value: 32 } batch_timeout_micros { value: 500000 }",
        *(60, "8:3,64:1", 12, {"rows-too-large"}),
    ),
    "crowded": _Case(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 500000 }",
        *(50, "4", 16, {"refused-by-threads"}),
        grpc_max_threads=8,
        batch_threads=1,
    ),
}


@dataclass(frozen=True)
class _Window:
    """What the metrics counted between two looks."""

    requests: Mapping[str, int]
    executed_batches: int
    executed_rows: int
    padding_rows: int
    queued_tasks: int
    queueing_s_total: float
    predict_calls: int | None = None
    calls_of_all: int | None = None
    """Not looked at: the window begins and ends amid requests."""
    restarted: bool = False
    uncertain: tuple[str, ...] = ()


@contextmanager
def _server(folder: Path, grpc_max_threads: int, batch_threads: int) -> Iterator[RunningServer]:
    """A model for each case that needs so many threads, batched by parameters of its own."""
    threads = grpc_max_threads, batch_threads
    cases = {name: case for name, case in _CASES.items() if (case.grpc_max_threads, case.batch_threads) == threads}
    configs = []
    for name, case in cases.items():
        shutil.copytree(TRANSCRIPTS / "models" / "half_plus_two" / "1", folder / name / "1")
        (folder / name / "1" / "batching_params.pbtxt").write_text(case.parameters)
        configs.append(f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}')
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(configs)} }}")
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    (folder / "threads.config").write_text(f"num_batch_threads {{ value: {batch_threads} }}")
    flags = {
        "model_config_file": folder / "models.config",
        "monitoring_config_file": folder / "monitoring.config",
        "enable_batching": "true",
        "enable_per_model_batching_parameters": "true",
        "batching_parameters_file": folder / "threads.config",
        "simulate_delay_ms": ",".join(f"{name}={case.batch_ms}" for name, case in cases.items()),
        "grpc_max_threads": grpc_max_threads,
    }
    with running_server(folder, flags) as server:
        yield server


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """``servers(case)``: started when first asked for, shared by the cases."""
    started: dict[tuple[int, int], RunningServer] = {}
    with ExitStack() as stack:

        def get(case: _Case) -> RunningServer:
            threads = case.grpc_max_threads, case.batch_threads
            if threads not in started:
                started[threads] = stack.enter_context(_server(tmp_path_factory.mktemp("served"), *threads))
            return started[threads]

        yield get


@dataclass
class _Users:
    """A closed loop of threads; counts how their calls ended, and how long those took that ended well."""

    most_pause_s: float
    outcomes: Counter[str] = field(default_factory=Counter)
    service_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, call: Any, requests: Iterator[bytes]) -> None:
        while not self.stop.wait(random.random() * self.most_pause_s):
            with self.lock:
                request = next(requests)
            started = time.perf_counter()
            try:
                call(request, timeout=_DEADLINE_S)
            except grpc.RpcError as error:
                outcome = closer_meaning(Outcome(error.code().name.lower()), error.details())
                self.stop.wait(_AFTER_REFUSAL_S)
            else:
                outcome = Outcome.OK
            with self.lock:
                self.outcomes[outcome.value] += 1
                if outcome is Outcome.OK:
                    self.service_s += time.perf_counter() - started

    def seen(self) -> tuple[Counter[str], float, float]:
        with self.lock:
            return self.outcomes.copy(), self.service_s, time.perf_counter()


def _requests(model: str, mix: str) -> Iterator[bytes]:
    for number in rows(mix).sequence():
        request = protos.predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.inputs["x"].dtype = protos.types_pb2.DT_FLOAT
        request.inputs["x"].tensor_shape.dim.add(size=number)
        request.inputs["x"].float_val.append(1.0)
        yield request.SerializeToString()


def _page(server: RunningServer) -> dict[str, float]:
    """Metric -> the sum of its series, and of the requests that ended well."""
    with urllib.request.urlopen(f"{server.rest_url}/monitoring/prometheus/metrics", timeout=30) as answer:
        text = answer.read().decode()
    page: dict[str, float] = Counter()
    for name, value in re.findall(r"^:tensorflow:serving:([a-z_:]+)\{.*\} (\S+)$", text, re.MULTILINE):
        page[name.rpartition(":")[2]] += float(value)
    return page


def _window(before: Mapping[str, float], after: Mapping[str, float]) -> _Window:
    def counted(name: str) -> int:
        return round(after[name] - before[name])

    return _Window(
        {"all": counted("request_count")},
        counted("processed_batch_size_count"),  # not wrapped_run_count, which is counted when an execution ends
        counted("processed_batch_size_sum") - counted("padding_size_sum"),
        counted("padding_size_sum"),
        counted("queuing_latency_count"),
        (after["queuing_latency_sum"] - before["queuing_latency_sum"]) / 1e6,
    )


def _measure(server: RunningServer, name: str, case: _Case) -> tuple[_Window, Client]:
    """Load until as many batches as the case wants were executed, after the first few."""
    users, requests = _Users(case.most_pause_s), _requests(name, case.rows)
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary(protos.PREDICT)
        threads = [threading.Thread(target=users.run, args=(call, requests), daemon=True) for _ in range(case.users)]
        for thread in threads:
            thread.start()
        try:
            before = _after_batches(server, _page(server), 3)
            first = users.seen()
            after = _after_batches(server, before, case.batches)
            last = users.seen()
        finally:
            users.stop.set()
            for thread in threads:
                thread.join(_DEADLINE_S)
    outcomes = last[0] - first[0]
    return _window(before, after), Client(
        outcomes,
        window_s=last[2] - first[2],
        users=case.users,
        mean_service_time_s=(last[1] - first[1]) / outcomes["ok"],
        rows=tuple((number, float(share)) for number, share in rows(case.rows).mix),
    )


def _after_batches(server: RunningServer, before: Mapping[str, float], batches: int) -> Mapping[str, float]:
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        page = _page(server)
        if page["processed_batch_size_count"] - before["processed_batch_size_count"] >= batches:
            return page
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _plan(case: _Case, folder: Path) -> Plan:
    file = folder / "batching.config"
    file.write_text(f"{case.parameters} num_batch_threads {{ value: {case.batch_threads} }}")
    setup = Setup(BatchingParameters.read(str(file)), 8, case.grpc_max_threads)
    cost = BatchCost(case.batch_ms / 1e3)
    return make_plan(setup, "grpc", rows(case.rows), Demand(case.users), cost=cost)


@pytest.mark.parametrize("name", _CASES)
def test_plan_and_diagnosis(name: str, servers: Any, tmp_path: Path) -> None:
    """Rows in a batch and padding are as planned within 10 %; what was planted is found, and nothing else."""
    case = _CASES[name]
    plan = _plan(case, tmp_path)
    window, client = _measure(servers(case), name, case)
    assert plan.expected is not None
    measured = window.executed_rows / window.executed_batches
    assert measured == pytest.approx(plan.expected.mean_rows_per_batch, rel=0.1)
    padding = window.padding_rows / (window.executed_rows + window.padding_rows)
    assert padding == pytest.approx(plan.expected.padding_ratio, rel=0.1, abs=0.01)
    findings = diagnose(window, batching_of([Planned(plan, rows_known=True)]), client)
    assert {finding.id for finding in findings} == case.findings, findings
