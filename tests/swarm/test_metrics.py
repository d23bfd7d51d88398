"""Live metrics of real runs: the same numbers as the report's, and no way to stop a run by them."""

from __future__ import annotations

import http.server
import json
import re
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import Locust, LocustWeb, free_port, in_processes, wait_until

Start = Callable[..., Locust]
_WAITS = "waiting for one more scrape"


@pytest.fixture
def run(serving: Serving) -> Callable[..., list[str]]:
    """Arguments of a short headless run whose report goes to ``out``, with some failures of a kind."""

    def arguments(*more: str, run_time: str = "2s") -> list[str]:
        given = ["--tfs-report", "out", "--tfs-slo", "p99<2s", "--tfs-rows", "2", *more]
        return Interface("grpc", serving.grpc).arguments(*given, users=4, run_time=run_time)

    return arguments


def _urls(run: Locust, processes: int = 1) -> list[str]:
    """Where each process says that its metrics are: first that of the run, then those of workers."""
    found: list[str] = []

    def are_there() -> bool:
        found[:] = re.findall(r"metrics of the run: (\S+)", run.output)
        found.extend(re.findall(r"metrics of this worker: (\S+)", run.output))
        return len(found) == processes

    wait_until(are_there, saying=lambda: run.output)
    return found


def _scrape(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return {
            (one.name, tuple(sorted(one.labels.items()))): one.value
            for family in parse(answer.read().decode())
            for one in family.samples
        }


def _total(of: dict[Any, float], name: str) -> float:
    return sum(value for (own, _), value in of.items() if own == name)


def _report(run: Locust) -> Any:
    return json.loads((run.folder / "out" / "report.json").read_text())


def test_the_last_scrape_is_the_report(run: Callable[..., list[str]], locust: Start) -> None:
    """Numbers move while it runs; at its end the process waits for a scrape, which has the report's numbers."""
    process = locust(*run("--tfs-metrics-linger", "60s", "--tfs-metrics-port", "0"))
    (url,) = _urls(process)
    wait_until(lambda: _total(_scrape(url), "tfs_locust_requests_total") > 0)
    process.wait_for(_WAITS)
    last = _scrape(url)
    assert process.wait(10) == 0, process.output
    report = _report(process)
    totals = report["totals"]
    assert _total(last, "tfs_locust_requests_total") == totals["requests"] > 0
    assert _total(last, "tfs_locust_rows_total") == totals["rows"] == 2 * totals["requests"]
    assert _total(last, "tfs_locust_request_bytes_total") == totals["request_bytes"]
    assert _total(last, "tfs_locust_response_bytes_total") == totals["response_bytes"]
    assert _total(last, "tfs_locust_response_time_seconds_count") == totals["ok"]
    assert last["tfs_locust_verdict", (("state", "PASS"),)] == 1
    assert last["tfs_locust_workers", (("state", "complete"),)] == 1


def test_workers_and_master(run: Callable[..., list[str]], locust: Start) -> None:
    """The workers' own parts, by names of their own, come to the whole run's numbers, and these to the report's."""
    given = ["--tfs-metrics-linger", "60s", "--tfs-metrics-port", str(free_port()), "--tfs-warmup", "500ms"]
    process = locust(*run(*given, *in_processes(2)))
    whole, *workers = _urls(process, 3)
    wait_until(lambda: process.output.count(_WAITS) == 3, saying=lambda: process.output)
    for url in (whole, *workers):  # a master is ready to lead, a worker when it hears of its master
        with urllib.request.urlopen(url.replace("/metrics", "/readyz"), timeout=10) as answer:
            assert answer.read() == b"ok\n"
    last, parts = _scrape(whole), [_scrape(url) for url in workers]
    assert process.wait(10) == 0, process.output
    for name in ("requests_total", "warmup_requests_total", "rows_total", "send_lag_seconds_count", "checked_total"):
        of_workers = sum(_total(part, f"tfs_locust_worker_{name}") for part in parts)
        assert of_workers == _total(last, f"tfs_locust_{name}") > 0, name
    assert not [name for part in parts for name, _ in part if name.startswith("tfs_locust_") and "_worker_" not in name]
    report = _report(process)
    assert _total(last, "tfs_locust_requests_total") == report["totals"]["requests"]
    assert _total(last, "tfs_locust_warmup_requests_total") == report["warmup"]["requests"]


def test_a_taken_port(run: Callable[..., list[str]], locust: Start) -> None:
    """A port that was chosen and is taken: the log says so and what to do, and the run goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = locust(*run("--tfs-metrics-port", str(port), run_time="1s"))
        assert process.wait() == 0, process.output
    assert f"--tfs-metrics-port {port}: no metrics are served" in process.output
    assert "Choose another, 0 for a free one, or off" in process.output


def test_the_usual_port_is_taken(run: Callable[..., list[str]], locust: Start) -> None:
    """Where no port was chosen and the usual one is taken, a free one is, and the log says which."""
    with _holding(9646):
        process = locust(*run(run_time="1s"), TFS_METRICS_PORT="")
        (url,) = _urls(process)
        assert process.wait() == 0, process.output
    assert "port 9646 cannot be used, another is taken" in process.output
    assert ":9646" not in url


@contextmanager
def _holding(port: int) -> Iterator[None]:
    """Somebody listens on this port: we, or whoever was there before."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            yield
    except OSError:
        yield


def test_scrapers_that_hang(run: Callable[..., list[str]], locust: Start) -> None:
    """One that asks and never reads, and one that never asks to the end, hold up nothing: neither another scrape nor
    the run, which nobody waits for at its end."""
    process = locust(*run("--tfs-metrics-port", "0", "--tfs-metrics-linger", "0"))
    (url,) = _urls(process)
    host, port = url.removeprefix("http://").removesuffix("/metrics").split(":")
    silent, deaf = (socket.create_connection((host, int(port))) for _ in range(2))
    with silent, deaf:
        silent.sendall(b"GET /metr")
        deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        wait_until(lambda: _total(_scrape(url), "tfs_locust_requests_total") > 0)
        assert process.wait() == 0, process.output
    assert _report(process)["verdict"]["state"] == "PASS"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_wait_can_be_ended(ending: signal.Signals, run: Callable[..., list[str]], locust: Start) -> None:
    """Ctrl-C, or SIGTERM, while it waits for a scrape: it ends at once, with the exit code of the verdict."""
    process = locust(*run("--tfs-metrics-port", "0", "--tfs-metrics-linger", "300s", run_time="1s"))
    process.wait_for(_WAITS)
    process.process.send_signal(ending)
    assert process.wait(10) == 0, process.output
    assert process.output.count("verdict: PASS") == 1
    assert "Traceback" not in process.output


class _Gateway(http.server.BaseHTTPRequestHandler):
    """Keeps what it is given."""

    def do_PUT(self) -> None:  # the name that http.server looks for
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.pushed.append((self.path, body.decode()))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silence."""


def test_pushed_to_a_gateway(run: Callable[..., list[str]], locust: Start) -> None:
    """At the end the gateway has the report's numbers, as one job."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Gateway) as gateway:
        gateway.pushed = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=gateway.serve_forever)
        thread.start()
        try:
            process = locust(*run("--tfs-pushgateway", f"http://127.0.0.1:{gateway.server_port}", run_time="1s"))
            assert process.wait() == 0, process.output
        finally:
            gateway.shutdown()
            thread.join()
    ((path, text),) = gateway.pushed  # type: ignore[attr-defined]
    assert path == "/metrics/job/tfs_locust"
    pushed = {(one.name, tuple(one.labels.items())): one.value for family in parse(text) for one in family.samples}
    assert _total(pushed, "tfs_locust_requests_total") == _report(process)["totals"]["requests"]


