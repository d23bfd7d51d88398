"""Locustfiles with code of their own: what a user may rely on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import Locust, free_port

Start = Callable[..., Locust]

# a locustfile's first part: what is noted is what a test looks at, and enough of it ends the run
_HEAD = """\
import json, os
import gevent
import numpy as np
from locust import constant, events, task
from tfs_locust import GrpcPredictUser, Outcome, PredictError, RestPredictUser

BASE = {"grpc": GrpcPredictUser, "rest": RestPredictUser}[os.environ["INTERFACE"]]
ENOUGH = 20
NOTES = []

def note(value):
    NOTES.append(value)
    if len(NOTES) == ENOUGH:
        gevent.spawn(RUNNER.quit)

@events.init.add_listener
def _keep(runner, **_):
    global RUNNER
    RUNNER = runner

@events.quitting.add_listener
def _write(**_):
    with open("notes.json", "w") as file:
        json.dump(NOTES[:ENOUGH], file)

"""


class UserCode:
    """Runs locustfiles and reads what they noted."""

    def __init__(self, locust: Start, tmp_path: Path, interface: Interface) -> None:
        self._locust = locust
        self._file = tmp_path / "locustfile.py"
        self._interface = interface
        self.host = ["--host", interface.host]

    def __call__(self, code: str, *arguments: str, exit_code: int = 0, **env: str) -> tuple[list[Any], Locust]:
        self._file.write_text(_HEAD + code)
        run = ["-f", str(self._file), "--headless", "-u", "2", "-r", "2", "-t", "20s", *arguments]
        locust = self._locust(*run, INTERFACE=self._interface.name, **env)
        assert locust.wait() == exit_code, locust.output
        assert "Traceback" not in locust.output
        return json.loads((locust.folder / "notes.json").read_text()), locust


@pytest.fixture
def user_code(locust: Start, tmp_path: Path, interface: Interface) -> UserCode:
    """Run a locustfile over each interface."""
    return UserCode(locust, tmp_path, interface)


def test_own_task(user_code: UserCode, interface: Interface) -> None:
    """A task of one's own takes the place of the default one; it sends inputs and reads outputs and version."""
    notes, locust = user_code(
        """
class Own(BASE):
    @task
    def ask(self):
        answer = self.predict({"x": np.array([1.0, 2.0, 3.0], np.float32)})
        note([answer.outputs["y"].tolist(), answer.version, answer.outcome.value, answer.ok, answer.sample.rows])
""",
        *user_code.host,
        "--tfs-model",
        "half_plus_two",
    )
    version = {"grpc": "1", "rest": ""}[interface.name]
    assert notes == [[[2.5, 3.0, 3.5], version, "ok", True, 3]] * 20
    assert locust.only_row()["name"] == "predict half_plus_two"


@pytest.mark.parametrize("engine", ["wire", "library"])
def test_expectations(user_code: UserCode, engine: str, tmp_path: Path) -> None:
    """An answer that differs from golden values is a failure and says so; good ones are counted as checked."""
    notes, _ = user_code(
        """
class Own(BASE):
    expect = {"y": [2.5, 3.0]}
    @task
    def ask(self):
        good = self.predict({"x": np.array([1.0, 2.0], np.float32)})
        bad = self.predict({"x": np.array([1.0, 2.5], np.float32)})
        try:
            bad.outputs
        except PredictError as error:
            note([good.outcome.value, str(error)])
""",
        *user_code.host,
        *["--tfs-model=half_plus_two", "--tfs-check=100%", f"--tfs-engine={engine}"],
        *["--tfs-report", str(tmp_path / "results")],
        exit_code=1,
    )
    assert notes == [["ok", "bad_answer: output 'y' differs from the expected values"]] * 20
    report = json.loads((tmp_path / "results" / "report.json").read_text())
    assert report["failures"] == {"bad_answer": report["totals"]["failed"]}
    assert report["checked"] == report["totals"]["requests"] >= 40
    assert sum(report["peers"].values()) == {"wire": report["totals"]["requests"], "library": 0}[engine]


