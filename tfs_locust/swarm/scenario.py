"""One user class's part in a run: what it asks of which server, ready to be sent.

:func:`open_scenario` asks the server, makes the payloads and gives a :class:`Scenario`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tfs_locust.load.arrival import Arrival, closed
from tfs_locust.load.corpus import CorpusError, Payload, assumed_dims
from tfs_locust.load.pool import Pool
from tfs_locust.load.rows import Rows
from tfs_locust.load.sources import SYNTHETIC, open_source
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.settings import SettingsError
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.control import CallFailed, Control, GrpcControl, RestControl, TargetError, resolve
from tfs_locust.tfserving.expectation import Expected, fault_in, unknown_outputs
from tfs_locust.tfserving.protos import PREDICT
from tfs_locust.tfserving.signature import DEFAULT_SIGNATURE, Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.address import Address
from tfs_locust.transport.base import Reply, Transport, asking

if TYPE_CHECKING:
    from tfs_locust.swarm.pairing import Pairing
    from tfs_locust.swarm.spreading import Turns

_NEVER = 1 << 62
_CONTROL_TIMEOUT_S = 10.0
DEFAULT_PAYLOADS = 64
_MOST_PAYLOADS = 10_000
"""That are made for a mix of rows or a trace to be exact."""

Stocked = TypeVar("Stocked")
Ready = tuple[Any, int, int]
"""A prepared request, the rows in it, the bytes of its body."""

_CONTROLS: dict[str, Callable[[Any], Control]] = {"grpc": GrpcControl, "rest": RestControl}


@dataclass(slots=True)
class Scenario:
    """A user class's requests, prepared, and the transport that carries them; shared by all users of the class."""

    name: str
    protocol: str
    target: Target
    signature: Signature
    transport: Transport[Any]
    path: str
    timeout_s: float
    request_name: str
    """What Locust's statistics call it."""
    pool: Iterator[Ready]
    """Without end."""
    stock: Pool[Any]
    """What the pool hands out; to be refilled beside the sending, unless it is whole."""
    source: str
    """What the payloads are."""
    assumed: list[str]
    """Inputs whose open inner dimensions nobody gave and that were taken as 1."""
    arrival: Arrival = field(default_factory=closed)
    max_in_flight: int = 1
    """Of each user, in an open loop."""
    check_share: float = 0.0
    """The share of answers that are decoded and compared with the signature and what is expected."""
    expected: dict[str, Expected] = field(default_factory=dict)
    checked: int = 0
    """Answers that were."""
    pairing: Pairing | None = None
    """What the requests are compared with, if anything."""
    spec: bytes = b""
    """Over gRPC the model_spec of bodies that go to one of several targets."""
    targets: tuple[Scenario, ...] = ()
    """Where there are several, a scenario for each: they send the requests, in turn."""
    turns: Turns | None = None
    """Whose turn it is of the targets."""
    label_version: str = ""
    """The version that answered last: what a label stands for."""
    _random: random.Random = field(default_factory=random.Random)
    _until_check: int = 0
    _versions: dict[bytes, str] = field(default_factory=dict)
    _keys: dict[tuple[str, Outcome], Key] = field(default_factory=dict)
    _tail: bytes | None = None
    """What the last good answer ended with that says which version served it, and what such answers count under."""
    _tail_key: Key | None = None

    def __post_init__(self) -> None:
        self._until_check = self._gap()

    def prepare(self, inputs: codec.Inputs | bytes) -> Ready:
        """A request from inputs (arrays by name) or an encoded body (taken as one row). Raises codec.CodecError."""
        if isinstance(inputs, bytes):
            if self.spec:
                inputs = self.spec + codec.without_spec(inputs)
            return self.transport.prepare(self.path, inputs), 1, len(inputs)
        inputs = {name: np.asarray(value) for name, value in inputs.items()}  # lists and numbers will do
        encode = codec.encode_grpc if self.protocol == "grpc" else codec.encode_rest
        body = encode(self.target, self.signature, inputs)
        return self.transport.prepare(self.path, body), codec.rows_of(self.signature, inputs), len(body)

    def examine(self, reply: Reply) -> tuple[Reply, Key]:
        """The reply as it is to be counted, and under what: an answer that is not what was asked for has failed."""
        if reply.outcome is Outcome.OK:
            self._until_check -= 1
            if self._until_check < 0:
                reply = self._check(reply)
            if self._tail is not None and reply.outcome is Outcome.OK and reply.body.endswith(self._tail):
                return reply, self._tail_key  # type: ignore[return-value]  # they are set together
        version = self.asked_version
        if self.protocol == "grpc" and reply.outcome is Outcome.OK:
            served = codec.served_version(reply.body, self._versions)
            if self.target.version is not None and served and served != version:
                detail = f"version {served} answered where {version} was asked"
                reply = reply._replace(outcome=Outcome.BAD_ANSWER, detail=detail)
            else:
                version = self.label_version = served
        key = self.key(version, reply.outcome)
        if reply.outcome is Outcome.OK:
            tail = codec.version_tail(reply.body) if self.protocol == "grpc" else b""
            self._tail, self._tail_key = (tail, key) if tail or self.protocol == "rest" else (None, None)
        return reply, key

    @property
    def asked_version(self) -> str:
        """What stands for a version where no answer tells one; see :class:`Key`."""
        if self.target.label is not None:
            return self.label_version if self.protocol == "grpc" else f"@{self.target.label}"
        return "" if self.target.version is None else str(self.target.version)

    def key(self, version: str, outcome: Outcome) -> Key:
        """What this scenario's samples of a version and an outcome count under."""
        key = self._keys.get((version, outcome))
        if key is None:
            key = self._keys[version, outcome] = Key(self.name, self.protocol, self.target.model, version, outcome)
        return key

    def _gap(self) -> int:
        """Answers to leave out until the next check: as if each were checked by chance, which costs more to ask."""
        if self.check_share >= 1:
            return 0
        if self.check_share <= 0:
            return _NEVER
        return int(math.log(1 - self._random.random()) / math.log1p(-self.check_share))

    def _check(self, reply: Reply) -> Reply:
        self._until_check = self._gap()
        self.checked += 1
        try:
            fault = fault_in(self.decode(reply.body).outputs, self.signature, self.expected)
        except codec.CodecError as error:
            fault = str(error)
        return reply._replace(outcome=Outcome.BAD_ANSWER, detail=fault) if fault else reply

    def decode(self, body: bytes) -> codec.Answer:
        """The outputs in an answer. Raises codec.CodecError."""
        if self.protocol == "grpc":
            return codec.decode_grpc(body)
        return codec.decode_rest(body, self.signature)


