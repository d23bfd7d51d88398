"""The options are read from text, wherever it came from, and all their faults are told at once."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import trustme
from configargparse import ArgumentParser

from tfs_locust.load.rows import rows
from tfs_locust.swarm.metrics_server import MetricsSettings
from tfs_locust.swarm.options import add_options
from tfs_locust.swarm.settings import Settings, read_settings
from tfs_locust.swarm.values import duration_s
from tfs_locust.transport.tls import Tls


def _read(*arguments: str, environment: dict[str, str] | None = None) -> tuple[Settings, list[str]]:
    parser = ArgumentParser()
    add_options(parser)
    return read_settings(parser.parse_args(list(arguments), env_vars=environment or {}))


NOTHING = Settings(None, None, None, None, None, None, None, 0, {}, {}, Tls())


def test_nothing_given_leaves_everything_open() -> None:
    """Without options every setting is open; so it is for a web form left empty, and with no options at all."""
    assert _read() == (NOTHING, [])
    assert read_settings(Namespace()) == (NOTHING, [])
    blank = Namespace(tfs_model="", tfs_version=" ", tfs_rows="", tfs_dim="", tfs_header="", tfs_tls_ca="")
    assert read_settings(blank) == (NOTHING, [])


def test_options_are_read() -> None:
    """Every option arrives with its type."""
    settings, problems = _read(
        *("--tfs-model", "resnet", "--tfs-version", "3", "--tfs-signature", "other", "--tfs-rows", "8"),
        *("--tfs-timeout", "500ms", "--tfs-payloads", "16", "--tfs-seed", "7"),
        *("--tfs-dim", "image=224x224", "--tfs-dim", "a=b=5", "--tfs-header", "X-Key: a: b"),
    )
    assert problems == []
    assert settings == Settings(
        "resnet", 3, None, "other", rows(8), 0.5, 16, 7, {"image": (224, 224), "a=b": (5,)}, {"X-Key": "a: b"}, Tls()
    )


def test_environment_variables_fill_in() -> None:
    """Each option has a variable; the command line goes before it."""
    settings, problems = _read(
        "--tfs-rows", "2", environment={"TFS_MODEL": "m", "TFS_ROWS": "5", "TFS_HEADER": "[a: 1, b: 2]"}
    )
    assert problems == []
    assert (settings.model, settings.rows, settings.headers) == ("m", rows(2), {"a": "1", "b": "2"})


def test_every_option_has_a_help_text_and_stands_in_the_web_form() -> None:
    """The form shows an option only where its action says so; the headers, which may hold secrets, are masked."""
    parser = ArgumentParser()
    add_options(parser)
    actions = [action for action in parser._actions if action.dest.startswith("tfs_")]
    assert len(actions) == 52
    assert all(action.help for action in actions)
    of_the_process = {
        "tfs_markdown",
        "tfs_pushgateway",
        "tfs_metrics_port",
        "tfs_metrics_address",
        "tfs_metrics_linger",
    }
    changes = {"tfs_scenario", "tfs_scenario_param", "tfs_allow_changes"}  # commands, from whoever can open the page
    assert {action.dest for action in actions if not action.include_in_web_ui} == of_the_process | changes
    assert [action.dest for action in actions if action.is_secret] == ["tfs_header"]


def test_a_scenario_and_its_parameters() -> None:
    """Several, given one by one or together; what stands in them is for the process that leads the run."""
    settings, problems = _read(
        *("--tfs-scenario", "restart", "--tfs-scenario-param", "command=a=b|c | at=3"),
        *("--tfs-scenario-param", "timeout=1s", "--tfs-allow-changes"),
    )
    assert problems == []
    assert settings.scenario == "restart"
    assert settings.scenario_params == {"command": "a=b|c", "at": "3", "timeout": "1s"}
    assert settings.allow_changes
    assert _read("--tfs-scenario-param", "at=1 | at=2")[1] == [
        "--tfs-scenario-param 'at=2': 'at' is given twice",
        "--tfs-scenario-param: there is no --tfs-scenario that it could belong to",
    ]


def test_all_faults_are_told_at_once() -> None:
    """Every wrong option has its sentence, with what was given."""
    settings, problems = _read(
        *("--tfs-version", "x", "--tfs-rows", "0", "--tfs-timeout", "0s", "--tfs-payloads", "1.5"),
        *("--tfs-dim", "a", "--tfs-header", "no colon", "--tfs-header", "grpc-x: 1", "--tfs-tls-ca", "/does/not/exist"),
    )
    assert problems == [
        "--tfs-version 'x': expected a whole number of at least 0",
        "--tfs-rows '0': expected a number of rows, ROWS:WEIGHT[,ROWS:WEIGHT...] as in 1:0.7,8:0.3, trace:FILE, auto "
        "or worst",
        "--tfs-timeout '0s': expected a time above zero, as 10, 10s or 500ms",
        "--tfs-payloads '1.5': expected a whole number of at least 1",
        "--tfs-dim 'a': expected NAME=N or NAME=N,N with the name of an input",
        "--tfs-header 'no colon': expected 'NAME: VALUE' in plain ASCII",
        "--tfs-header 'grpc-x: 1': names that begin with grpc- or end with -bin are gRPC's own",
        "--tfs-tls-ca '/does/not/exist': cannot be read: No such file or directory",
    ]
    assert settings == NOTHING


def test_options_that_exclude_or_need_each_other_are_told() -> None:
    """A version and a label, a certificate without its key, a header twice."""
    assert _read("--tfs-version", "1", "--tfs-version-label", "a")[1] == [
        "--tfs-version and --tfs-version-label exclude each other: give one of them"
    ]
    assert _read("--tfs-tls-cert", __file__)[1] == [
        "--tfs-tls-cert and --tfs-tls-key belong together: give both or neither"
    ]
    assert _read("--tfs-header", "a: 1", "--tfs-header", "a: 2")[1] == ["--tfs-header 'a: 2': 'a' is given twice"]


def test_certificates_are_tried_before_the_run(tmp_path: Path) -> None:
    """PEM files that are none are told; good ones are kept as paths."""
    authority = trustme.CA()
    ca, certificate, key = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    settings, problems = _read("--tfs-tls-ca", ca, "--tfs-tls-cert", certificate, "--tfs-tls-key", key)
    assert problems == []
    assert settings.tls == Tls(ca, certificate, key)
    (problem,) = _read("--tfs-tls-ca", __file__)[1]
    assert problem.startswith("--tfs-tls-ca, --tfs-tls-cert, --tfs-tls-key: not usable as PEM files")


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10.0), ("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), (".5", 0.5), ("250 us", 0.00025)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    """A bare number is seconds."""
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "-1", "1h", "ten", "1s2", "inf", "nan"])
def test_other_times_are_refused(text: str) -> None:
    """Zero, negative, unknown units and words are no deadline."""
    with pytest.raises(ValueError, match="above zero"):
        duration_s(text)


@pytest.mark.parametrize("text", ["86401", "9" * 30])
def test_times_end_with_a_day(text: str) -> None:
    """gRPC takes a deadline too far ahead for one that has passed, and every request would fail at once."""
    with pytest.raises(ValueError, match="a day at most"):
        duration_s(text)


def test_no_warmup_and_no_drain_can_be_said() -> None:
    """Zero is a length of a warm-up and of a drain; without the option the drain is as long as the deadline."""
    settings, problems = _read("--tfs-warmup", "0s", "--tfs-drain", "0")
    assert problems == []
    assert (settings.warmup_s, settings.drain_s) == (0.0, 0.0)
    assert _read()[0].drain_s is None


def test_how_often_versions_are_asked_for() -> None:
    """Twice a second, or as is said, but not all the time; or not at all."""
    assert _read()[0].status_interval_s == 0.5
    assert _read("--tfs-status-interval", "2s")[0].status_interval_s == 2.0
    assert _read("--tfs-status-interval", "Off")[0].status_interval_s == 0.0
    settings, problems = _read("--tfs-status-interval", "10ms")
    assert problems == ["--tfs-status-interval '10ms': expected a time of at least 50ms, or off"]
    assert settings.status_interval_s == 0.5


def test_queries_and_objectives_on_them() -> None:
    """An objective may name a query; a query needs a Prometheus, and no name of a metric."""
    settings, problems = _read(
        *("--tfs-prometheus", "http://p:9090", "--tfs-server-query", "cpu=sum(x)", "--tfs-slo", "cpu<80%"),
        *("--tfs-server-query", "memory=y{a=~'b|c'}"),
    )
    assert problems == []
    assert [(query.name, query.promql) for query in settings.queries] == [("cpu", "sum(x)"), ("memory", "y{a=~'b|c'}")]
    assert [(one.metric, one.statistic, float(one.bound)) for one in settings.objectives] == [("series", "cpu", 0.8)]
    problems = _read("--tfs-server-query", "p99=x | nope", "--tfs-prometheus", "here:9090", "--tfs-slo", "cpu<1")[1]
    assert [problem.partition(": ")[0] for problem in problems] == [
        "--tfs-server-query",
        "--tfs-slo 'cpu<1', column 1",
        "--tfs-prometheus 'here:9090'",
    ]
    assert _read("--tfs-server-query", "p99=x", "--tfs-prometheus", "http://p")[1] == [
        "--tfs-server-query p99: objectives have a metric of this name: choose another"
    ]
    for alone in (["--tfs-prometheus", "http://p"], ["--tfs-server-query", "a=b"]):
        assert _read(*alone)[1] == ["--tfs-server-query and --tfs-prometheus belong together: give both or neither"]


def test_numbers_are_of_64_bits() -> None:
    """A version that no request can carry is told, with the option's name."""
    assert _read("--tfs-version", str((1 << 63) - 1))[1] == []
    assert _read("--tfs-version", str(1 << 63))[1] == [
        "--tfs-version '9223372036854775808': expected a whole number of at least 0"
    ]


def test_where_metrics_are_told() -> None:
    """A port is a number, 0 or off; a gateway's URL holds no password; all is open if nothing is said."""
    assert NOTHING.metrics == MetricsSettings()
    told = ("--tfs-metrics-port", "0", "--tfs-metrics-linger", "0", "--tfs-pushgateway", "http://g:9091")
    metrics = _read(*told)[0].metrics
    assert (metrics.port, metrics.off, metrics.linger_s, metrics.pushgateway) == (0, False, 0.0, "http://g:9091")
    assert _read("--tfs-metrics-port", "off")[0].metrics.off
    wrong = ("--tfs-metrics-port", "70000", "--tfs-pushgateway", "http://me:secret@g:9091")
    assert [problem.partition(": expected ")[2] for problem in _read(*wrong)[1]] == [
        "a port from 1 to 65535, 0 for a free one, or off",
        "no user and password in it: they would stand in logs, and are not sent",
    ]
