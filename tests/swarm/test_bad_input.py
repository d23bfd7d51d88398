"""What cannot be loaded is said before any load: exit code 2, every problem with what exists instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.swarm.conftest import Interface, Serving
from tests.swarm.processes import Locust, free_port, in_processes

Start = Callable[..., Locust]
_ROWS = "expected a number of rows, ROWS:WEIGHT[,ROWS:WEIGHT...] as in 1:0.7,8:0.3, trace:FILE, auto or worst"


def _problems(run: Locust) -> list[str]:
    """The problems it ended with, having sent nothing."""
    assert run.wait(20) == 2, run.output
    assert "Ramping to" not in run.output
    assert "Traceback" not in run.output
    _, _, listed = run.output.partition("tfs_locust cannot start this run:\n")
    return [line.removeprefix("  - ") for line in listed.splitlines() if line.startswith("  - ")]


def test_unreachable(interface: Interface, locust: Start) -> None:
    """A port that nothing listens on."""
    authority = f"127.0.0.1:{free_port()}"
    arguments = interface.arguments("--host", f"{interface.host.partition('://')[0]}://{authority}")
    (problem,) = _problems(locust(*arguments))
    assert problem.startswith(f"{interface.user_class}: no answer from {authority} (unreachable: ")
    assert problem.endswith(
        {
            "grpc": "; is the server running, and is this its gRPC port, not its REST port?",
            "rest": "; is the server running, and is this its REST port, not its gRPC port?",
        }[interface.name]
    )


def test_the_other_port(interface: Interface, serving: Serving, locust: Start) -> None:
    """The right machine, but REST's port for gRPC, or gRPC's for REST."""
    other = {"grpc": serving.rest.replace("http", "grpc"), "rest": serving.grpc.replace("grpc", "http")}
    (problem,) = _problems(locust(*interface.arguments("--host", other[interface.name])))
    assert f"no answer from {other[interface.name].partition('://')[2]} (" in problem
    assert problem.endswith("port?")


_TARGETS = """
from tfs_locust import {base}

class Model({base}):
    model = "dens"

class Version({base}):
    model, version = "dense", 7

class Label({base}):
    model, version_label = "dense", "blue"

class Signature({base}):
    model, signature = "dense", "nope"

class Signatures({base}):
    model, signature = "types", "nope"

class Rank({base}):
    model, signature = "types", "scalar"

class Unready({base}):
    model, version = "broken", 2
"""
_WHAT_IS_THERE = {
    "grpc": (
        "TensorFlow Serving does not list the names it serves; "
        "they are its --model_name or stand in its --model_config_file"
    ),
    "rest": "it serves: broken, dense, failing, half_plus_two, held, multi, switched, types",
}


def test_targets(interface: Interface, locust: Start, tmp_path: Path) -> None:
    """Models, versions, labels and signatures that do not exist, each with what does; all classes' problems at once."""
    (tmp_path / "targets.py").write_text(_TARGETS.format(base=f"{interface.name.capitalize()}PredictUser"))
    run = ["--host", interface.host, "--headless", "-u", "7", "-r", "7", "-t", "2s"]
    problems = _problems(locust("-f", str(tmp_path / "targets.py"), *run))
    assert sorted(problem for problem in problems if not problem.startswith("Unready")) == [
        (
            "Label: model 'dense' has no version label 'blue' (the server's model config sets them); its versions are: "
            "2 (AVAILABLE), 1 (AVAILABLE); choose with --tfs-version-label or --tfs-version"
        ),
        (
            f"Model: model 'dens' is not known to the server; {_WHAT_IS_THERE[interface.name]}; "
            "choose one with --tfs-model"
        ),
        "Rank: input 'x' has an unknown rank; give the sizes of one row with --tfs-dim x=N[,N...] (0 for none)",
        (
            "Signature: model 'dense' version 2 has no signature 'nope'; it has: serving_default; "
            "choose one with --tfs-signature"
        ),
        (
            "Signatures: model 'types' version 1 has no signature 'nope'; it has: bfloat16, bool, complex64, float16, "
            "float64, int8, scalar, string, uint64; choose one with --tfs-signature"
        ),
        "Version: model 'dense' has no version 7; it has: 2 (AVAILABLE), 1 (AVAILABLE); choose one with --tfs-version",
    ]
    (unready,) = [problem for problem in problems if problem.startswith("Unready")]
    assert unready.startswith("Unready: model 'broken' version 2 is not AVAILABLE; its versions are: 2 (END: ")
    assert unready.endswith(", 1 (AVAILABLE); wait until one is, or choose another")


