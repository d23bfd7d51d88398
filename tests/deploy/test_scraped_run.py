"""A run that a real Prometheus watches: what it has in the end is what the report says, and dashboards show it."""

from __future__ import annotations

import json
import math
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from tests.deploy.dashboards import NAMES, filled_in, queries, variables
from tests.deploy.prometheus import Prometheus, config, needs_prometheus, promtool, running_prometheus
from tests.embedded.conftest import TRANSCRIPTS, RunningServer, running_server
from tests.swarm.processes import Locust, free_port, wait_until

WINDOW = "10m"
"""Longer than any run here, and since processes are gone after it, what looks back so far sees the last scrape."""
TOO_LARGE = 17
BATCHING = """
max_batch_size { value: 16 } batch_timeout_micros { value: 5000 } num_batch_threads { value: 2 }
allowed_batch_sizes: 4 allowed_batch_sizes: 16
"""
LOCUSTFILE = f"""
from tfs_locust import GrpcPredictUser, rows

class Good(GrpcPredictUser):
    model = "m"
    fixed_count = 3

class Refused(GrpcPredictUser):
    model = "m"
    rows = rows({TOO_LARGE})
    fixed_count = 1
"""
OBJECTIVES = ["p50<5s", "service_p50<2.5s", "error_rate<90%", "throughput>1/s"]
RIGHTLY_EMPTY = {
    # not every kernel tells how long a cgroup is held back
    "Held back / {{instance}}": "throttled",
    "Held back / most": "throttled",
}


@dataclass(frozen=True)
class Scraped:
    """A run that is over, its report, and the Prometheus that watched it."""

    prometheus: Prometheus
    report: Any
    pages: dict[str, str]
    """The metrics of the leading process and of a worker, while load was on."""
    start_s: float
    end_s: float

    def total(self, name: str, labels: str = "") -> float | None:
        """The sum over all series of this name in the last scrape."""
        return self.prometheus.number(f"sum(last_over_time({name}{{{labels}}}[{WINDOW}]))")

    def had(self, expression: str) -> bool:
        """Whether a query has had an answer in the time of the run."""
        filled = filled_in(expression, {"__rate_interval": "10s", "__range": "20s"})
        return self.prometheus.has_had(filled, self.start_s, self.end_s)


@contextmanager
def batching_server(folder: Path) -> Iterator[tuple[RunningServer, Path]]:
    """One that batches, with a version that serves and another that cannot be loaded; and the file it batches by."""
    copytree(TRANSCRIPTS / "models" / "half_plus_two", folder / "m")
    (folder / "batching.config").write_text(BATCHING)
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    flags = {
        "model_name": "m",
        "model_base_path": folder / "m",
        "enable_batching": "true",
        "batching_parameters_file": folder / "batching.config",
        "monitoring_config_file": folder / "monitoring.config",
        "max_num_load_retries": 0,
        "simulate_delay_ms": "m=5",
        "grpc_max_threads": 64,
    }
    with running_server(folder, flags) as running:
        (folder / "m" / "2").mkdir()
        yield running, folder / "batching.config"


@contextmanager
def scraped_run(locust: Callable[..., Locust], folder: Path, seconds: int) -> Iterator[Scraped]:
    """A master and two workers, an open loop, a class whose requests are refused, an eighth of it warm-up."""
    with batching_server(folder) as (server, batching):
        ports = [free_port() for _ in range(3)]
        rest = server.rest_url.removeprefix("http://")
        file = config(folder, master=ports[0], workers=ports[1:], server=rest, every="1s")
        with running_prometheus(folder, file) as prometheus:
            start_s = time.time()
            (folder / "locustfile.py").write_text(LOCUSTFILE)
            at = str(free_port())
            master = [
                "--headless",
                "-u",
                "4",
                "-r",
                "100",
                "-t",
                f"{seconds}s",
                "--host",
                f"grpc://{server.grpc_address}",
            ]
            master += ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", at, "--expect-workers", "2"]
            master += ["--tfs-rate", "200", "--tfs-arrival", "poisson", "--tfs-warmup", f"{seconds / 8}s"]
            master += [
                "--tfs-batching-parameters-file",
                str(batching),
                "--tfs-server-cpus",
                "8",
                "--tfs-allow-too-large",
            ]
            master += ["--tfs-server-metrics", server.rest_url, "--tfs-report", str(folder / "out")]
            master += [part for one in OBJECTIVES for part in ("--tfs-slo", one)]
            worker = ["--worker", "--master-host", "127.0.0.1", "--master-port", at]
            started = [
                locust(
                    "-f", str(folder / "locustfile.py"), *given, TFS_METRICS_PORT=str(port), TFS_METRICS_LINGER="30s"
                )
                for given, port in zip((master, worker, worker), ports, strict=True)
            ]
            wait_until(lambda: prometheus.number("sum(tfs_locust_requests_total)"), saying=lambda: started[0].output)
            pages = {"run": _page(ports[0]), "worker": _page(ports[1])}
            assert started[0].wait(seconds + 60) == 0, started[0].output
            assert [one.wait(40) for one in started[1:]] == [0, 0], started[1].output
            end_s = time.time()
            _scraped_since(prometheus, end_s)
            yield Scraped(prometheus, json.loads((folder / "out" / "report.json").read_text()), pages, start_s, end_s)


