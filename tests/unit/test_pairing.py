"""What may be compared with what, how the two become one plan, and who goes first."""

from __future__ import annotations

import itertools
from argparse import Namespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.user_classes import user_class
from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.rows import rows
from tfs_locust.load.sources import open_source
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.pairing import blueprint_of, problems_of_pairs, turns
from tfs_locust.swarm.settings import SettingsError, read_settings
from tfs_locust.tfserving.signature import Signature, TensorSpec
from tfs_locust.tfserving.tensor import dtype_of

SETTINGS = read_settings(Namespace())[0]


def kind(label: str, protocol: str, host: str, **said: Any) -> Any:
    """A class that may be compared, or be the compared one."""
    return user_class(label, protocol=protocol, host=host, **{"own_host": host, "against": None, **said})


def pair(against: dict[str, Any] | None = None, **attributes: Any) -> Any:
    """A class for gRPC, compared with one for REST."""
    rest = kind("Rest", "rest", **{"host": "http://127.0.0.1:8501", **(against or {})})
    return kind("Grpc", "grpc", "grpc://127.0.0.1:8500", **{"against": rest, **attributes})


def planned(user_class: Any, host: str | None = None, **told: str) -> tuple[Blueprint, Blueprint]:
    """Both plans."""
    plan = blueprint_of(user_class, SETTINGS, host, told)
    assert plan.against is not None
    return plan, plan.against


def problems(user_class: Any, host: str | None = None) -> list[str]:
    """Why there is no plan."""
    with pytest.raises(SettingsError) as raised:
        blueprint_of(user_class, SETTINGS, host, {})
    return raised.value.problems


@given(st.integers(1, 40))
def test_each_goes_first_as_often_with_every_payload(payloads: int) -> None:
    """In two laps each goes first once with each payload, and within a lap they take turns."""
    order = list(itertools.islice(turns(payloads), 4 * payloads))
    first, second = order[:payloads], order[payloads : 2 * payloads]
    assert second == [not one for one in first]
    assert all(one != following for one, following in itertools.pairwise(first))
    assert order[2 * payloads :] == order[: 2 * payloads]


def test_what_is_left_open_is_the_partners() -> None:
    """Model, time limit and what is sent are those of the class itself; the compared one may ask another version."""
    own, other = planned(pair({"version_label": "canary"}, model="m", version=3, timeout_s=2.0, rows=8, payloads=5))
    assert (own.target.model, own.target.version, own.target.label) == ("m", 3, None)
    assert (other.target.model, other.target.version, other.target.label) == ("m", None, "canary")
    assert (other.timeout_s, other.rows, other.payloads) == (2.0, rows(8), 5)
    assert (own.endpoint.port, other.endpoint.port) == (8500, 8501)
    assert planned(pair({"timeout_s": 1.0, "model": "n"}, model="m"))[1].timeout_s == 1.0
    assert planned(pair(model="m", version=3))[1].target == own.target


def test_hosts_are_the_classes_own_or_those_told() -> None:
    """One that the class has itself is let through (the web form sends it); what the master uses goes first."""
    own, other = planned(pair(), host="grpc://127.0.0.1:8500")
    assert (own.endpoint.port, other.endpoint.port) == (8500, 8501)
    own, other = planned(pair(), Grpc="grpc://a:1", Rest="http://b:2")
    assert (own.endpoint.host, other.endpoint.host) == ("a", "b")
    (problem,) = problems(pair(), host="http://127.0.0.1:8501")
    assert problem.startswith("Grpc: --host http://127.0.0.1:8501 is one server, and this class compares two, ")


@pytest.mark.parametrize(
    ("user_class", "expected"),
    [
        (kind("Grpc", "grpc", "grpc://h", against="Rest"), "`against` is 'Rest': expected a subclass"),
        (
            pair({"rows": 3}),
            "Rest: `rows` is 3: Grpc is compared with it, and says what both send and when: set it there",
        ),
        (pair({"against": pair()}), "Grpc: `against` is Rest, which is compared itself: expected one that is not"),
        (pair({"model": 5}), "Rest: `model` is 5: expected a name"),
        (
            pair({"host": ""}),
            "Rest: no host is given: expected http:// or https://, such as http://127.0.0.1:8501; set it",
        ),
        (pair({"host": "grpc://h:1"}), "Rest: host 'grpc://h:1' has the scheme 'grpc': expected http:// or https://"),
    ],
    ids=["no class", "rows", "chain", "model", "no host", "other protocol"],
)
def test_what_cannot_be_compared(user_class: Any, expected: str) -> None:
    """Each fault is told with the class it is of."""
    (problem,) = problems(user_class)
    assert expected in problem


def test_a_compared_class_is_in_the_run_once() -> None:
    """It may not have users of its own, nor two partners."""
    one = pair()
    assert problems_of_pairs([one], [one]) == []
    (spawned,) = problems_of_pairs([one], [one, one.against])
    assert spawned.startswith("Rest: it is compared with, and would have users of its own as well: set its `abstract")
    other = kind("Other", "grpc", "grpc://h", against=one.against)
    assert problems_of_pairs([one, other], [one, other]) == [
        "Rest: two classes are compared with it: make each its own"
    ]


SIGNATURE = Signature("m", 1, "s", "", (TensorSpec("x", dtype_of(1), (None,)),), ())


def test_a_payload_is_encoded_twice_from_the_same_inputs() -> None:
    """Also those that a generator gives only once."""
    made = ({"x": [float(number)]} for number in range(3))
    bodies = [
        (one.body, one.against)
        for one in open_source(
            made,
            SIGNATURE,
            1,
            0,
            lambda inputs: b"a%d" % inputs["x"][0],
            encode_against=lambda inputs: b"b%d" % inputs["x"][0],
        ).passes()
    ]
    assert bodies == [(b"a0", b"b0"), (b"a1", b"b1"), (b"a2", b"b2")]


def test_bytes_cannot_be_sent_both_ways() -> None:
    """What is encoded already is of one of the two."""
    source = open_source([b"x"], SIGNATURE, 1, 0, lambda _: b"", encode_against=lambda _: b"")
    with pytest.raises(
        CorpusError, match="payload 1 of the list: bytes are encoded for one of the two that are compared"
    ):
        next(source.passes())