def test_default_task_beside_none(user_code: UserCode) -> None:
    """Without a task of its own a class has one, named predict; a subclass's task replaces it."""
    notes, _ = user_code(
        """
class Plain(BASE):
    fixed_count = 1

class Child(Plain):
    fixed_count = 1
    @task
    def mine(self):
        self.predict()

NOTES.append([[task.__name__ for task in each.tasks] for each in (Plain, Child)])
""",
        *user_code.host,
        *["--tfs-model=dense", "-t", "1s"],
    )
    assert notes == [[["predict"], ["mine"]]]


def test_failed_request_does_not_raise(user_code: UserCode) -> None:
    """It has an outcome; only reading its outputs raises. It counts as a failure, so Locust ends with 1."""
    notes, locust = user_code(
        """
class Own(BASE):
    timeout_s = 0.02
    @task
    def ask(self):
        answer = self.predict()
        try:
            answer.outputs
        except PredictError as error:
            note([answer.ok, answer.outcome.value, str(error), error.outcome is Outcome.DEADLINE_EXCEEDED])
""",
        *user_code.host,
        "--tfs-model=slow",
        exit_code=3,  # not one request ended well: nothing was measured
    )
    assert notes == [[False, "deadline_exceeded", "deadline_exceeded: Deadline Exceeded", True]] * 20
    row = locust.only_row()
    assert row["num_requests"] == row["num_failures"] > 0


def test_inputs_that_do_not_fit(user_code: UserCode) -> None:
    """Inputs that the signature does not have are the user's mistake: an exception that names them, nothing sent."""
    notes, locust = user_code(
        """
ENOUGH = 2

class Own(BASE):
    wait_time = constant(10)
    @task
    def ask(self):
        try:
            self.predict({"z": np.zeros(1)})
        except ValueError as error:
            note(str(error))
""",
        *user_code.host,
        "--tfs-model=half_plus_two",
        exit_code=3,
    )
    assert len(notes) == 2
    assert "'z'" in notes[0]
    assert "'x'" in notes[0] or "x" in notes[0].split()
    assert locust.stats() == []


def test_inputs_as_lists(user_code: UserCode) -> None:
    """Lists and numbers are taken as arrays."""
    notes, _ = user_code(
        """
class Own(BASE):
    @task
    def ask(self):
        note(self.predict({"x": [1, 2.0]}).outputs["y"].tolist())
""",
        *user_code.host,
        "--tfs-model=half_plus_two",
    )
    assert notes == [[2.5, 3.0]] * len(notes)
    assert notes


def test_both_interfaces_in_one_file(serving: Serving, user_code: UserCode) -> None:
    """Classes of both kinds, each with its own host, model and version; the class goes before the options."""
    notes, locust = user_code(
        f"""
class Grpc(GrpcPredictUser):
    host = "{serving.grpc}"
    model, version, rows = "dense", 1, 2

class Rest(RestPredictUser):
    host = "{serving.rest}"
    model, version_label, rows = "dense", "canary", 4

class Option(GrpcPredictUser):
    host = "{serving.grpc}"

ENOUGH = 3

@events.request.add_listener
def _note(context, **_):
    if [context["rows"], context["version"]] not in NOTES:
        note([context["rows"], context["version"]])
""",
        *["--tfs-model=half_plus_two", "--tfs-rows=3", "-u", "3", "-r", "3"],
    )
    assert {(row["method"], row["name"]) for row in locust.stats()} == {
        ("grpc", "predict dense/1"),
        ("rest", "predict dense@canary"),
        ("grpc", "predict half_plus_two"),
    }
    assert {tuple(each) for each in notes} == {(2, "1"), (4, "@canary"), (3, "1")}


@pytest.mark.parametrize(("label", "version"), [("stable", "1"), ("canary", "2")])
def test_version_label(label: str, version: str, user_code: UserCode, interface: Interface) -> None:
    """The label's version answers; gRPC says which, over REST the label stands for it."""
    notes, _ = user_code(
        f"""
class Labelled(BASE):
    model, version_label = "dense", "{label}"
    @task
    def ask(self):
        answer = self.predict({{"input": np.arange(10, dtype=np.float32)[None] / 10}})
        note([answer.version, round(float(answer.outputs["output"].item()), 4)])
""",
        *user_code.host,
        "--tfs-version=1",
    )
    # what the recorded server's versions 1 and 2 answer to these inputs
    output = {"stable": -0.166, "canary": 0.834}[label]
    assert notes == [[version if interface.name == "grpc" else f"@{label}", output]] * 20