def test_a_gateway_that_is_not_there(run: Callable[..., list[str]], locust: Start) -> None:
    """The log says so, and the run's verdict stands."""
    url = f"http://127.0.0.1:{free_port()}"
    process = locust(*run("--tfs-pushgateway", url, run_time="1s"))
    assert process.wait() == 0, process.output
    assert f"--tfs-pushgateway {url}: the metrics could not be pushed: " in process.output


def test_in_the_web_page(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """The page has them too, of one run after the other: a new one begins at zero, and is told by its id."""
    web = locust_web("-f", Interface("grpc", serving.grpc).locustfile, "--host", serving.grpc, "--tfs-model", "dense")
    web.wait_for_page()

    def metrics() -> dict[tuple[str, str], float]:
        samples = (one for family in parse(web.get("/metrics")) for one in family.samples)
        return {(one.name, one.labels.get("run", "")): one.value for one in samples if "bucket" not in one.name}

    def run_id() -> str:
        return next((run for name, run in metrics() if name == "tfs_locust_run_info"), "")

    assert run_id() == ""
    web.post("/swarm", {**web.form(), "user_count": 2, "spawn_rate": 2})
    wait_until(lambda: metrics().get(("tfs_locust_requests_total", ""), 0) > 100, saying=lambda: web.output)
    first = run_id()
    web.post("/stop")
    wait_until(lambda: web.state() == "stopped")
    ended = metrics()["tfs_locust_requests_total", ""]
    assert ended == sum(web.rows().values())
    web.post("/swarm", {**web.form(), "user_count": 1, "spawn_rate": 1, "tfs_model": "slow"})
    wait_until(lambda: run_id() not in {first, ""})
    assert metrics().get(("tfs_locust_requests_total", ""), 0) < ended
