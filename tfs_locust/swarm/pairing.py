"""A user class whose requests are compared with another's, pair by pair: the same inputs, sent both ways in turn.

The compared class only says how: where its server is, and what is asked of it. What it leaves open is as its partner
has it, and what is sent, and when, is the partner's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tfs_locust.load.corpus import CorpusError, Payload
from tfs_locust.load.pool import Pool
from tfs_locust.load.sources import is_read_once
from tfs_locust.measure.paired import PairedKey
from tfs_locust.swarm.blueprint import Blueprint, blueprint
from tfs_locust.swarm.scenario import Ready, Scenario, asked, encoder, open_scenario, prepared, scenario_for, stocked
from tfs_locust.swarm.settings import Settings, SettingsError
from tfs_locust.swarm.spreading import asked_all, open_spread
from tfs_locust.tfserving.signature import Signature
from tfs_locust.transport.base import Transport

if TYPE_CHECKING:
    from tfs_locust.swarm.users import PredictUser

_LEFT_OPEN = ("model", "version", "version_label", "signature", "timeout_s", "expect")
_OF_PARTNER = ("rows", "payload", "payloads", "arrival", "max_in_flight", "traffic", "canary_ramp")
_ENV = "locustfiles/protocols.py takes them from TFS_GRPC_HOST and TFS_REST_HOST"


@dataclass(frozen=True, slots=True)
class Pairing:
    """What the users of a class need to send pairs."""

    other: Scenario
    """The scenario of the class that theirs is compared with."""
    requests: Iterator[tuple[Ready, Ready]]
    """The same inputs for the class's own scenario and for the other; without end."""
    own_first: Iterator[bool]
    """Whether the class's own request goes before the other; without end."""
    key: PairedKey


def turns(payloads: int) -> Iterator[bool]:
    """Who goes first: by turns, and with each of so many payloads, sent in a circle, the other one than last time.

    What comes second may find warm what the first has warmed. By turns alone, with an even number of payloads, that
    would always be the same one's gain with the same payload.
    """
    lap = [bool(place % 2) for place in range(payloads)]
    return itertools.cycle([*lap, *(not one for one in lap)])


def with_compared(user_classes: list[type[PredictUser]]) -> list[type[PredictUser]]:
    """The classes, each followed by the one it is compared with; only those that can be compared with."""
    return [
        one
        for user_class in user_classes
        for one in (user_class, user_class.against)
        if one is not None and _is_ours(one)
    ]


