"""One user class's part in a run: what it asks of which server, ready to be sent.

A :class:`Blueprint` is what the class and the options say; :func:`open_scenario` asks the server, makes the payloads
and gives a :class:`Scenario`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from tfs_locust.judge.slo import Objective, ObjectiveError, parse_objectives
from tfs_locust.load.corpus import CorpusError, assumed_dims, synthetic_corpus
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.swarm.settings import BETWEEN, HIGHEST_VERSION, LONGEST_S, Settings, SettingsError
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.control import CallFailed, Control, GrpcControl, RestControl, TargetError, resolve
from tfs_locust.tfserving.protos import PREDICT
from tfs_locust.tfserving.signature import DEFAULT_SIGNATURE, Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.address import Address, AddressError, parse_address
from tfs_locust.transport.base import Endpoint, Reply, Transport, asking
from tfs_locust.transport.grpc_library import GrpcLibrary
from tfs_locust.transport.rest_library import RestLibrary
from tfs_locust.transport.tls import Tls

if TYPE_CHECKING:
    from tfs_locust.swarm.users import PredictUser

DEFAULT_MODEL = "default"  # tensorflow_model_server's own
DEFAULT_TIMEOUT_S = 10.0
DEFAULT_PAYLOADS = 64
_CONTROL_TIMEOUT_S = 10.0

_TRANSPORTS: dict[str, Callable[[Endpoint], Transport[Any]]] = {"grpc": GrpcLibrary, "rest": RestLibrary}
_CONTROLS: dict[str, Callable[[Any], Control]] = {"grpc": GrpcControl, "rest": RestControl}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= HIGHEST_VERSION


def _is_timeout(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) <= LONGEST_S


_ATTRIBUTES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "model": ("a name", _is_name),
    "version": ("a whole number of at least 0", lambda value: _is_whole(value, 0)),
    "version_label": ("a name", _is_name),
    "signature": ("a name", _is_name),
    "rows": ("a whole number of at least 1", lambda value: _is_whole(value, 1)),
    "payloads": ("a whole number of at least 1", lambda value: _is_whole(value, 1)),
    "timeout_s": ("a number of seconds above zero, a day at most", _is_timeout),
}
"""What a user class may set, and what it must be."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What a user class is to do, before any server was asked."""

    name: str
    address: Address
    endpoint: Endpoint
    target: Target
    rows: int
    timeout_s: float
    payloads: int
    seed: int
    dims: dict[str, tuple[int, ...]]


def blueprint(user_class: type[PredictUser], settings: Settings, host: str | None) -> Blueprint:
    """Join a class's attributes with the options, the class going first. Raises SettingsError with every problem."""
    problems = []
    address = None
    try:
        address = parse_address(str(host or user_class.host or ""), user_class.protocol)
    except AddressError as error:
        problems.append(f"{user_class.__name__}: {error}; give it with --host or as the class's `host`")
    version = _first(user_class.version, settings.version if user_class.version_label is None else None)
    label = _first(user_class.version_label, settings.version_label if user_class.version is None else None)
    if user_class.version is not None and user_class.version_label is not None:
        problems.append(f"{user_class.__name__}: `version` and `version_label` exclude each other: set one of them")
    for attribute, (expected, fits) in _ATTRIBUTES.items():
        value = getattr(user_class, attribute)
        if value is not None and not fits(value):
            problems.append(f"{user_class.__name__}: `{attribute}` is {value!r}: expected {expected}")
    if problems or address is None:
        raise SettingsError(problems)
    target = Target(
        model=_first(user_class.model, settings.model) or DEFAULT_MODEL,
        version=version,
        label=label,
        signature=_first(user_class.signature, settings.signature) or DEFAULT_SIGNATURE,
    )
    tls: Tls | None = settings.tls if address.secure else None
    return Blueprint(
        name=user_class.__name__,
        address=address,
        endpoint=Endpoint(address.host, address.port, tls, tuple(settings.headers.items())),
        target=target,
        rows=_first(user_class.rows, settings.rows) or 1,
        timeout_s=_first(user_class.timeout_s, settings.timeout_s) or DEFAULT_TIMEOUT_S,
        payloads=_first(user_class.payloads, settings.payloads) or DEFAULT_PAYLOADS,
        seed=settings.seed,
        dims=settings.dims,
    )


def objectives_of(user_classes: Iterable[type[PredictUser]], settings: Settings) -> tuple[Objective, ...]:
    """The options' objectives, then those of the classes, each for its own requests. Raises ObjectiveError."""
    found, faults = list(settings.objectives), []
    for user_class in user_classes:
        given = user_class.slo or ()
        texts = BETWEEN.join([given] if isinstance(given, str) else given).split(BETWEEN)
        try:
            found += [_of_class(user_class.__name__, one) for one in parse_objectives(filter(str.strip, texts))]
        except ObjectiveError as error:
            faults += error.faults
    if faults:
        raise ObjectiveError(faults)
    return tuple(found)


def _of_class(scenario: str, objective: Objective) -> Objective:
    if any(field == "scenario" for field, _ in objective.scope):
        return objective
    between = ", " if objective.scope else ": "
    return replace(
        objective,
        expression=f"scenario={scenario}{between}{objective.expression}",
        scope=(("scenario", scenario), *objective.scope),
    )


