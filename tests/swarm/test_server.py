"""What the server counted stands in the report, and the diagnosis names what was planted, whatever the page does."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.swarm.batched import Batched, running_batched
from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import Locust, free_port, in_processes
from tests.unit.answering import answering, page, says
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.report.commands import judge_command

Start = Callable[..., Locust]
_SIZES = "allowed_batch_sizes: 4 allowed_batch_sizes: 8 allowed_batch_sizes: 16"


@pytest.fixture(scope="module")
def filling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batched]:
    """Batches of up to 16 that wait long enough to fill."""
    parameters = f"max_batch_size {{ value: 16 }} batch_timeout_micros {{ value: 200000 }} {_SIZES}"
    with running_batched(tmp_path_factory.mktemp("filling"), parameters) as server:
        yield server


def _result(run: Locust) -> Any:
    assert run.wait() == 0, run.output
    return json.loads((run.folder / "out" / "report.json").read_text())


@pytest.mark.parametrize("processes", [0, 2])
def test_rows_that_fill(processes: int, filling: Batched, locust: Start) -> None:
    """``auto`` fills every batch without padding, in one process and in several; the two counts are the same, and there
    is nothing to find."""
    several = in_processes(processes) if processes else []
    run = locust(*filling.arguments("--tfs-rows", "auto", *several))
    result = _result(run)
    server, totals = result["server"], result["totals"]
    assert totals["rows"] / totals["requests"] in {4, 8, 16}
    assert server["requests"] == {
        "server": {"OK": totals["ok"]},
        "server_predictions": totals["ok"],
        "client": {"ok": totals["ok"]},
        "outside": None,
    }
    assert server["batching"]["executed_rows"] == totals["rows"]
    assert server["batching"]["padding_ratio"] <= 0.05
    assert server["batching"]["fill_ratio"] >= 0.9
    assert 0 < server["batching"]["queueing_share"] < 1
    assert [(one["state"], one["reason"]) for one in server["pages"]] == [("read", "")]
    assert sum(server["timeline"]["predictions"]) == totals["ok"]
    assert [one["scenario"] for one in server["plans"]] == ["GrpcPredict"]
    assert result["diagnosis"] == []
    assert "server: " in run.output
    assert "% full)" in run.output
    assert "To be expected with 12 requests in flight" in run.output


def test_rows_that_do_not_fit(filling: Batched, locust: Start) -> None:
    """``worst`` pads, which the plan foretells and the diagnosis finds: in the log, on the console, in every file."""
    run = locust(*filling.arguments("--tfs-rows", "worst"))
    result = _result(run)
    assert [one["id"] for one in result["diagnosis"]] == ["rows-do-not-fit"]
    assert result["diagnosis"][0]["evidence"]["rows"] == 9
    sentence = result["diagnosis"][0]["sentence"]
    assert run.output.count(sentence) == 2
    assert "Requests of 9 rows do not fit batches of 16" in run.output
    assert "rows-do-not-fit" in (run.folder / "out" / "summary.md").read_text()
    assert "rows-do-not-fit" in (run.folder / "out" / "report.html").read_text()


def test_too_few_users(filling: Batched, locust: Start) -> None:
    """Two users with a row each cannot fill batches that wait for more: they wait for the timeout."""
    result = _result(locust(*filling.arguments(users=2)))
    assert [one["id"] for one in result["diagnosis"]] == ["closes-on-timeout", "padding"]


def test_rows_that_are_too_large(filling: Batched, locust: Start) -> None:
    """They are refused in advance; asked for, they are sent, and the diagnosis names them."""
    refused = locust(*filling.arguments("--tfs-rows", "8:3,17:1"))
    assert refused.wait(20) == 2, refused.output
    assert "GrpcPredict: a request of 17 rows is above max_batch_size 16" in refused.output
    run = locust(*filling.arguments("--tfs-rows", "8:3,17:1", "--tfs-allow-too-large"))
    assert run.wait() == 1, run.output  # Locust's own rule: requests failed
    result = json.loads((run.folder / "out" / "report.json").read_text())
    assert result["diagnosis"][0]["id"] == "rows-too-large"
    assert result["failures"].keys() == {"batch_too_large"}


def test_settings_of_the_server_at_once(serving: Serving, locust: Start, tmp_path: Path) -> None:
    """All that is wrong with them is told before any load, beside other problems."""
    (tmp_path / "batching").write_text("max_batch_size: 5")
    given = ["--tfs-batching-parameters-file", str(tmp_path / "batching"), "--tfs-server-metrics", "here:8501"]
    arguments = Interface("grpc", serving.grpc).arguments(*given, "--tfs-server-cpus=0", "--tfs-rows=auto")
    run = locust(*arguments)
    assert run.wait(20) == 2, run.output
    listed = [line[4:] for line in run.output.splitlines() if line.startswith("  - ")]
    assert [line.split()[0] for line in listed] == [
        "--tfs-server-cpus",
        "--tfs-server-metrics",
        "--tfs-batching-parameters-file",
    ], run.output


def test_found_by_itself(serving: Serving, locust: Start) -> None:
    """A REST target's own page is looked at without being asked for."""
    arguments = Interface("rest", serving.rest).arguments("--tfs-report", "out", users=2, run_time="1s")
    server = _result(locust(*arguments))["server"]
    assert [one["url"] for one in server["pages"]] == [f"{serving.rest}/monitoring/prometheus/metrics"]
    assert server["batching"]["mean_rows_per_batch"] is None  # that server does not batch
    assert server["window_s"] > 0