def encoder(plan: Blueprint, signature: Signature) -> Callable[[codec.Inputs], bytes]:
    """What makes bodies for the plan's server."""
    encode = codec.encode_grpc if plan.address.protocol == "grpc" else codec.encode_rest
    return partial(encode, plan.target, signature)


def control_over(transport: Transport[Any], address: Address, timeout_s: float = _CONTROL_TIMEOUT_S) -> Control:
    """Ask ``transport``'s server about its models."""
    ask = asking(transport, timeout_s)
    return _CONTROLS[address.protocol](lambda path, body: ask(address.prefix + path, body))


def open_scenario(
    plan: Blueprint, transport: Transport[Any], *, offset: int = 0, pause: Callable[[], None] = lambda: None
) -> Scenario:
    """Ask the server for the signature, make the payloads, prepare them. Raises SettingsError.

    ``offset`` turns the pool, so that workers do not send the same payloads at the same time. ``pause`` is called after
    each payload: making many large ones takes seconds, in which heartbeats must flow.
    """
    signature = asked(plan, transport)
    try:
        stock = stocked(plan, signature, prepared(plan, transport))
        stock.fill(pause)
    except CorpusError as error:
        raise SettingsError([f"{plan.name}: {error}"]) from error
    stock.turn(offset)
    return scenario_for(plan, transport, signature, pool=stock.endless(), stock=stock, offset=offset)


