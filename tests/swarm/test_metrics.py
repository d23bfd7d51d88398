"""Live metrics of real runs: the same numbers as the report's, and no way to stop a run by them."""

from __future__ import annotations

import ast
import http.server
import json
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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
        given = ["--tfs-report", "out", "--tfs-slo", "p50<5s", "--tfs-rows", "2", *more]
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


_OWN = """
from locust import events
from tfs_locust import GrpcPredictUser

class Dense(GrpcPredictUser):
    pass

@events.test_start.add_listener
def say(environment, **_):
    print("OPTIONS", {n: v for n, v in vars(environment.parsed_options).items() if n in
        ("tfs_metrics_linger", "tfs_metrics_port", "tfs_metrics_address", "tfs_pushgateway", "tfs_rows")}, flush=True)
"""


def test_a_worker_keeps_its_own_options(run: Callable[..., list[str]], locust: Start, tmp_path: Path) -> None:
    """Locust gives a worker all options of its master. Those of a process stay its own: one that joins a run under way
    may hear of the run before it has read them."""
    (tmp_path / "own.py").write_text(_OWN)
    port = str(free_port())
    at = ["--master-port", port]
    given = ["--master", "--expect-workers", "1", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
    given += ["--tfs-metrics-address", "localhost", "--tfs-metrics-linger", "0"]
    master = locust(*run(*given, "-f", str(tmp_path / "own.py"), run_time="1s"))
    worker = locust("--worker", *at, "-f", str(tmp_path / "own.py"), "--tfs-metrics-linger", "1s", "--tfs-rows", "1")
    master.wait()
    assert worker.wait() == 0, worker.output
    own = {"metrics_port": "off", "metrics_address": None, "metrics_linger": "1s", "pushgateway": None, "rows": "2"}
    (told,) = re.findall(r"OPTIONS (.*)", worker.output)
    assert ast.literal_eval(told) == {f"tfs_{name}": value for name, value in own.items()}


@pytest.mark.parametrize("processes", [1, 3])
def test_a_terminated_run_waits_for_a_scrape(processes: int, run: Callable[..., list[str]], locust: Start) -> None:
    """SIGTERM ends a run as its run time does: the last scrape can still come, and has the report's numbers."""
    more = in_processes(processes - 1) if processes > 1 else []
    port = str(free_port())
    process = locust(*run("--tfs-metrics-linger", "60s", "--tfs-metrics-port", port, *more, run_time="60s"))
    whole, *workers = _urls(process, processes)
    wait_until(lambda: _total(_scrape(whole), "tfs_locust_requests_total") > 0)
    process.process.send_signal(signal.SIGTERM)
    wait_until(lambda: process.output.count(_WAITS) == processes, saying=lambda: process.output)
    for url in workers:
        _scrape(url)
    last = _scrape(whole)
    assert process.wait(15) == 3, process.output
    assert _total(last, "tfs_locust_requests_total") == _report(process)["totals"]["requests"] > 0
    assert last["tfs_locust_verdict", (("state", "INVALID"),)] == 1
    assert process.output.count("verdict: INVALID") == 1
    assert "Traceback" not in process.output
    process.assert_nothing_left()


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


@contextmanager
def _answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers what it is asked in its own way; gives its URL."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


def test_a_gateway_that_is_none(run: Callable[..., list[str]], locust: Start) -> None:
    """What answers is no HTTP server: the log says so, and the wait for a scrape still comes."""
    with _answering(lambda it: it.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as url:
        more = ("--tfs-metrics-port", "0", "--tfs-metrics-linger", "60s")
        process = locust(*run("--tfs-pushgateway", url, *more, run_time="1s"))
        process.wait_for(_WAITS)
        _scrape(*_urls(process))
        assert process.wait() == 0, process.output
    assert f"--tfs-pushgateway {url}: the metrics could not be pushed: SSH-2.0" in process.output
    assert "Traceback" not in process.output


def test_the_page_does_not_wait_for_a_gateway(serving: Serving, locust_web: Callable[..., LocustWeb]) -> None:
    """One that never answers keeps neither the end of a run in the page waiting, nor is it asked twice of one run."""
    silent = threading.Event()
    with _answering(lambda _: silent.wait(30) and None) as url:
        file = Interface("grpc", serving.grpc).locustfile
        web = locust_web("-f", file, "--host", serving.grpc, "--tfs-model", "dense", "--tfs-pushgateway", url)
        web.wait_for_page()
        web.post("/swarm", {**web.form(), "user_count": 2, "spawn_rate": 2})
        wait_until(lambda: sum(web.rows().values()) > 10, saying=lambda: web.output)
        begin = time.monotonic()
        web.post("/stop")
        assert time.monotonic() - begin < 8
        web.process.send_signal(signal.SIGINT)
        web.wait_for("Shutting down")
        silent.set()
        web.wait()
    assert web.output.count(f"--tfs-pushgateway {url}: the metrics could not be pushed: ") == 1


@pytest.mark.long
def test_a_gateway_that_answers_byte_by_byte(run: Callable[..., list[str]], locust: Start) -> None:
    """However slowly it answers, the process has ended ten seconds later."""

    def slowly(it: socket.socket) -> None:
        for _ in range(300):
            it.sendall(b"H")
            time.sleep(0.1)

    with _answering(slowly) as url:
        process = locust(*run("--tfs-pushgateway", url, run_time="1s"))
        process.wait_for("Shutting down")
        assert process.wait(15) == 0, process.output
    assert f"--tfs-pushgateway {url}: the metrics could not be pushed: " in process.output


def test_an_address_that_is_not_here(run: Callable[..., list[str]], locust: Start) -> None:
    """The log names the option that is to be changed, and the run goes on."""
    process = locust(*run("--tfs-metrics-address", "192.0.2.1", run_time="1s"), TFS_METRICS_PORT="")
    assert process.wait() == 0, process.output
    assert "--tfs-metrics-address 192.0.2.1: no metrics are served: " in process.output
    assert "another is taken" not in process.output


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
