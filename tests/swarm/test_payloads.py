"""Rows and payload sources of a run, from end to end: by the server's own count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import Locust, in_processes
from tfs_locust.load.prediction_log import log_record
from tfs_locust.load.tfrecord import write_records
from tfs_locust.tfserving.protos import predict_pb2
from tfs_locust.tfserving.tensor import dtype_of, encode_tensor

Start = Callable[..., Locust]


def _report(run: Locust) -> Any:
    assert run.wait() == 0, run.output
    return json.loads((run.folder / "out" / "report.json").read_text())


def _request(rows: int, model: str = "half_plus_two") -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].CopyFrom(encode_tensor(np.arange(rows, dtype=np.float32), dtype_of(1)))
    return request.SerializeToString()


@pytest.mark.parametrize("form", ["npz", "jsonl", "log"])
def test_a_source(form: str, interface: Interface, locust: Start, tmp_path: Path) -> None:
    """Rows of a file are sent in the rows asked for, those of a log as they were logged; all are answered well."""
    path = tmp_path / f"source.{form}"
    if form == "npz":
        np.savez(path, x=np.arange(7, dtype=np.float32))
    elif form == "jsonl":
        path.write_text("".join(f'{{"x": {number}.5}}\n' for number in range(7)))
    else:
        write_records(path, [log_record(_request(rows, model="another")) for rows in (3, 3, 3)])
    given = ["--tfs-payload", str(path), "--tfs-report", "out", *(["--tfs-rows", "3"] if form != "log" else [])]
    run = locust(*interface.arguments(*given, model="half_plus_two", users=4, run_time="1s"))
    totals = _report(run)["totals"]
    assert totals["failed"] == 0 < totals["ok"]
    assert totals["rows"] == 3 * totals["ok"]
    assert " payloads of 3 rows, " in run.output


def test_a_window_of_a_larger_source(serving: Serving, locust: Start, tmp_path: Path) -> None:
    """With few payloads held at a time all records are sent in the end, for the server has seen every size."""
    sizes = [*range(1, 41)]
    write_records(tmp_path / "log", [log_record(_request(rows)) for rows in sizes])
    given = ["--tfs-payload", str(tmp_path / "log"), "--tfs-payloads", "2", "--tfs-report", "out"]
    (tmp_path / "seen.py").write_text(_SEEN)
    arguments = Interface("grpc", serving.grpc).arguments(*given, model="half_plus_two", users=1, run_time="2s")
    run = locust(*arguments, "-f", str(tmp_path / "seen.py"))
    assert _report(run)["totals"]["failed"] == 0
    assert "SEEN " + ",".join(map(str, sizes)) in run.output


_SEEN = """
from locust import constant, events
from tfs_locust import GrpcPredictUser

seen = set()

class Paced(GrpcPredictUser):
    wait_time = constant(0.001)

@events.request.add_listener
def note(context, **_):
    seen.add(context["rows"])

@events.quitting.add_listener
def say(**_):
    print("SEEN", ",".join(map(str, sorted(seen))), flush=True)
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_a_record_that_cannot_be_sent(processes: int, serving: Serving, locust: Start, tmp_path: Path) -> None:
    """A damaged record in the midst of a source that is larger than the window ends the run: INVALID, and why."""
    path = tmp_path / "log"
    write_records(path, [log_record(_request(1)) for _ in range(50)])
    path.write_bytes(path.read_bytes()[:-3])
    given = ["--tfs-payload", str(path), "--tfs-payloads", "2", *(in_processes(processes) if processes else [])]
    run = locust(*Interface("grpc", serving.grpc).arguments(*given, model="half_plus_two", users=2, run_time="30s"))
    assert run.wait(25) == 3, run.output
    assert f"aborted: {path}, record 50 at byte " in run.output
    assert "verdict: INVALID" in run.output


def test_a_mix_of_rows(interface: Interface, locust: Start, tmp_path: Path) -> None:
    """A class's mix is sent in its shares, exactly over whole turns of the pool."""
    base = f"{interface.name.capitalize()}PredictUser"
    (tmp_path / "mixed.py").write_text(f"from tfs_locust import {base}\n\nclass Mixed({base}):\n    rows = '1:3,9:1'\n")
    arguments = interface.arguments("--tfs-report", "out", model="half_plus_two", users=1, run_time="1s")
    run = locust("-f", str(tmp_path / "mixed.py"), *arguments[2:])
    totals = _report(run)["totals"]
    assert totals["rows"] == pytest.approx(3 * totals["ok"], rel=0.02, abs=30)
    assert "64 payloads of 1 to 9 rows" in run.output


