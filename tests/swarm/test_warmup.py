"""``tfs-locust warmup``: the file it writes is what a server warms up with, and it says why it writes none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.embedded.conftest import TRANSCRIPTS, RunningServer, serve
from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import Started
from tfs_locust.load.prediction_log import log_record, read_requests
from tfs_locust.load.tfrecord import read_records, write_records
from tfs_locust.tfserving.control import GrpcControl, resolve
from tfs_locust.tfserving.server_metrics import Page, delta, fetch_page
from tfs_locust.tfserving.signature import Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.tensor import decode_tensor
from tfs_locust.transport.address import parse_address
from tfs_locust.transport.base import Endpoint, asking
from tfs_locust.transport.grpc_library import GrpcLibrary

__all__ = ["serve"]  # a fixture of the embedded server's tests

Python = Callable[..., Started]
_WARMUP = ["-m", "tfs_locust", "warmup"]
_ALLOWED = (1, 2, 4, 8, 16, 32)


def _signature(serving: Serving, model: str) -> Signature:
    address = parse_address(serving.grpc)
    transport = GrpcLibrary(Endpoint(address.host, address.port))
    try:
        return resolve(GrpcControl(asking(transport, 10)), Target(model))
    finally:
        transport.close()


def _rows(path: Path, signature: Signature) -> list[int]:
    return [request.rows for request in read_requests(path, signature)]


def test_a_server_warms_up_every_batch_size(
    interface: Interface, serving: Serving, python: Python, serve: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """A record for each allowed size, of the served signature; a server with that file replays all, one by one."""
    out = tmp_path / "tf_serving_warmup_requests"
    batching = TRANSCRIPTS / "batching.config"
    given = ["--host", interface.host, "--tfs-model", "multi", "--batching-parameters-file", str(batching)]
    run = python(*_WARMUP, *given, "--out", str(out))
    assert run.wait() == 0, run.output
    tried = "each was answered" if interface.name == "grpc" else "not tried out: give a grpc:// host for that"
    assert run.output.splitlines() == [
        f"{out}: 6 records (1 of 1 row, 1 of 2 rows, 1 of 4 rows, 1 of 8 rows, 1 of 16 rows, 1 of 32 rows), "
        f"{out.stat().st_size:,} bytes; {tried}",
        "Put it into the model's folder as multi/VERSION/assets.extra/tf_serving_warmup_requests",
    ]
    signature = _signature(serving, "multi")
    assert _rows(out, signature) == list(_ALLOWED)
    shutil.copytree(TRANSCRIPTS / "models" / "multi", tmp_path / "multi")
    (tmp_path / "multi" / "1" / "assets.extra").mkdir()
    shutil.copy(out, tmp_path / "multi" / "1" / "assets.extra")
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    server = serve(
        model_name="multi",
        model_base_path=tmp_path / "multi",
        enable_batching="true",
        batching_parameters_file=batching,
        monitoring_config_file=tmp_path / "monitoring.config",
    )
    page = fetch_page(f"{server.rest_url}/monitoring/prometheus/metrics", timeout_s=10, now=time.monotonic)
    window = delta(Page({}, 0.0), page)
    sizes = {
        int(dict(labels)["execution_batch_size"]): count
        for (name, labels), count in page.counters.items()
        if name.endswith(":padding_size_count")
    }
    assert sizes == dict.fromkeys(_ALLOWED, 1)
    assert (window.executed_batches, window.executed_rows, window.padding_rows, window.queued_tasks) == (6, 63, 0, 6)
    assert window.requests == {}  # warm-up is no request


def test_rows_of_a_file(serving: Serving, python: Python, tmp_path: Path) -> None:
    """The sizes given, in turn, with the file's rows in order."""
    np.save(tmp_path / "x.npy", np.arange(50).reshape(5, 10))
    out = tmp_path / "warmup"
    given = ["--tfs-payload", str(tmp_path / "x.npy"), "--rows", "1,3", "--records", "3"]
    run = python(*_WARMUP, "--host", serving.grpc, "--tfs-model", "dense", *given, "--out", str(out))
    assert run.wait() == 0, run.output
    assert "3 records (2 of 1 row, 1 of 3 rows)" in run.output
    requests = list(read_requests(out, _signature(serving, "dense")))
    taken = np.concatenate([decode_tensor(request.message.inputs["input"]) for request in requests])
    assert taken[:, 0].tolist() == [0, 10, 20, 30, 40]
    assert {request.message.model_spec.name for request in requests} == {"dense"}


def test_logged_requests(serving: Serving, python: Python, tmp_path: Path) -> None:
    """A log's requests with the rows they have; more than the server allows must be cut on purpose."""
    host = ["--host", serving.grpc, "--tfs-model", "dense"]
    run = python(*_WARMUP, *host, "--rows", "2,5", "--out", str(tmp_path / "log"))
    assert run.wait() == 0, run.output
    records = [data for _, data in read_records(tmp_path / "log")]
    write_records(tmp_path / "long", records * 501)
    given = [*host, "--tfs-payload", str(tmp_path / "long"), "--out", str(tmp_path / "out")]
    run = python(*_WARMUP, *given)
    assert run.wait() == 2
    assert run.output.endswith(
        ": holds more than 1000 requests, with which the server refuses to load a version; "
        "give --records 1000 for the first of them\n"
    )
    assert not (tmp_path / "out").exists()
    run = python(*_WARMUP, *given, "--records", "1000")
    assert run.wait() == 0, run.output
    assert "1000 records (500 of 2 rows, 500 of 5 rows)" in run.output
    run = python(*_WARMUP, *given, "--rows", "4")
    assert run.wait() == 2
    assert run.output.endswith("requests have the rows that they have; leave out the sizes\n")


