"""One user class's part in a run: what it asks of which server, ready to be sent.

:func:`open_scenario` asks the server, makes the payloads and gives a :class:`Scenario`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tfs_locust.load.corpus import CorpusError, assumed_dims, synthetic_corpus
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

_NEVER = 1 << 62
_CONTROL_TIMEOUT_S = 10.0

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
    pool: Iterator[tuple[Any, int, int]]
    """Endless: prepared request, rows in it, bytes of its body."""
    pool_bytes: int
    assumed: list[str]
    """Inputs whose open inner dimensions nobody gave and that were taken as 1."""
    check_share: float = 0.0
    """The share of answers that are decoded and compared with the signature and what is expected."""
    expected: dict[str, Expected] = field(default_factory=dict)
    checked: int = 0
    """Answers that were."""
    _random: random.Random = field(default_factory=random.Random)
    _until_check: int = 0
    _versions: dict[bytes, str] = field(default_factory=dict)
    _keys: dict[tuple[str, Outcome], Key] = field(default_factory=dict)
    _tail: bytes | None = None
    """What the last good answer ended with that says which version served it, and what such answers count under."""
    _tail_key: Key | None = None

    def __post_init__(self) -> None:
        self._until_check = self._gap()

    def prepare(self, inputs: codec.Inputs | bytes) -> tuple[Any, int, int]:
        """A request from inputs (arrays by name) or an encoded body (taken as one row). Raises codec.CodecError."""
        if isinstance(inputs, bytes):
            return self.transport.prepare(self.path, inputs), 1, len(inputs)
        inputs = {name: np.asarray(value) for name, value in inputs.items()}  # lists and numbers will do
        body = _encoder(self.protocol, self.target, self.signature)(inputs)
        return self.transport.prepare(self.path, body), codec.rows_of(self.signature, inputs), len(body)

    def examine(self, reply: Reply) -> tuple[Reply, Key]:
        """The reply as it is to be counted, and under what: an answer that is not what was asked for has failed."""
        if reply.outcome is Outcome.OK:
            self._until_check -= 1
            if self._until_check < 0:
                reply = self._check(reply)
            if self._tail is not None and reply.outcome is Outcome.OK and reply.body.endswith(self._tail):
                return reply, self._tail_key  # type: ignore[return-value]  # they are set together
        version = "" if self.target.version is None else str(self.target.version)
        if self.protocol == "grpc" and reply.outcome is Outcome.OK:
            served = codec.served_version(reply.body, self._versions)
            if version and served and served != version:
                detail = f"version {served} answered where {version} was asked"
                reply = reply._replace(outcome=Outcome.BAD_ANSWER, detail=detail)
            else:
                version = served
        key = self._keys.get((version, reply.outcome))
        if key is None:
            key = Key(self.name, self.protocol, self.target.model, version, reply.outcome)
            self._keys[version, reply.outcome] = key
        if reply.outcome is Outcome.OK:
            tail = codec.version_tail(reply.body) if self.protocol == "grpc" else b""
            self._tail, self._tail_key = (tail, key) if tail or self.protocol == "rest" else (None, None)
        return reply, key

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


def _encoder(protocol: str, target: Target, signature: Signature) -> Callable[[codec.Inputs], bytes]:
    return partial(codec.encode_grpc if protocol == "grpc" else codec.encode_rest, target, signature)


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
    if unknown := unknown_outputs(signature, plan.expected):
        raise SettingsError([f"{plan.name}: {problem}" for problem in unknown])
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
        check_share=plan.check,
        expected=plan.expected,
        _random=random.Random(f"{plan.seed} {offset}"),
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