def with_others(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The scenarios, each followed by those of its targets and by the one it is compared with."""
    return [
        one
        for scenario in scenarios
        for one in (scenario, *scenario.targets, scenario.pairing.other if scenario.pairing else None)
        if one is not None
    ]


def blueprint_of(
    user_class: type[PredictUser], settings: Settings, host: str | None, told_hosts: Mapping[str, Any]
) -> Blueprint:
    """A class's blueprint, with that of the class it is compared with, if there is one. Raises SettingsError.

    ``host`` is what ``--host`` says. ``told_hosts`` are, where another process leads the run, the hosts by class name
    that it uses for classes that are compared: what stands in a class may depend on the machine.
    """
    other = user_class.against
    if other is None:
        return blueprint(user_class, settings, host)
    own_host = told_hosts.get(user_class.__name__, user_class.own_host)
    problems = _misused(user_class, other)
    if problems:
        raise SettingsError(problems)
    other_host = told_hosts.get(other.__name__, other.host)
    if host and host != own_host:
        problems.append(
            f"{user_class.__name__}: --host {host} is one server, and this class compares two, which have hosts of "
            f"their own: {own_host} and, of {other.__name__}, {other_host}; leave --host out, and change the classes' "
            f"`host` ({_ENV})"
        )
    plans = []
    for one, its_host in ((user_class, own_host), (_filled(other, user_class), other_host)):
        try:
            plans.append(blueprint(one, settings, its_host, give="set it as the class's `host`"))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    own, theirs = plans
    return replace(own, against=replace(theirs, rows=own.rows, payload=own.payload, payloads=own.payloads))


def hosts_of(user_classes: list[type[PredictUser]]) -> dict[str, str]:
    """The hosts of classes that are compared, by class name."""
    compared = [one for one in user_classes if one.against is not None]
    return {one.__name__: str(one.own_host or "") for one in compared} | {
        one.__name__: str(one.host or "") for one in with_compared(compared) if one not in compared
    }


def problems_of_pairs(user_classes: list[type[PredictUser]], spawned: list[Any]) -> list[str]:
    """Where a compared class would be in the run twice, so that its requests were not only those of its pairs."""
    problems = []
    compared = [one.against for one in user_classes if one.against is not None]
    for other in dict.fromkeys(compared):
        if other in spawned:
            problems.append(
                f"{other.__name__}: it is compared with, and would have users of its own as well: set its "
                "`abstract = True`"
            )
        elif compared.count(other) > 1:
            problems.append(f"{getattr(other, '__name__', other)}: two classes are compared with it: make each its own")
    return problems


def check_pair(plan: Blueprint, transport_of: Callable[[Blueprint], Transport[Any]]) -> None:
    """Ask the server, or both, and make one payload, unless it would then be gone. Raises SettingsError."""
    if not is_read_once(plan.payload):
        open_pair(replace(plan, payloads=1), transport_of)
    elif plan.traffic is not None:
        asked_all(plan, transport_of(plan))
    elif plan.against is None:
        asked(plan, transport_of(plan))
    else:
        _asked_both(plan, plan.against, [transport_of(plan), transport_of(plan.against)])


def open_pair(
    plan: Blueprint,
    transport_of: Callable[[Blueprint], Transport[Any]],
    *,
    offset: int = 0,
    pause: Callable[[], None] = lambda: None,
) -> Scenario:
    """As :func:`open_scenario`, with the scenario that is compared opened too, on the same payloads."""
    theirs = plan.against
    if theirs is None:
        open_one = open_scenario if plan.traffic is None else open_spread
        return open_one(plan, transport_of(plan), offset=offset, pause=pause)
    transports = [transport_of(plan), transport_of(theirs)]
    signatures = own_signature, other_signature = _asked_both(plan, theirs, transports)
    try:
        stock = _stock(plan, theirs, own_signature, other_signature, transports)
        stock.fill(pause)
    except CorpusError as error:
        raise SettingsError([f"{plan.name}: {error}"]) from error
    stock.turn(offset)
    requests = stock.endless()
    own, other = (
        scenario_for(one, transport, signature, pool=map(itemgetter(place), requests), stock=stock, offset=offset)
        for place, (one, transport, signature) in enumerate(zip((plan, theirs), transports, signatures, strict=True))
    )
    key = PairedKey(own.name, own.protocol, other.name, other.protocol)
    own.pairing = Pairing(other, requests, turns(len(stock)), key)
    return own


def _asked_both(plan: Blueprint, theirs: Blueprint, transports: list[Transport[Any]]) -> tuple[Signature, Signature]:
    """Both signatures, which take the same inputs. Raises SettingsError."""
    signatures, problems = [], []
    for one, transport in zip((plan, theirs), transports, strict=True):
        try:
            signatures.append(asked(one, transport))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    own_signature, other_signature = signatures
    if unlike := _unlike(own_signature, other_signature):
        raise SettingsError([f"{plan.name}: cannot be compared with {theirs.name}: {unlike}"])
    return own_signature, other_signature


def _stock(
    plan: Blueprint,
    theirs: Blueprint,
    own_signature: Signature,
    other_signature: Signature,
    transports: list[Transport[Any]],
) -> Pool[tuple[Ready, Ready]]:
    own_transport, other_transport = transports
    ready = prepared(plan, own_transport)
    other_ready = prepared(theirs, other_transport)

    def both(payload: Payload) -> tuple[Ready, Ready]:
        return ready(payload), other_ready(Payload(payload.against, payload.rows))

    return stocked(plan, own_signature, both, encode_against=encoder(theirs, other_signature))


def _is_ours(given: Any) -> bool:
    return isinstance(given, type) and isinstance(getattr(given, "protocol", None), str)


def _misused(user_class: type[PredictUser], other: Any) -> list[str]:
    """What is wrong with ``other`` as a class to be compared with."""
    name = user_class.__name__
    if not _is_ours(other):
        return [f"{name}: `against` is {other!r}: expected a subclass of GrpcPredictUser or RestPredictUser"]
    if other.against is not None or other.__name__ == name:
        return [f"{name}: `against` is {other.__name__}, which is compared itself: expected one that is not"]
    return [
        f"{other.__name__}: `{attribute}` is {getattr(other, attribute)!r}: {name} is compared with it, and says what "
        f"both send and when: set it there"
        for attribute in _OF_PARTNER
        if getattr(other, attribute) is not None
    ]


def _filled(other: type[PredictUser], user_class: type[PredictUser]) -> Any:
    """The compared class, as far as a blueprint reads it: what it leaves open is as its partner has it."""
    said = {name: getattr(user_class, name) for name in _LEFT_OPEN}
    if other.version is not None or other.version_label is not None:
        said["version"] = said["version_label"] = None
    said |= {name: value for name in _LEFT_OPEN if (value := getattr(other, name)) is not None}
    said |= dict.fromkeys((*_OF_PARTNER, "against"))
    return SimpleNamespace(__name__=other.__name__, protocol=other.protocol, host=other.host, tasks=(), **said)


def _unlike(own: Signature, other: Signature) -> str:
    """How the inputs of two signatures differ; empty where the same inputs will do for both."""
    ours, theirs = ({spec.name: spec.dtype.name for spec in signature.inputs} for signature in (own, other))
    if ours == theirs:
        return ""
    told = [", ".join(f"{name}: {kind}" for name, kind in inputs.items()) for inputs in (ours, theirs)]
    return f"its inputs are {told[0]}, the other's {told[1]}"