def test_sources_that_cannot_be(serving: Serving, locust: Start, tmp_path: Path) -> None:
    """Every class's source is told before any load, with file, record and what was expected."""
    np.save(tmp_path / "wide.npy", np.zeros((4, 2), np.int64))
    (tmp_path / "short.jsonl").write_text('{"x": 1.0}\n{"y": 2.0}\n')
    (tmp_path / "bad.py").write_text(_BAD.format(folder=tmp_path))
    run = locust("-f", str(tmp_path / "bad.py"), "--host", serving.grpc, "--headless", "-u", "3", "-t", "2s")
    assert run.wait(20) == 2, run.output
    listed = [line for line in run.output.splitlines() if line.startswith("  - ")]
    assert len(listed) == 3, run.output
    assert f"Nowhere: {tmp_path}/nowhere: there is no such file" in listed[0]
    assert f"Wide: {tmp_path}/wide.npy" in listed[1]
    assert "int64" in listed[1]
    assert "Called: payload function payload, call 1 for 1 rows: raised KeyError" in listed[2]


_BAD = """
from tfs_locust import GrpcPredictUser

class Base(GrpcPredictUser):
    abstract = True
    model = "half_plus_two"

class Nowhere(Base):
    payload = "{folder}/nowhere"

class Wide(Base):
    payload = "{folder}/wide.npy"

class Called(Base):
    def payload(rows, rng):
        return {{}}["x"]
"""


def test_a_log_needs_no_rows_chosen(serving: Serving, locust: Start, tmp_path: Path) -> None:
    """With rows to be chosen and no file to choose them by, its requests are sent as they were logged."""
    write_records(tmp_path / "log", [log_record(_request(rows)) for rows in (3, 3)])
    given = ["--tfs-payload", str(tmp_path / "log"), "--tfs-rows", "auto", "--tfs-report", "out"]
    arguments = Interface("grpc", serving.grpc).arguments(*given, model="half_plus_two", users=1, run_time="1s")
    totals = _report(locust(*arguments))["totals"]
    assert totals["rows"] == 3 * totals["ok"] > 0


_LATER = """
import numpy as np
from tfs_locust import GrpcPredictUser

class Table:
    def __iter__(self):
        known = {{number: float(number) for number in range({known})}}
        for number in range(1000):
            yield {{"x": np.array([known[number]], np.float32)}}

class Later(GrpcPredictUser):
    model = "half_plus_two"
    payload = Table()
    payloads = 2
"""


def test_a_users_requests_that_fail_in_the_run(serving: Serving, locust: Start, tmp_path: Path) -> None:
    """What the user's code raises at a later request ends the run: INVALID, and why; at the first nothing starts."""
    (tmp_path / "later.py").write_text(_LATER.format(known=100))
    common = ["--host", serving.grpc, "--headless", "-u", "1", "-t", "30s"]
    run = locust("-f", str(tmp_path / "later.py"), *common)
    assert run.wait(25) == 3, run.output
    assert "aborted: payload 101 of the Table: raised KeyError: 100" in run.output
    (tmp_path / "later.py").write_text(_LATER.format(known=0))
    run = locust("-f", str(tmp_path / "later.py"), *common)
    assert run.wait(25) == 2, run.output
    assert "Later: payload 1 of the Table: raised KeyError: 0" in run.output


_ONCE = """
import numpy as np
from locust import events
from tfs_locust import GrpcPredictUser

seen = set()

class Once(GrpcPredictUser):
    model = "half_plus_two"
    payload = ({"x": np.zeros(rows, np.float32)} for rows in (1, 2, 3))

@events.request.add_listener
def note(context, **_):
    seen.add(context["rows"])

@events.quitting.add_listener
def say(**_):
    print("SEEN", sorted(seen), flush=True)
"""


def test_requests_that_can_be_read_once(serving: Serving, locust: Start, tmp_path: Path) -> None:
    """The check before the run takes none of them."""
    (tmp_path / "once.py").write_text(_ONCE)
    run = locust("-f", str(tmp_path / "once.py"), "--host", serving.grpc, "--headless", "-u", "1", "-t", "1s")
    assert run.wait(25) == 0, run.output
    assert "SEEN [1, 2, 3]" in run.output
