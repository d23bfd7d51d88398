"""What a user class and the options together say of its requests, before any server was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from tfs_locust.judge.slo import Objective, ObjectiveError, parse_objectives
from tfs_locust.load.arrival import Arrival
from tfs_locust.load.ramp import Ramp
from tfs_locust.load.rows import Rows, RowsError, parse_rows
from tfs_locust.load.traffic import Traffic
from tfs_locust.swarm.arrivals import arrival_of
from tfs_locust.swarm.settings import BETWEEN, Settings, SettingsError
from tfs_locust.swarm.traffics import traffic_of
from tfs_locust.swarm.values import HIGHEST_VERSION, LONGEST_S
from tfs_locust.tfserving.expectation import ExpectationError, Expected, expectations
from tfs_locust.tfserving.signature import DEFAULT_SIGNATURE
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.address import Address, AddressError, parse_address
from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.engine import WIRE, refusal
from tfs_locust.transport.tls import Tls

if TYPE_CHECKING:
    from tfs_locust.swarm.users import PredictUser

DEFAULT_MODEL = "default"  # tensorflow_model_server's own
DEFAULT_TIMEOUT_S = 10.0
DEFAULT_CHECK = 0.01
DEFAULT_MAX_IN_FLIGHT = 1000


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
    "payloads": ("a whole number of at least 1", lambda value: _is_whole(value, 1)),
    "max_in_flight": ("a whole number of at least 1", lambda value: _is_whole(value, 1)),
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
    rows: Rows
    timeout_s: float
    payload: Any
    """Where payloads come from, for load/sources.py; None: made up."""
    payloads: int | None
    """How many are held at a time; None: as many as the source and the rows need."""
    seed: int
    dims: dict[str, tuple[int, ...]]
    engine: str
    connections: int | None
    check: float
    """The share of answers that are decoded and compared with what is expected."""
    expected: dict[str, Expected]
    arrival: Arrival
    max_in_flight: int
    """Of each user, in an open loop."""
    traffic: Traffic | None = None
    """Where requests go to several targets; ``target`` then only says which model and signature is meant."""
    ramp: Ramp | None = None
    """How the canary's share of the traffic goes up."""
    most_rows: int | None = None
    """A request of more is not sent: the server would refuse it."""
    against: Blueprint | None = None
    """Of the class that this one is compared with: the same payloads, sent another way."""


def blueprint(
    user_class: type[PredictUser],
    settings: Settings,
    host: str | None,
    *,
    give: str = "give it with --host or as the class's `host`",
) -> Blueprint:
    """Join a class's attributes with the options, the class going first. Raises SettingsError with every problem.

    ``give`` tells what to do where no host can be used.
    """
    problems = []
    address = None
    try:
        address = parse_address(str(host or user_class.host or ""), user_class.protocol)
    except AddressError as error:
        problems.append(f"{user_class.__name__}: {error}; {give}")
    version = _first(user_class.version, settings.version if user_class.version_label is None else None)
    label = _first(user_class.version_label, settings.version_label if user_class.version is None else None)
    if user_class.version is not None and user_class.version_label is not None:
        problems.append(f"{user_class.__name__}: `version` and `version_label` exclude each other: set one of them")
    for attribute, (wanted, fits) in _ATTRIBUTES.items():
        value = getattr(user_class, attribute)
        if value is not None and not fits(value):
            problems.append(f"{user_class.__name__}: `{attribute}` is {value!r}: expected {wanted}")
    expected: dict[str, Expected] = {}
    try:
        expected = expectations(user_class.expect)
    except ExpectationError as error:
        problems.append(f"{user_class.__name__}: `expect`: {error}")
    rows = settings.rows or parse_rows("1")
    try:
        rows = rows if user_class.rows is None else _rows(user_class.rows)
    except RowsError as error:
        problems.append(f"{user_class.__name__}: `rows`: {error}")
    arrival = arrival_of(user_class, settings, problems)
    traffic, ramp = traffic_of(user_class, settings, problems)
    engine = settings.engine or WIRE
    if address is not None and (refused := refusal(address, engine, settings.connections)):
        problems.append(refused)
    if problems or address is None:
        raise SettingsError(problems)
    target = Target(
        model=_first(user_class.model, settings.model) or DEFAULT_MODEL,
        version=None if traffic else version,
        label=None if traffic else label,
        signature=_first(user_class.signature, settings.signature) or DEFAULT_SIGNATURE,
    )
    tls: Tls | None = settings.tls if address.secure else None
    return Blueprint(
        name=user_class.__name__,
        address=address,
        endpoint=Endpoint(address.host, address.port, tls, tuple(settings.headers.items())),
        target=target,
        rows=rows,
        timeout_s=_first(user_class.timeout_s, settings.timeout_s) or DEFAULT_TIMEOUT_S,
        payload=_first(user_class.payload, settings.payload),
        payloads=_first(user_class.payloads, settings.payloads),
        seed=settings.seed,
        dims=settings.dims,
        engine=engine,
        connections=settings.connections,
        check=DEFAULT_CHECK if settings.check is None else settings.check,
        expected=expected,
        arrival=arrival,
        max_in_flight=_first(user_class.max_in_flight, settings.max_in_flight) or DEFAULT_MAX_IN_FLIGHT,
        traffic=traffic,
        ramp=ramp,
    )


def _rows(given: Any) -> Rows:
    if isinstance(given, Rows):
        return given
    if isinstance(given, bool) or not isinstance(given, Integral | str):
        raise RowsError(f"{given!r}: expected a number, a text such as '1:0.7,8:0.3', or rows(...)")
    return parse_rows(str(given))


def objectives_of(user_classes: Iterable[type[PredictUser]], settings: Settings) -> tuple[Objective, ...]:
    """The options' objectives, then those of the classes, each for its own requests. Raises ObjectiveError."""
    found, faults = list(settings.objectives), []
    for user_class in user_classes:
        given = user_class.slo or ()
        texts = BETWEEN.join([given] if isinstance(given, str) else given).split(BETWEEN)
        try:
            series = [query.name for query in settings.queries]
            parsed = parse_objectives(filter(str.strip, texts), series)
            found += [_of_class(user_class.__name__, one) for one in parsed]
        except ObjectiveError as error:
            faults += error.faults
    if faults:
        raise ObjectiveError(faults)
    return tuple(found)


def _of_class(scenario: str, objective: Objective) -> Objective:
    limited = any(field == "scenario" for field, _ in objective.scope)
    if limited or not objective.may_be_limited_to("scenario"):
        return objective
    between = ", " if objective.scope else ": "
    return replace(
        objective,
        expression=f"scenario={scenario}{between}{objective.expression}",
        scope=(("scenario", scenario), *objective.scope),
    )


def _first(own: Any, given: Any) -> Any:
    return given if own is None else own