def _page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def _scraped_since(prometheus: Prometheus, at_s: float) -> None:
    """Return when the processes of the run are known to be gone, and the server was asked once more."""
    gone, asked = 'sum(up{job=~"tfs_locust.*"} == bool 0)', 'timestamp(up{job="tf_serving"})'
    wait_until(lambda: prometheus.number(gone) == 3 and (prometheus.number(asked) or 0) > at_s)


@needs_prometheus
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", [16, pytest.param(60, marks=pytest.mark.long)])
def test_a_scraped_run(seconds: int, locust: Callable[..., Locust], tmp_path: Path) -> None:
    """Counters of master, workers and server are the report's, exactly; every rule and panel has something to show."""
    with scraped_run(locust, tmp_path, seconds) as run:
        for page in run.pages.values():
            promtool("check", "metrics", given=page)
        assert_totals(run)
        assert_keys(run)
        assert_workers(run)
        assert_server(run)
        assert_quantiles(run)
        assert_objectives(run)
        assert_rules(run)
        assert_dashboards(run)


def assert_totals(run: Scraped) -> None:
    """The whole run, and its warm-up apart."""
    totals, warmup, offered = run.report["totals"], run.report["warmup"], run.report["offered"]
    assert min(totals["ok"], totals["failed"], warmup["requests"]) > 10
    assert run.total("tfs_locust_requests_total") == totals["requests"]
    assert run.total("tfs_locust_requests_total", 'outcome="ok"') == totals["ok"]
    assert run.total("tfs_locust_requests_total", 'outcome!="ok"') == totals["failed"]
    assert run.total("tfs_locust_rows_total", 'outcome="ok"') == totals["rows"]
    assert run.total("tfs_locust_request_bytes_total") == totals["request_bytes"]
    assert run.total("tfs_locust_response_bytes_total") == totals["response_bytes"]
    assert run.total("tfs_locust_response_time_seconds_count") == totals["requests"] - totals["unsent"]
    assert run.total("tfs_locust_service_time_seconds_count", 'outcome="ok"') == totals["ok"]
    assert run.total("tfs_locust_warmup_requests_total") == warmup["requests"]
    assert run.total("tfs_locust_offered_total") == offered["requests"]
    assert run.total("tfs_locust_unsent_total") == offered["unsent"]
    assert run.total("tfs_locust_checked_total") == run.report["checked"]
    assert run.total("tfs_locust_load_seconds") == pytest.approx(run.report["load_s"])
    assert run.total("tfs_locust_in_flight") == 0
    assert run.total("tfs_locust_workers", 'state="complete"') == 2


def assert_keys(run: Scraped) -> None:
    """Each row of the report, by its labels."""
    assert {key["scenario"] for key in run.report["keys"]} == {"Good", "Refused"}
    for key in run.report["keys"]:
        labels = ",".join(f'{name}="{key[name]}"' for name in ("scenario", "protocol", "model", "version"))
        assert run.total("tfs_locust_requests_total", labels) == key["requests"]
        assert run.total("tfs_locust_request_bytes_total", labels) == key["request_bytes"]
        assert run.total("tfs_locust_response_bytes_total", labels) == key["response_bytes"]
        counts = {"ok": key["ok"], **key["failures"]}
        for outcome, count in counts.items():
            assert (run.total("tfs_locust_requests_total", f'{labels},outcome="{outcome}"') or 0) == count
        assert (run.total("tfs_locust_rows_total", f'{labels},outcome="ok"') or 0) == key["rows"]


