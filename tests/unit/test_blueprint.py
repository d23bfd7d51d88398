"""A user class's attributes are joined with the options, and checked before any server is asked."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import pytest

from tfs_locust.swarm.blueprint import blueprint, objectives_of
from tfs_locust.swarm.settings import SettingsError, read_settings

SETTINGS = read_settings(Namespace())[0]
OPEN = dict.fromkeys(
    ["model", "version", "version_label", "signature", "rows", "payloads", "timeout_s", "slo", "expect"]
)


def _class(name: str = "Mine", **attributes: Any) -> Any:
    """What is read of a user class. A real one would bring Locust, and with it gevent's patches, into this process."""
    return SimpleNamespace(__name__=name, protocol="grpc", **{**OPEN, "host": "grpc://127.0.0.1:8500", **attributes})


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("model", 5, "a name"),
        ("signature", "", "a name"),
        ("version_label", 3, "a name"),
        ("version", "1", "a whole number of at least 0"),
        ("version", -1, "a whole number of at least 0"),
        ("version", 1 << 63, "a whole number of at least 0"),
        ("rows", "x", "a whole number of at least 1"),
        ("rows", 1.5, "a whole number of at least 1"),
        ("rows", True, "a whole number of at least 1"),
        ("payloads", 0, "a whole number of at least 1"),
        ("timeout_s", "1s", "a number of seconds above zero, a day at most"),
        ("timeout_s", float("nan"), "a number of seconds above zero, a day at most"),
    ],
)
def test_attributes_of_a_wrong_kind(attribute: str, value: Any, expected: str) -> None:
    """Each is told with the class, what it is and what is expected."""
    with pytest.raises(SettingsError) as raised:
        blueprint(_class(**{attribute: value}), SETTINGS, None)
    assert raised.value.problems == [f"Mine: `{attribute}` is {value!r}: expected {expected}"]


def test_host_of_a_wrong_kind() -> None:
    """A host that is no text is refused like any other that has no scheme."""
    with pytest.raises(SettingsError, match="host '3' has no scheme"):
        blueprint(_class(host=3), SETTINGS, None)


def test_objectives_of_classes() -> None:
    """A class's objectives are of its own requests, written as the option's may be: several, scoped, or default."""
    classes = [
        _class("A", slo="p99<1s | grpc: error_rate<50%"),
        _class("B", slo=["default"]),
        _class("C", slo="scenario=A: mean<1s"),
        _class("D"),
    ]
    assert [objective.expression for objective in objectives_of(classes, SETTINGS)] == [
        "scenario=A: p99<1s",
        "scenario=A, grpc: error_rate<50%",
        "scenario=B: throughput>=10000/s",
        "scenario=B: error_rate<0.1%",
        "scenario=B: p99<100ms",
        "scenario=A: mean<1s",
    ]
    scopes = [objective.scope for objective in objectives_of(classes[:1], SETTINGS)]
    assert scopes == [(("scenario", "A"),), (("scenario", "A"), ("protocol", "grpc"))]
