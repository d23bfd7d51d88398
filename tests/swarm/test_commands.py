"""The commands of ``tfs-locust`` as a user types them."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import Started, free_port, wait_until

Python = Callable[..., Started]
_TFS_LOCUST = ["-m", "tfs_locust"]


def test_demo(python: Python, tmp_path: Path) -> None:
    """It ends with 0, prints a table of both interfaces, and leaves the files it speaks of and no process."""
    demo = python(*_TFS_LOCUST, "demo", "-t", "2", "--results", str(tmp_path / "results"))
    assert demo.wait(90) == 0, demo.output
    table = demo.output.partition("\n\n")[2].splitlines()
    assert table[0].split() == ["requests", "rows/s", "p50", "ms", "p95", "ms", "p99", "ms", "errors"]
    for line, name in zip(table[1:3], ["gRPC", "REST"], strict=True):
        interface, requests, rows_per_s, p50, p95, p99, errors = line.replace(",", "").split()
        assert (interface, errors) == (name, "0")
        assert int(requests) > 100
        assert int(rows_per_s) > 50
        assert 0 < float(p50) <= float(p95) <= float(p99) < 1000
        report = json.loads((tmp_path / "results" / f"{name.lower()}_predict" / "report.json").read_text())
        assert report["totals"]["requests"] == int(requests)
    demo.assert_nothing_left()


def test_demo_is_interrupted(python: Python, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a run: 130, and neither Locust nor the server is left."""
    demo = python(*_TFS_LOCUST, "demo", "-t", "60", "--results", str(tmp_path))
    log = tmp_path / "grpc_predict.log"
    wait_until(lambda: log.exists() and "All users spawned" in log.read_text(), within_s=60)
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait(25) == 130, demo.output
    assert "Traceback" not in demo.output
    demo.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_is_interrupted_early(number: signal.Signals, python: Python, tmp_path: Path) -> None:
    """While the model is still being saved, too, and also when the system stops it."""
    demo = python(*_TFS_LOCUST, "demo", "-t", "1", "--results", str(tmp_path))
    demo.wait_for("saving a small dense model")
    demo.process.send_signal(number)
    assert demo.wait(25) == 130, demo.output
    assert "Traceback" not in demo.output
    demo.assert_nothing_left()


def test_serve_without_a_version(python: Python, tmp_path: Path) -> None:
    """A folder without versions is refused with 2, before TensorFlow is waited for."""
    (tmp_path / "model").mkdir()
    serve = python(*_TFS_LOCUST, "serve", "--port=0", "--rest_api_port=0", f"--model_base_path={tmp_path / 'model'}")
    assert serve.wait(20) == 2
    assert serve.output.splitlines() == [
        (
            f"tfs-locust serve: model 'default', base path {tmp_path / 'model'}: has no version; it is empty; "
            f"put the SavedModel into a numbered folder, {tmp_path / 'model' / '1'}"
        )
    ]


def test_inspect(interface: Interface, python: Python) -> None:
    """Versions, states, signatures and an example for each interface."""
    run = python(*_TFS_LOCUST, "inspect", "--host", interface.host, "--tfs-model", "dense")
    assert run.wait() == 0, run.output
    text = run.output
    assert text.startswith("model dense\n  versions, newest first:\n    2 (AVAILABLE)\n    1 (AVAILABLE)\n")
    assert "  signatures of version 2:\n    serving_default (tensorflow/serving/predict)\n" in text
    assert "      in   input: float [?, 10]\n      out  output: float [?, 1]\n" in text
    assert 'name: "dense"' in text.partition("example over gRPC")[2].partition("example over REST")[0]
    assert re.search(r"curl http://127\.0\.0\.1:\d+/v1/models/dense:predict -d '\{\"instances\": ?\[", text)


def test_inspected_example_works(serving: Serving, python: Python) -> None:
    """The REST example is a command that the server answers well."""
    run = python(*_TFS_LOCUST, "inspect", "--host", serving.rest, "--tfs-model", "multi", "--tfs-rows", "2")
    assert run.wait() == 0, run.output
    found = re.search(r"curl (\S+) -d '(.*)'", run.output)
    assert found, run.output
    with urllib.request.urlopen(found[1], data=found[2].encode(), timeout=10) as answer:
        assert answer.status == 200


def test_inspect_says_what_is_wrong(interface: Interface, python: Python) -> None:
    """A model that does not exist, a host that is none, an option that cannot be read: 2, each on a line."""
    run = python(*_TFS_LOCUST, "inspect", "--host", interface.host, "--tfs-model", "dens")
    assert run.wait() == 2
    assert run.output.startswith("tfs-locust inspect: model 'dens' is not known to the server; ")
    run = python(*_TFS_LOCUST, "inspect", "--host", f"{interface.host.partition(':')[0]}://127.0.0.1:{free_port()}")
    assert run.wait() == 2
    assert run.output.startswith("tfs-locust inspect: no answer from ")
    run = python(*_TFS_LOCUST, "inspect", "--host", "127.0.0.1:8500", "--tfs-rows", "0")
    assert run.wait() == 2
    assert run.output.splitlines() == [
        "tfs-locust inspect: --tfs-rows '0': expected a number of rows, ROWS:WEIGHT[,ROWS:WEIGHT...] "
        "as in 1:0.7,8:0.3, trace:FILE, auto or worst",
        (
            "tfs-locust inspect: host '127.0.0.1:8500' has no scheme: expected "
            "such as grpc://127.0.0.1:8500 or http://127.0.0.1:8501"
        ),
    ]
    assert "Traceback" not in run.output


def test_unknown_command(python: Python) -> None:
    """Wrong usage is 2 and names the commands."""
    run = python(*_TFS_LOCUST, "dmo")
    assert run.wait() == 2
    assert "demo" in run.output
    assert "Traceback" not in run.output


def test_reader_that_goes_away(serving: Serving, python: Python) -> None:
    """``tfs-locust inspect | head -1`` ends without a traceback."""
    script = "import subprocess, sys; p = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE); "
    script += "p.stdout.readline(); p.stdout.close(); sys.exit(p.wait(30))"
    inspect = [*_TFS_LOCUST, "inspect", "--host", serving.grpc, "--tfs-model", "types", "--tfs-signature", "string"]
    run = python("-c", script, "-u", *inspect)
    assert run.wait() != 0
    assert run.output == ""