def assert_workers(run: Scraped) -> None:
    """The workers' own parts, which have names of their own, are the whole together."""
    for name in ("requests", "warmup_requests", "rows", "request_bytes", "response_bytes", "offered", "checked"):
        assert run.total(f"tfs_locust_worker_{name}_total") == run.total(f"tfs_locust_{name}_total"), name
    for name in ("response_time", "service_time", "send_lag", "loop_lag"):
        for bucket in run.prometheus.now(f"sum by (le) (last_over_time(tfs_locust_{name}_seconds_bucket[{WINDOW}]))"):
            le = bucket[0]["le"]
            assert run.total(f"tfs_locust_worker_{name}_seconds_bucket", f'le="{le}"') == bucket[1], f"{name} {le}"


def assert_server(run: Scraped) -> None:
    """What the server counted is what was sent, the warm-up with it, by outcome."""
    for outcome, status in (("ok", "OK"), ("batch_too_large", "INVALID_ARGUMENT")):
        sent = run.total("tfs_locust_requests_total", f'outcome="{outcome}"') or 0
        sent += run.total("tfs_locust_warmup_requests_total", f'outcome="{outcome}"') or 0
        assert run.total(":tensorflow:serving:request_count", f'status="{status}"') == sent


def assert_quantiles(run: Scraped) -> None:
    """Prometheus finds them in the bucket that holds the report's."""
    for name in ("response_time", "service_time"):
        of = f'sum by (le) (last_over_time(tfs_locust_{name}_seconds_bucket{{outcome="ok"}}[{WINDOW}]))'
        edges = sorted(float(labels["le"]) for labels, _ in run.prometheus.now(of))
        for quantile in (50, 95, 99):
            exact = run.report[f"{name}_s"][f"p{quantile}"]
            estimate = run.prometheus.number(f"histogram_quantile({quantile / 100}, {of})")
            upper = bisect_left(edges, exact)
            lower_bound = edges[upper - 1] if upper else 0
            assert estimate is not None
            assert lower_bound <= estimate <= edges[upper], f"{name} p{quantile}: {estimate}, and {exact} in the report"
    assert {5.0, 2.5} <= set(edges)  # the bounds of the objectives


def assert_objectives(run: Scraped) -> None:
    """Verdict and objectives as in the report."""
    assert run.report["verdict"]["state"] == "PASS", run.report["verdict"]
    for state in ("PASS", "FAIL", "INVALID"):
        assert run.total("tfs_locust_verdict", f'state="{state}"') == (state == "PASS")
    for one in run.report["objectives"]:
        label = f'objective="{one["expression"]}"'
        assert run.total("tfs_locust_slo_met", label) == run.total("tfs_locust_slo_decided", label) == 1
        left = run.total("tfs_locust_slo_budget_remaining_ratio", label)
        if one["evidence"] is None:
            assert left is None
        else:
            allowed = one["evidence"]["allowed"] * one["evidence"]["requests"]
            assert left == pytest.approx(1 - one["evidence"]["beyond"] / allowed)


def assert_rules(run: Scraped) -> None:
    """All could be evaluated, and every recording rule has recorded something."""
    rules = [rule for group in run.prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert [rule["lastError"] for rule in rules if rule["health"] != "ok"] == []
    recording = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert len(recording) > 15
    assert [name for name in recording if not run.had(name)] == []


def assert_dashboards(run: Scraped) -> None:
    """Each query of each panel, mark and variable has had an answer, but for those that rightly have none."""
    throttled = run.prometheus.now(f"last_over_time(tfs_locust_worker_throttled_ratio[{WINDOW}])")
    empty_here = {} if throttled else RIGHTLY_EMPTY
    for name in NAMES:
        silent = {where for where, query in queries(name) if not run.had(query)}
        assert silent <= empty_here.keys(), name
        for series, label in variables(name):
            values = run.prometheus.label_values(filled_in(series, {}), label)
            assert [value for value in values if value], f"{series} {label}"
    rate = run.prometheus.number(f"max_over_time(sum(rate(tfs_locust_requests_total[5s]))[{WINDOW}:1s])")
    assert rate is not None
    assert not math.isnan(rate)