def test_request_event(user_code: UserCode, interface: Interface) -> None:
    """Locust's request event carries rows, outcome, version and the stamps in its context, and the user's own."""
    notes, _ = user_code(
        """
class Own(BASE):
    model, rows = "dense", 5
    def context(self):
        return {"mine": 7}

@events.request.add_listener
def _note(request_type, name, response_time, response_length, exception, context, response, **_):
    ms = (context["end_ns"] - context["sent_ns"]) / 1e6
    note([request_type, name, exception, context["rows"], context["outcome"], context["version"], context["mine"],
          context["due_ns"] <= context["sent_ns"], response_time == ms > 0, response_length > 0, response.ok])
""",
        *user_code.host,
    )
    version = "2" if interface.name == "grpc" else ""
    assert notes == [[interface.name, "predict dense", None, 5, "ok", version, 7, True, True, True, True]] * 20


def test_failures_are_grouped(user_code: UserCode, interface: Interface) -> None:
    """Bodies that are each wrong in another way, and a server that goes away: one row of failures for each kind."""
    _, locust = user_code(
        """
import itertools
numbers = itertools.count(1000000)

class Own(BASE):
    model = "dense"
    timeout_s = 5
    def on_start(self):
        self.sent = 0
    @task
    def ask(self):
        if self.sent < 60:
            self.sent += 1
            number = next(numbers)
            if BASE is RestPredictUser:
                self.predict(b'{"instances": [{"no": "%d"}]}' % number)
            else:
                from tfs_locust.tfserving.protos import predict_pb2
                request = predict_pb2.PredictRequest(model_spec={"name": "dense"})
                request.inputs["input"].dtype = 1
                request.inputs["input"].tensor_shape.dim.add(size=number)
                self.predict(request.SerializeToString())
""",
        *user_code.host,
        *["--csv", "run", "--stop-timeout", "5", "-t", "3s"],
        exit_code=3,  # not one request ended well: nothing was measured
    )
    (row,) = _failures(locust)
    assert (row["Method"], row["Name"], row["Occurrences"]) == (interface.name, "predict dense", "120")
    assert row["Error"].startswith("invalid_argument: ")


def test_unreachable_failures_are_grouped(locust: Start, tmp_path: Path, serving: Serving) -> None:
    """Twenty addresses that nothing listens on make one row of failures for each interface."""
    ports = [free_port() for _ in range(20)]
    (tmp_path / "locustfile.py").write_text(
        f"""
from dataclasses import replace
from locust import task
from tfs_locust import GrpcPredictUser, RestPredictUser
from tfs_locust.transport.address import parse_address
from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.engine import open_transport

def ask(user):
    for port in {ports}:
        address = parse_address(f"{{user.host.partition(':')[0]}}://127.0.0.1:{{port}}")
        nowhere = open_transport(address, Endpoint(address.host, address.port))
        user._scenario = replace(user._scenario, transport=nowhere)
        user.predict(b"")
        nowhere.close()

class G(GrpcPredictUser):
    host, tasks = "{serving.grpc}", [ask]

class R(RestPredictUser):
    host, tasks = "{serving.rest}", [ask]
"""
    )
    run = ["-f", str(tmp_path / "locustfile.py"), "--headless", "-u", "2", "-r", "2", "-t", "2s", "--tfs-model=dense"]
    ended = locust(*run, "--csv", "run")
    assert ended.wait() == 3, ended.output
    rows = _failures(ended)
    assert sorted(row["Method"] for row in rows) == ["grpc", "rest"], rows
    assert all(row["Error"].startswith("unreachable: ") and int(row["Occurrences"]) >= 20 for row in rows), rows


def _failures(locust: Locust) -> list[dict[str, str]]:
    with (locust.folder / "run_failures.csv").open(newline="") as file:
        return list(csv.DictReader(file))
