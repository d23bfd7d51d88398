"""A user class whose requests go to several targets: a scenario for each, the same payloads for all.

Inputs are encoded once. Over gRPC what differs is the model_spec, which is put in front of them; over REST it is the
path. Each target goes through the payloads in a circle of its own: with one circle for all, some targets would get some
payloads, and other targets others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import gevent
from gevent.pool import Pool as Greenlets

from tfs_locust.judge.canary import Pair
from tfs_locust.load.corpus import CorpusError, Payload
from tfs_locust.load.pool import MOST_BYTES
from tfs_locust.load.traffic import newest_two
from tfs_locust.load.turns import turns
from tfs_locust.measure.sample import Outcome
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.scenario import Ready, Scenario, asked, control_over, scenario_for, stocked
from tfs_locust.swarm.settings import SettingsError
from tfs_locust.swarm.traffics import baseline_only, split_of, weights_at
from tfs_locust.tfserving.codec import CodecError, spec_field, without_spec
from tfs_locust.tfserving.control import CallFailed
from tfs_locust.tfserving.signature import Signature
from tfs_locust.transport.base import Transport

_ASKED_AT_A_TIME = 3
"""More a server on one CPU does not execute at a time, and refuses (grpc_max_threads is 4 for each CPU by default)."""
_ASKED_AGAIN_S = [0.01 * 2**time for time in range(9)]
"""After such a refusal, since other workers ask at the same time."""
_MOST_TOLD = 20
_OVERHEAD = 700  # bytes of Python objects for each prepared request, about


class Turns:
    """The scenarios of a class's targets, in turn, each with its share; without end."""

    def __init__(self, scenarios: Sequence[Scenario], plan: Blueprint) -> None:
        self._scenarios, self._plan = tuple(scenarios), plan
        self._weights: tuple[int, ...] = ()
        self.follow(0, given_up=False)

    def follow(self, stage: int, *, given_up: bool) -> None:
        """A stage of the ramp, if there is one, is reached, or the canaries are given up. Shares are counted from here
        on, unless they stay as they are."""
        weights = baseline_only(self._plan) if given_up else weights_at(self._plan, stage)
        if weights != self._weights:
            self._weights = weights
            self._places = turns(weights)

    def __next__(self) -> Scenario:
        return self._scenarios[next(self._places)]


