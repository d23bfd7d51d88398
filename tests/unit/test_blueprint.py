"""A user class's attributes are joined with the options, and checked before any server is asked."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
import pytest

from tests.unit.user_classes import user_class
from tfs_locust.load.rows import rows
from tfs_locust.swarm.blueprint import blueprint, objectives_of
from tfs_locust.swarm.settings import SettingsError, read_settings

SETTINGS = read_settings(Namespace())[0]


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("model", 5, "a name"),
        ("signature", "", "a name"),
        ("version_label", 3, "a name"),
        ("version", "1", "a whole number of at least 0"),
        ("version", -1, "a whole number of at least 0"),
        ("version", 1 << 63, "a whole number of at least 0"),
        ("payloads", 0, "a whole number of at least 1"),
        ("timeout_s", "1s", "a number of seconds above zero, a day at most"),
        ("timeout_s", float("nan"), "a number of seconds above zero, a day at most"),
    ],
)
def test_attributes_of_a_wrong_kind(attribute: str, value: Any, expected: str) -> None:
    """Each is told with the class, what it is and what is expected."""
    with pytest.raises(SettingsError) as raised:
        blueprint(user_class(**{attribute: value}), SETTINGS, None)
    assert raised.value.problems == [f"Mine: `{attribute}` is {value!r}: expected {expected}"]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("x", "'x': expected a number of rows, "),
        ("1:0.7,8", "'1:0.7,8': column 7: "),
        (0, "'0': expected a number of rows, "),
        (1.5, "1.5: expected a number, a text such as '1:0.7,8:0.3', or rows(...)"),
        (True, "True: expected a number, a text such as "),
    ],
)
def test_rows_of_a_wrong_kind(value: Any, fault: str) -> None:
    """What is no number of rows is told with the class."""
    with pytest.raises(SettingsError) as raised:
        blueprint(user_class(rows=value), SETTINGS, None)
    (problem,) = raised.value.problems
    assert problem.startswith(f"Mine: `rows`: {fault}")


@pytest.mark.parametrize("value", [8, "8", np.int64(8), rows(8)])
def test_rows_in_every_form(value: Any) -> None:
    """A number, its text and rows() are the same; a class's go before the option's."""
    settings = read_settings(Namespace(tfs_rows="3"))[0]
    assert blueprint(user_class(rows=value), settings, None).rows == rows(8)
    assert blueprint(user_class(), settings, None).rows == rows(3)
    assert blueprint(user_class(), SETTINGS, None).rows == rows(1)


def test_host_of_a_wrong_kind() -> None:
    """A host that is no text is refused like any other that has no scheme."""
    with pytest.raises(SettingsError, match="host '3' has no scheme"):
        blueprint(user_class(host=3), SETTINGS, None)


def test_objectives_of_classes() -> None:
    """A class's objectives are of its own requests, written as the option's may be: several, scoped, or default."""
    classes = [
        user_class("A", slo="p99<1s | grpc: error_rate<50%"),
        user_class("B", slo=["default"]),
        user_class("C", slo="scenario=A: mean<1s"),
        user_class("D"),
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