def scenario_for(
    plan: Blueprint,
    transport: Transport[Any],
    signature: Signature,
    *,
    pool: Iterator[Ready],
    stock: Pool[Any],
    offset: int,
) -> Scenario:
    """The scenario, of parts that are there."""
    return Scenario(
        name=plan.name,
        protocol=plan.address.protocol,
        target=plan.target,
        signature=signature,
        transport=transport,
        path=path_of(plan),
        timeout_s=plan.timeout_s,
        request_name=_request_name(plan.target),
        pool=pool,
        stock=stock,
        source=stock.source.describe(),
        assumed=assumed_dims(signature, plan.dims) if plan.payload is None or plan.payload == SYNTHETIC else [],
        arrival=plan.arrival,
        max_in_flight=plan.max_in_flight,
        check_share=plan.check,
        expected=plan.expected,
        label_version=str(signature.version),
        _random=random.Random(f"{plan.seed} {offset}"),
    )


def stocked(
    plan: Blueprint,
    signature: Signature,
    prepare: Callable[[Payload], Stocked],
    encode_against: Callable[[codec.Inputs], bytes] | None = None,
) -> Pool[Stocked]:
    """A pool of the plan's payloads, to be filled. Raises CorpusError for what cannot be a source."""
    source = open_source(
        plan.payload,
        signature,
        plan.rows.sequence(plan.seed),
        plan.seed,
        encoder(plan, signature),
        dims=plan.dims,
        grpc_target=plan.target if plan.address.protocol == "grpc" else None,
        encode_against=encode_against,
    )

    def checked(payload: Payload) -> Stocked:
        if plan.most_rows is not None and payload.rows > plan.most_rows:
            raise CorpusError(f"{source.describe()}: a request of {too_large(payload.rows, plan.most_rows)}")
        return prepare(payload)

    whole_mix = 1 if source.own_rows else _requests_of_a_mix(plan.rows)
    most = plan.payloads
    if most is None and source.made:
        most = -(-DEFAULT_PAYLOADS // whole_mix) * whole_mix
    return Pool(source, checked, most=most, least=min(whole_mix, most or whole_mix))


def _requests_of_a_mix(rows: Rows) -> int:
    """After how many requests every size has had its share, or a trace is at its end."""
    return min(len(rows.trace) or sum(count for _, count in rows.block), _MOST_PAYLOADS)


def prepared(plan: Blueprint, transport: Transport[Any]) -> Callable[[Payload], Ready]:
    """What makes payloads ready for the plan's server."""
    path = path_of(plan)
    return lambda payload: (transport.prepare(path, payload.body), payload.rows, len(payload.body))


def path_of(plan: Blueprint) -> str:
    """The gRPC method or URL path that predicts for the plan's target."""
    return PREDICT if plan.address.protocol == "grpc" else plan.address.prefix + plan.target.rest_path(":predict")


def too_large(rows: int | str, most_rows: int) -> str:
    """What is wrong with requests of so many rows."""
    return (
        f"{rows} rows is above max_batch_size {most_rows} and would be refused by the server; send fewer rows, or say "
        "--tfs-allow-too-large to see that"
    )


def asked(plan: Blueprint, transport: Transport[Any]) -> Signature:
    """What the server says of the plan's target. Raises SettingsError."""
    try:
        signature = resolve(control_over(transport, plan.address), plan.target)
    except TargetError as error:
        raise SettingsError([f"{plan.name}: {error}"]) from error
    except CallFailed as failure:
        interface, other = ("gRPC", "REST") if plan.address.protocol == "grpc" else ("REST", "gRPC")
        problem = (
            f"{plan.name}: no answer from {plan.endpoint.authority} ({failure}); is the server running, "
            f"and is this its {interface} port, not its {other} port?"
        )
        raise SettingsError([problem]) from failure
    if unknown := unknown_outputs(signature, plan.expected):
        raise SettingsError([f"{plan.name}: {problem}" for problem in unknown])
    return signature


def _request_name(target: Target) -> str:
    name = f"predict {target.model}"
    if target.version is not None:
        name += f"/{target.version}"
    if target.label is not None:
        name += f"@{target.label}"
    if target.signature != DEFAULT_SIGNATURE:
        name += f":{target.signature}"
    return name