OPTIONS = {
    "--tfs-model=dens": "model 'dens' is not known to the server; ",
    "--tfs-version=7": "model 'dense' has no version 7; ",
    "--tfs-version-label=blue": "model 'dense' has no version label 'blue' ",
    "--tfs-signature=nope": "model 'dense' version 2 has no signature 'nope'; ",
    "--tfs-dim=y=3": "--tfs-dim names an input 'y' that the signature does not have; it has: input",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_target_of_options(option: str, serving: Serving, locust: Start) -> None:
    """The same for what the options say."""
    (problem,) = _problems(locust(*Interface("grpc", serving.grpc).arguments(option)))
    assert problem.startswith(f"GrpcPredict: {OPTIONS[option]}")


_HOSTS = """
from tfs_locust import {base}

class Missing({base}):
    pass

class Bare({base}):
    host = "127.0.0.1:8500"

class Ftp({base}):
    host = "ftp://127.0.0.1"

class Other({base}):
    host = "{other}"
"""
_EXPECTED = {
    "grpc": "grpc:// or grpcs://, such as grpc://127.0.0.1:8500",
    "rest": "http:// or https://, such as http://127.0.0.1:8501",
}


def test_hosts(interface: Interface, locust: Start, tmp_path: Path) -> None:
    """No host, a host without a scheme, with an unknown one, with that of the other protocol: as the class has it."""
    base, other = f"{interface.name.capitalize()}PredictUser", {"grpc": "https", "rest": "grpcs"}[interface.name]
    (tmp_path / "hosts.py").write_text(_HOSTS.format(base=base, other=f"{other}://127.0.0.1"))
    problems = _problems(locust("-f", str(tmp_path / "hosts.py"), "--headless", "-u", "4", "-t", "2s"))
    advice = f"expected {_EXPECTED[interface.name]}; give it with --host or as the class's `host`"
    assert sorted(problems) == [
        f"Bare: host '127.0.0.1:8500' has no scheme: {advice}",
        f"Ftp: host 'ftp://127.0.0.1' has the scheme 'ftp': {advice}",
        f"Missing: no host is given: {advice}",
        f"Other: host '{other}://127.0.0.1' has the scheme '{other}': {advice}",
    ]


def test_everything_at_once(interface: Interface, locust: Start) -> None:
    """Options that cannot be read are listed together, with the host that cannot be used, each by its name."""
    wrong = {
        "rows": ("0", _ROWS),
        "timeout": ("soon", "expected a time above zero, as 10, 10s or 500ms"),
        "payloads": ("-1", "expected a whole number of at least 1"),
        "seed": ("x", "expected a whole number of at least 0"),
        "dim": ("x=a", "expected NAME=N or NAME=N,N with the name of an input"),
        "header": ("nocolon", "expected 'NAME: VALUE' in plain ASCII"),
        "tls-ca": ("/nowhere/ca.pem", "cannot be read: No such file or directory"),
        "engine": ("fast", "expected one of wire, library"),
        "connections": ("0", "expected a whole number of at least 1"),
        "check": ("200%", "expected a share of at most 100%"),
    }
    given = [f"--tfs-{name}={text}" for name, (text, _) in wrong.items()]
    run = locust(*interface.arguments(*given, "--host", "127.0.0.1:1", "--tfs-version=1", "--tfs-version-label=stable"))
    assert _problems(run) == [
        *(f"--tfs-{name} {text!r}: {why}" for name, (text, why) in wrong.items()),
        "--tfs-version and --tfs-version-label exclude each other: give one of them",
        (
            f"{interface.user_class}: host '127.0.0.1:1' has no scheme: expected {_EXPECTED[interface.name]}; "
            "give it with --host or as the class's `host`"
        ),
    ]


def test_options_and_target_at_once(interface: Interface, locust: Start) -> None:
    """An option that cannot be read does not hide a model that does not exist."""
    problems = _problems(locust(*interface.arguments("--tfs-rows", "0", model="dens")))
    assert problems[0] == f"--tfs-rows '0': {_ROWS}"
    assert problems[1].startswith(f"{interface.user_class}: model 'dens' is not known to the server; ")
    assert len(problems) == 2


def test_certificates(interface: Interface, locust: Start) -> None:
    """A file that is no certificate; a certificate without its key."""
    problems = _problems(locust(*interface.arguments("--tfs-tls-ca", interface.locustfile)))
    assert len(problems) == 1
    assert problems[0].startswith("--tfs-tls-ca, --tfs-tls-cert, --tfs-tls-key: not usable as PEM files: ")
    (problem,) = _problems(locust(*interface.arguments("--tfs-tls-cert", interface.locustfile)))
    assert problem == "--tfs-tls-cert and --tfs-tls-key belong together: give both or neither"


_UNLIKELY = """
from tfs_locust import {base}

class Unread({base}):
    expect = ["y"]

class Unknown({base}):
    expect = {{"nope": 1}}
"""


def test_expectations_and_engine(interface: Interface, locust: Start, tmp_path: Path) -> None:
    """What cannot be expected of this model, and what an engine cannot be told."""
    (tmp_path / "unlikely.py").write_text(_UNLIKELY.format(base=f"{interface.name.capitalize()}PredictUser"))
    run = ["--host", interface.host, "--headless", "-u", "2", "-r", "2", "-t", "2s", "--tfs-model", "half_plus_two"]
    assert sorted(_problems(locust("-f", str(tmp_path / "unlikely.py"), *run))) == [
        "Unknown: `expect` names an output 'nope' that the signature does not have; it has: y",
        "Unread: `expect`: ['y']: expected a mapping from the name of an output to Expected, or to its values",
    ]
    problems = _problems(locust(*interface.arguments("--tfs-engine=library", "--tfs-connections=3")))
    assert problems == [
        "--tfs-connections is for the engine 'wire', the library decides for itself; leave one of them out"
    ]


def test_processes_go_away(interface: Interface, locust: Start) -> None:
    """With ``--processes`` the problems are said once, and the forked workers end too."""
    run = locust(*interface.arguments("--tfs-rows", "x", *in_processes(2)))
    assert _problems(run) == [f"--tfs-rows 'x': {_ROWS}"]
    run.assert_nothing_left()


def test_workers_go_away(interface: Interface, locust: Start) -> None:
    """With a master of its own, too; the workers were told by it and did nothing wrong."""
    port = str(free_port())
    at = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"]
    master = locust(*interface.arguments("--tfs-signature", "nope", *at))
    worker = ["-f", interface.locustfile, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    workers = [locust(*worker) for _ in range(2)]
    (problem,) = _problems(master)
    assert "has no signature 'nope'" in problem
    assert [worker.wait(10) for worker in workers] == [0, 0]


def test_bad_option_with_a_web_page(interface: Interface, locust: Start) -> None:
    """What the page could not mend by itself ends Locust at once; a missing host can still be filled in there."""
    run = locust("-f", interface.locustfile, "--web-port", str(free_port()), TFS_TIMEOUT="0")
    assert _problems(run) == ["--tfs-timeout '0': expected a time above zero, as 10, 10s or 500ms"]


def test_worker_that_sees_another_network(interface: Interface, locust: Start, tmp_path: Path) -> None:
    """A server that a worker alone cannot reach ends the run with 2, and names the worker."""
    base = f"{interface.name.capitalize()}PredictUser"
    locustfile = tmp_path / "own_host.py"
    locustfile.write_text(
        f"import os\nfrom tfs_locust import {base}\n\n\nclass Own({base}):\n    host = os.environ['SEEN_AS']\n"
    )
    port, nowhere = str(free_port()), f"127.0.0.1:{free_port()}"
    run = ["-f", str(locustfile), "--tfs-model", "dense", "--headless", "-u", "4", "-r", "4", "-t", "30s"]
    at = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"]
    master = locust(*run, *at, SEEN_AS=interface.host)
    worker = ["-f", str(locustfile), "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    seeing = locust(*worker, SEEN_AS=interface.host)
    blind = locust(*worker, SEEN_AS=f"{interface.host.partition('://')[0]}://{nowhere}")
    assert master.wait(20) == 2, master.output
    (said,) = [line for line in master.output.splitlines() if "cannot start: " in line]
    assert f"Own: no answer from {nowhere} (unreachable: " in said
    name = said.rpartition("(said by worker ")[2].rstrip(")")
    assert name in master.output.partition("cannot start")[0]  # as it was named when it became ready
    for each in (master, seeing, blind):
        each.wait(10)
        each.assert_nothing_left()


@pytest.mark.parametrize("folder", ["taken", "taken/below"])
def test_report_that_cannot_be_written(folder: str, serving: Serving, locust: Start, tmp_path: Path) -> None:
    """A report folder that is a file, or lies below one."""
    (tmp_path / "taken").write_text("")
    there = str(tmp_path / folder)
    arguments = Interface("grpc", serving.grpc).arguments("--tfs-report", there)
    (problem,) = _problems(locust(*arguments))
    assert problem.startswith(f"--tfs-report '{there}': nothing can be written there: ")


@pytest.mark.parametrize("headless", [True, False])
def test_objectives_of_a_class(headless: bool, serving: Serving, locust: Start, tmp_path: Path) -> None:
    """Faults of a class's objectives are told with their column, also where the web page is to start the run."""
    file = tmp_path / "classes.py"
    file.write_text(
        "from tfs_locust import GrpcPredictUser\n"
        "class One(GrpcPredictUser):\n    model, slo = 'dense', 'p99<'\n"
        "class Two(GrpcPredictUser):\n    model, slo = 'dense', 5\n"
    )
    how = ["--headless"] if headless else ["--web-port", str(free_port()), "--web-host", "127.0.0.1"]
    assert _problems(locust("-f", str(file), "--host", serving.grpc, "-t", "1s", *how)) == [
        "One: `slo` 'p99<', column 5: a number belongs here, not nothing",
        "Two: `slo` is 5: expected an objective, or a list of them",
    ]