class Room:
    """Bytes that prepared requests may fill, together."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, size: int) -> bool:
        """Whether there was room for so many more; it is taken then."""
        fits = size <= self._left
        self._left -= size if fits else 0
        return fits


def circle(shared: Sequence[Ready], make: Callable[[Ready], Ready], room: Room) -> Iterator[Ready]:
    """What ``make`` makes of what all targets share, without end. It is made when it is first sent and kept as long as
    there is room; without room it is made anew each time."""
    made: list[Ready | None] = [None] * len(shared)
    while True:
        for place, one in enumerate(shared):
            ready = made[place]
            if ready is None:
                ready = make(one)
                if room.take(ready[2] + _OVERHEAD):
                    made[place] = ready
            yield ready


def open_spread(
    plan: Blueprint,
    transport: Transport[Any],
    *,
    offset: int = 0,
    pause: Callable[[], None] = lambda: None,
    most_bytes: int = MOST_BYTES,
) -> Scenario:
    """As :func:`~tfs_locust.swarm.scenario.open_scenario`, with a scenario for each target in it.

    Prepared requests fill ``most_bytes`` at most, beside the payloads that they are made of.
    """
    plan = settled(plan, transport)
    signatures = asked_all(plan, transport)
    plans = _plans(plan)
    grpc = plan.address.protocol == "grpc"
    try:
        stock = stocked(plans[0], signatures[0], _without_spec if grpc else _as_it_is)
        stock.fill(pause)
    except CorpusError as error:
        raise SettingsError([f"{plan.name}: {error}"]) from error
    stock.turn(offset)
    room, shared = Room(most_bytes), stock.held
    scenarios = []
    for place, (one, signature) in enumerate(zip(plans, signatures, strict=True)):
        # not all are to have the same of their answers checked
        scenario = scenario_for(one, transport, signature, pool=iter(()), stock=stock, offset=offset + place)
        scenario.spec = spec_field(one.target) if grpc else b""
        make = partial(_prepared, transport, scenario.path, scenario.spec)
        scenario.pool = circle(shared, make, room) if stock.whole else map(make, stock)
        scenario.request_name = _request_name(plans)
        scenarios.append(scenario)
    models = {one.target.model for one in plans}
    lead = replace(plan, target=replace(plan.target, model=models.pop() if len(models) == 1 else ""))
    whole = scenario_for(lead, transport, signatures[0], pool=iter(()), stock=stock, offset=offset)
    whole.request_name = _request_name(plans)
    whole.targets, whole.turns = tuple(scenarios), Turns(scenarios, plan)
    return whole


def settled(plan: Blueprint, transport: Transport[Any]) -> Blueprint:
    """The plan with its targets known: where ``auto`` leaves them open the server is asked. Raises SettingsError."""
    traffic = plan.traffic
    if traffic is None or traffic.auto_share is None:
        return plan
    asked(plan, transport)  # which tells best what is wrong with the server or the model
    try:
        statuses = control_over(transport, plan.address).status(plan.target.model)
    except CallFailed as failure:
        raise SettingsError([f"{plan.name}: {failure}"]) from failure
    newest = [one.version for one in statuses if one.state == "AVAILABLE"]
    if len(newest) < 2:
        raise SettingsError(
            [
                f"{plan.name}: traffic {traffic.text!r} is over the two newest versions of model "
                f"{plan.target.model!r}, of which the server has: {', '.join(map(str, statuses))}; let it serve two "
                "(model_version_policy, or --model_config_file of tfs-locust serve), or name the versions with "
                "--tfs-traffic"
            ]
        )
    return replace(plan, traffic=newest_two(newest[0], newest[1], traffic.auto_share))


def pairs_of(plan: Blueprint, transport: Transport[Any]) -> list[Pair]:
    """The baselines and canaries of a settled plan's traffic, as their samples are counted (see Key). Raises
    SettingsError where the server has to be asked, and does not tell."""
    plans = _plans(plan)

    def version(one: Blueprint) -> str:
        if one.target.version is not None:
            return str(one.target.version)
        if plan.address.protocol == "rest":
            return "" if one.target.label is None else f"@{one.target.label}"
        return str(asked(one, transport).version)

    return [
        Pair(plans[one.baseline].target.model, version(plans[one.baseline]), version(plans[one.canary]))
        for one in split_of(plan)
    ]


def asked_all(plan: Blueprint, transport: Transport[Any]) -> list[Signature]:
    """The signatures of all targets, which take the same inputs. Raises SettingsError with all that is wrong."""
    plans = _plans(settled(plan, transport))
    problems: dict[str, None] = {}
    signatures: list[Signature] = []

    def ask(one: Blueprint) -> Signature | SettingsError:
        for wait_s in (*_ASKED_AGAIN_S, None):
            try:
                return asked(one, transport)
            except SettingsError as error:
                failure = error.__cause__
                busy = isinstance(failure, CallFailed) and failure.outcome is Outcome.SERVER_THREADS_EXHAUSTED
                if wait_s is None or not busy:
                    return error
                gevent.sleep(wait_s)
        raise AssertionError

    first = ask(plans[0])  # alone: a server that is not there is asked once
    if isinstance(first, SettingsError) and isinstance(first.__cause__, CallFailed):
        raise first
    for found in (first, *Greenlets(_ASKED_AT_A_TIME).map(ask, plans[1:])):
        if isinstance(found, Signature):
            signatures.append(found)
        else:
            problems |= dict.fromkeys(found.problems)
    unlike = "" if problems else _unlike(plans, signatures)
    if unlike:
        problems[f"{plan.name}: {unlike}"] = None
    if problems:
        told = list(problems)
        more = [f"{plan.name}: and {len(told) - _MOST_TOLD} more targets like these"] * (len(told) > _MOST_TOLD)
        where = f"{plan.name}: its traffic is {str(plan.traffic)!r}: change it with --tfs-traffic, or in the class"
        raise SettingsError([*told[:_MOST_TOLD], *more, *([] if unlike else [where])])
    return signatures


def _plans(plan: Blueprint) -> list[Blueprint]:
    """One for each target."""
    assert plan.traffic is not None
    targets = plan.traffic.targets(plan.target.model, plan.target.signature)
    return [replace(plan, target=target) for target in targets]


def _unlike(plans: Sequence[Blueprint], signatures: Sequence[Signature]) -> str:
    """Which targets take other inputs than the first; empty where none does."""
    others: dict[str, list[str]] = {}
    for one, signature in zip(plans, signatures, strict=True):
        if signature.inputs != signatures[0].inputs:
            others.setdefault("; ".join(map(str, signature.inputs)), []).append(str(one.target))
    if not others:
        return ""
    told = " ".join(
        f"{', '.join(targets[:5])}{f' and {len(targets) - 5} more' if len(targets) > 5 else ''}: {inputs}."
        for inputs, targets in others.items()
    )
    first = "; ".join(map(str, signatures[0].inputs))
    return f"one payload cannot be for all of its traffic: {plans[0].target} takes {first}. {told} Use a class for each"


def _request_name(plans: Sequence[Blueprint]) -> str:
    models = list(dict.fromkeys(one.target.model for one in plans))
    return f"predict {models[0]} ({len(plans)} targets)" if len(models) == 1 else f"predict {len(models)} models"


def _without_spec(payload: Payload) -> Ready:
    try:
        body = without_spec(payload.body)
    except CodecError as error:
        raise CorpusError(str(error)) from error
    return body, payload.rows, len(body)


def _as_it_is(payload: Payload) -> Ready:
    return payload.body, payload.rows, len(payload.body)


def _prepared(transport: Transport[Any], path: str, spec: bytes, shared: Ready) -> Ready:
    body = spec + shared[0]
    return transport.prepare(path, body), shared[1], len(body)