def _text(requests: int) -> str:
    metrics = Metrics()
    for _ in range(requests):
        metrics.count_request("dense", "OK")
    return metrics.page()


class _Counting:
    """Answers with one page after the other; the last again and again."""

    def __init__(self, *pages: bytes) -> None:
        self._pages = list(pages)
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket, _: str) -> None:
        with self._lock:
            answer = self._pages.pop(0) if len(self._pages) > 1 else self._pages[0]
        connection.sendall(answer)


@pytest.mark.parametrize(
    ("pages", "state", "reason"),
    [
        ([page(_text(5))[:-40]], "absent", "the answer was cut off"),
        ([page(_text(5)), page(_text(5))[:-40]], "absent", "the answer was cut off"),
        ([page("nope", "404 Not Found")], "absent", "HTTP status 404"),
        ([page(_text(50)), page(_text(5))], "restarted", ""),
    ],
    ids=["cut", "cut-later", "none", "restarted"],
)
def test_pages_that_cannot_be_relied_on(
    pages: list[bytes], state: str, reason: str, serving: Serving, locust: Start
) -> None:
    """A page that is cut off, not there, or that starts anew fails no run: the report and the console say it."""
    with answering(_Counting(*pages)) as address:
        given = ["--tfs-server-metrics", f"http://{address}", "--tfs-report", "out"]
        run = locust(*Interface("grpc", serving.grpc).arguments(*given, users=2, run_time="1s"))
        result = _result(run)
    (told,) = result["server"]["pages"]
    assert told["state"] == state
    assert reason in told["reason"]
    assert [one["id"] for one in result["diagnosis"]] == ["no-data"]
    assert f"{address}/monitoring/prometheus/metrics: {state}" in run.output
    assert "! no-data: nothing is known of what batching did" in run.output


def test_a_page_that_is_not_there(serving: Serving, locust: Start) -> None:
    """Nobody listens, and nobody answers: said where it was asked for, and quiet where it was guessed."""
    with answering(says()) as address, socket.create_server(("127.0.0.1", 0)) as silent:
        urls = [f"http://127.0.0.1:{free_port()}", f"http://{address}", f"http://127.0.0.1:{silent.getsockname()[1]}"]
        given = ["--tfs-server-metrics", " | ".join(urls), "--tfs-report", "out"]
        run = locust(*Interface("grpc", serving.grpc).arguments(*given, users=2, run_time="3s"))
        result = _result(run)
    assert [one["state"] for one in result["server"]["pages"]] == ["absent"] * 3
    assert [one["reason"].split(": ")[-1] for one in result["server"]["pages"]] == [
        "Connection refused",
        "the connection was closed without an answer",
        "no answer within 5 s",
    ]
    quiet = locust(*Interface("grpc", serving.grpc).arguments("--tfs-server-metrics", "none", users=2, run_time="1s"))
    assert quiet.wait() == 0
    assert "no-data" not in quiet.output


def _prometheus(value: float | None) -> Callable[[socket.socket, str], None]:
    """Answers range queries with one series of this value, by the second; or with none."""

    def answer(connection: socket.socket, head: str) -> None:
        asked = parse_qs(urlsplit(head.split()[1]).query)
        start, end = float(asked["start"][0]), float(asked["end"][0])
        values = [[at, str(value)] for at in range(math.ceil(start), math.floor(end) + 1)]
        found = [] if value is None else [{"metric": {}, "values": values}]
        connection.sendall(page(json.dumps({"status": "success", "data": {"result": found}})))

    return answer


@pytest.mark.parametrize(("value", "exit_code", "state"), [(0.5, 0, "PASS"), (0.9, 1, "FAIL"), (None, 3, "INVALID")])
def test_series_of_a_prometheus(
    value: float | None, exit_code: int, state: str, serving: Serving, locust: Start
) -> None:
    """They stand in the report over the measured window, objectives judge them, and a report can be judged again."""
    with answering(_prometheus(value)) as address:
        given = ["--tfs-prometheus", f"http://{address}", "--tfs-server-query", "cpu=sum(x)", "--tfs-slo", "cpu<0.8"]
        arguments = Interface("grpc", serving.grpc).arguments(*given, "--tfs-report", "out", users=2, run_time="3s")
        run = locust(*arguments)
        assert run.wait() == exit_code, run.output
    result = json.loads((run.folder / "out" / "report.json").read_text())
    (query,) = result["server"]["queries"]
    assert (query["name"], query["query"], query["min"], query["max"]) == ("cpu", "sum(x)", value, value)
    assert all(0 <= second <= 4 for second in query["second"])
    assert bool(query["value"]) == (value is not None)
    assert result["verdict"]["state"] == state
    assert result["objectives"][0]["measured"] == value
    if value is None:
        assert "query 'cpu': no value in the time of the run" in result["verdict"]["reasons"][0]
    assert judge_command([str(run.folder / "out"), "--tfs-slo", "cpu<0.6"]) == exit_code
    assert "query-cpu" in (run.folder / "out" / "report.html").read_text()