def _first(own: Any, given: Any) -> Any:
    return given if own is None else own


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
    pool: Iterator[tuple[Any, int, int]]
    """Endless: prepared request, rows in it, bytes of its body."""
    pool_bytes: int
    assumed: list[str]
    """Inputs whose open inner dimensions nobody gave and that were taken as 1."""
    _versions: dict[bytes, str] = field(default_factory=dict)
    _keys: dict[tuple[str, Outcome], Key] = field(default_factory=dict)

    def prepare(self, inputs: codec.Inputs | bytes) -> tuple[Any, int, int]:
        """A request from inputs (arrays by name) or an encoded body (taken as one row). Raises codec.CodecError."""
        if isinstance(inputs, bytes):
            return self.transport.prepare(self.path, inputs), 1, len(inputs)
        inputs = {name: np.asarray(value) for name, value in inputs.items()}  # lists and numbers will do
        body = _encoder(self.protocol, self.target, self.signature)(inputs)
        return self.transport.prepare(self.path, body), codec.rows_of(self.signature, inputs), len(body)

    def key(self, reply: Reply) -> Key:
        """What the reply is counted under."""
        if self.protocol == "grpc" and reply.outcome is Outcome.OK:
            version = codec.served_version(reply.body, self._versions)
        else:
            version = "" if self.target.version is None else str(self.target.version)
        key = self._keys.get((version, reply.outcome))
        if key is None:
            key = Key(self.name, self.protocol, self.target.model, version, reply.outcome)
            self._keys[version, reply.outcome] = key
        return key

    def decode(self, body: bytes) -> codec.Answer:
        """The outputs in an answer. Raises codec.CodecError."""
        if self.protocol == "grpc":
            return codec.decode_grpc(body)
        return codec.decode_rest(body, self.signature)


def _encoder(protocol: str, target: Target, signature: Signature) -> Callable[[codec.Inputs], bytes]:
    return partial(codec.encode_grpc if protocol == "grpc" else codec.encode_rest, target, signature)


def open_transport(address: Address, endpoint: Endpoint) -> Transport[Any]:
    """The transport for an address's protocol; it connects when it is first called."""
    return _TRANSPORTS[address.protocol](endpoint)


def control_over(transport: Transport[Any], address: Address) -> Control:
    """Ask ``transport``'s server about its models."""
    ask = asking(transport, _CONTROL_TIMEOUT_S)
    return _CONTROLS[address.protocol](lambda path, body: ask(address.prefix + path, body))


def open_scenario(
    plan: Blueprint, transport: Transport[Any], *, offset: int = 0, pause: Callable[[], None] = lambda: None
) -> Scenario:
    """Ask the server for the signature, make the payloads, prepare them. Raises SettingsError.

    ``offset`` turns the pool, so that workers do not send the same payloads at the same time. ``pause`` is called after
    each payload: making many large ones takes seconds, in which heartbeats must flow.
    """
    signature = _signature(plan, transport)
    protocol = plan.address.protocol
    encode = _encoder(protocol, plan.target, signature)

    def encode_and_pause(inputs: codec.Inputs) -> bytes:
        body = encode(inputs)
        pause()
        return body

    try:
        corpus = synthetic_corpus(
            signature, rows=plan.rows, dims=plan.dims, count=plan.payloads, seed=plan.seed, encode=encode_and_pause
        )
    except (CorpusError, codec.CodecError) as error:
        raise SettingsError([f"{plan.name}: {error}"]) from error
    path = PREDICT if protocol == "grpc" else plan.address.prefix + plan.target.rest_path(":predict")
    requests = [(transport.prepare(path, p.body), p.rows, len(p.body)) for p in corpus.payloads]
    turn = offset % len(requests)
    return Scenario(
        name=plan.name,
        protocol=protocol,
        target=plan.target,
        signature=signature,
        transport=transport,
        path=path,
        timeout_s=plan.timeout_s,
        request_name=_request_name(plan.target),
        pool=itertools.cycle(requests[turn:] + requests[:turn]),
        pool_bytes=corpus.body_bytes,
        assumed=assumed_dims(signature, plan.dims),
    )


def _signature(plan: Blueprint, transport: Transport[Any]) -> Signature:
    try:
        return resolve(control_over(transport, plan.address), plan.target)
    except TargetError as error:
        raise SettingsError([f"{plan.name}: {error}"]) from error
    except CallFailed as failure:
        interface, other = ("gRPC", "REST") if plan.address.protocol == "grpc" else ("REST", "gRPC")
        problem = (
            f"{plan.name}: no answer from {plan.endpoint.authority} ({failure}); is the server running, "
            f"and is this its {interface} port, not its {other} port?"
        )
        raise SettingsError([problem]) from failure


def _request_name(target: Target) -> str:
    name = f"predict {target.model}"
    if target.version is not None:
        name += f"/{target.version}"
    if target.label is not None:
        name += f"@{target.label}"
    if target.signature != DEFAULT_SIGNATURE:
        name += f":{target.signature}"
    return name