def test_a_record_that_would_fail(serving: Serving, python: Python, tmp_path: Path) -> None:
    """The server's own words, before it is too late; no file is written."""
    out = tmp_path / "warmup"
    path = tmp_path / "log"
    run = python(*_WARMUP, "--host", serving.grpc, "--tfs-model", "dense", "--out", str(path))
    assert run.wait() == 0, run.output
    (request,) = read_requests(path, _signature(serving, "dense"))
    request.message.output_filter.append("nope")
    write_records(path, [log_record(request.message.SerializeToString())])
    given = ["--host", serving.grpc, "--tfs-model", "dense", "--tfs-payload", str(path), "--out", str(out)]
    run = python(*_WARMUP, *given)
    assert run.wait() == 2
    assert run.output.startswith("tfs-locust warmup: record 1 (1 row) would fail and keep the version from loading: ")
    assert "output tensor alias not found in signature: nope" in run.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        (
            ["--rows", "1,x", "--records", "1001", "--host", "127.0.0.1:1"],
            [
                "--out {out}: expected a regular file in a folder that exists, such as .../tf_serving_warmup_requests",
                "--rows '1,x': expected whole numbers of at least 1, such as 1,2,4,8",
                "--records '1001': expected a whole number from 1 to 1000",
                "host '127.0.0.1:1' has no scheme: expected such as grpc://127.0.0.1:8500 or http://127.0.0.1:8501",
            ],
        ),
        (
            ["--rows", "1", "--batching-parameters-file", "f", "--host", "grpc://127.0.0.1:1"],
            [
                "--out {out}: expected a regular file in a folder that exists, such as .../tf_serving_warmup_requests",
                "--rows and --batching-parameters-file exclude each other: give one of them",
            ],
        ),
        (
            ["--batching-parameters-file", "/nowhere", "--host", "grpc://127.0.0.1:1"],
            [
                "--out {out}: expected a regular file in a folder that exists, such as .../tf_serving_warmup_requests",
                "/nowhere: cannot be read: No such file or directory",
            ],
        ),
    ],
)
def test_wrong_options(given: list[str], problems: list[str], python: Python, tmp_path: Path) -> None:
    """All at once, with 2."""
    out = tmp_path / "no" / "file"
    run = python(*_WARMUP, *given, "--out", str(out))
    assert run.wait() == 2
    assert run.output.splitlines() == [f"tfs-locust warmup: {problem}".format(out=out) for problem in problems]


def test_what_the_server_says(serving: Serving, python: Python, tmp_path: Path) -> None:
    """A model that is not there, a source that is not there, sizes that the server refuses to batch by."""
    out = ["--out", str(tmp_path / "out")]
    run = python(*_WARMUP, "--host", serving.grpc, "--tfs-model", "dens", *out)
    assert run.wait() == 2
    assert run.output.startswith("tfs-locust warmup: model 'dens' is not known to the server; ")
    run = python(*_WARMUP, "--host", serving.grpc, "--tfs-model", "dense", "--tfs-payload", "nowhere", *out)
    assert run.wait() == 2
    assert run.output.startswith("tfs-locust warmup: nowhere: there is no such file; ")
    (tmp_path / "batching").write_text("max_batch_size { value: 8 } allowed_batch_sizes: 4")
    given = ["--host", serving.grpc, "--tfs-model", "dense", "--batching-parameters-file", str(tmp_path / "batching")]
    run = python(*_WARMUP, *given, *out)
    assert run.wait() == 2
    assert "the server refuses this: Last entry in allowed_batch_sizes must match max_batch_size" in run.output
    assert list(tmp_path.glob("out*")) == []


def test_options_of_runs(python: Python, tmp_path: Path) -> None:
    """They mean nothing here, and are not taken in silence."""
    given = ["--host", "grpc://127.0.0.1:1", "--out", str(tmp_path / "out"), "--tfs-slo", "p99<1s", "--tfs-rows", "3"]
    run = python(*_WARMUP, *given)
    assert run.wait() == 2
    assert "unrecognized arguments: --tfs-slo p99<1s --tfs-rows 3" in run.output


def test_batches_that_are_too_large_to_be_made(serving: Serving, python: Python, tmp_path: Path) -> None:
    """A file without allowed sizes asks for the largest batch there can be, which is more than a request may have."""
    (tmp_path / "batching").write_text("max_batch_size { value: 9223372036854775807 }")
    given = ["--batching-parameters-file", str(tmp_path / "batching"), "--out", str(tmp_path / "out")]
    run = python(*_WARMUP, "--host", serving.grpc, "--tfs-model", "dense", *given)
    assert run.wait() == 2
    assert "a request of 9,223,372,036,854,775,807 rows has " in run.output
    assert "Traceback" not in run.output
    assert not (tmp_path / "out").exists()
