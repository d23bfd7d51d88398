"""What the ``--tfs-*`` options say, read from text, wherever it came from.

Values arrive as text, from the command line, the environment or the web form alike, and are all read in one place, so
that all faults are found at once.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tfs_locust.judge.decide import CONFIDENCE
from tfs_locust.judge.slo import Fault, Objective, ObjectiveError, parse_objectives
from tfs_locust.judge.verdict import Limits
from tfs_locust.load.arrival import Arrival
from tfs_locust.load.profile import Profile
from tfs_locust.load.profile_kinds import ProfileError, parse_profile
from tfs_locust.load.ramp import Ramp
from tfs_locust.load.rows import Rows
from tfs_locust.load.traffic import Traffic
from tfs_locust.swarm import values
from tfs_locust.swarm.metrics_server import LOOPBACK, MetricsSettings
from tfs_locust.swarm.server_settings import AUTO, base_url, gateway_url, read_pages, read_queries
from tfs_locust.tfserving.prometheus_query import Query
from tfs_locust.transport.tls import Tls, client_context

Value = TypeVar("Value")

STATUS_INTERVAL_S = 0.5

BETWEEN = " | "
"""Stands between the items of an option that is given several times, and in the web form."""


class SettingsError(ValueError):
    """Settings that cannot be used. ``problems`` holds a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options say. None: not given, so the user class decides, or its default holds."""

    model: str | None
    version: int | None
    version_label: str | None
    signature: str | None
    rows: Rows | None
    timeout_s: float | None
    payloads: int | None
    seed: int
    dims: dict[str, tuple[int, ...]]
    headers: dict[str, str]
    tls: Tls
    """Used where the host's scheme is ``grpcs`` or ``https``."""
    objectives: tuple[Objective, ...] = ()
    confidence: float = CONFIDENCE
    warmup_s: float = 0.0
    drain_s: float | None = None
    report: Path | None = None
    markdown: bool = False
    """What is printed at the end is the report's summary in this form."""
    abort_on_fail: bool = False
    limits: Limits = field(default_factory=Limits)
    engine: str | None = None
    connections: int | None = None
    check: float | None = None
    payload: str | None = None
    """Where payloads come from, for load/sources.py."""
    batching_parameters_file: str | None = None
    """Read where a run is led, not on workers."""
    server_cpus: int | None = None
    grpc_max_threads: int | None = None
    rest_api_num_threads: int | None = None
    allow_too_large: bool = False
    prometheus: str | None = None
    queries: tuple[Query, ...] = ()
    arrival: Arrival | None = None
    rate: float | None = None
    """Requests per second of the whole run."""
    max_in_flight: int | None = None
    profile: Profile | None = None
    """Load over time."""
    scenario: str | None = None
    """What is done to the server; read where a run is led, for it is full of that machine's files."""
    scenario_params: dict[str, str] = field(default_factory=dict)
    allow_changes: bool = False
    find_capacity: bool = False
    traffic: Traffic | None = None
    canary_ramp: Ramp | None = None
    canary_rollback: bool | None = None
    """Whether a canary that is surely worse is given up; None: where there is a ramp."""
    search: dict[str, float] = field(default_factory=dict)
    """How, as the fields of SearchSettings, and of the Pace in it."""
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    """Our own, for Prometheus."""
    server_metrics: tuple[str, ...] = (AUTO,)
    """URLs of pages; ``auto`` among them stands for those that the targets may have."""
    status_interval_s: float = STATUS_INTERVAL_S
    """How often the servers are asked for their models' versions; 0: not at all."""


def read_settings(options: Namespace) -> tuple[Settings, list[str]]:
    """The options as Settings, and a sentence for each that cannot be used, which counts as not given."""
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], Value]) -> Value | None:
        text = getattr(options, "tfs_" + name.replace("-", "_"), None)
        if text is None or not str(text).strip():  # the web form sends empty text for what was left open
            return None
        try:
            return parse(str(text).strip())
        except ValueError as error:
            problems.append(f"--tfs-{name} {text!r}: {error}")
            return None

    def read_each(name: str, parse: Callable[[str], tuple[str, Value]]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for text in _given(options, name):
            try:
                key, value = parse(text)
            except ValueError as error:
                problems.append(f"--tfs-{name} {text!r}: {error}")
                continue
            if key in found:
                problems.append(f"--tfs-{name} {text!r}: {key!r} is given twice")
            found[key] = value
        return found

    port = read("metrics-port", values.port_or_off)
    interval_s = read("status-interval", values.interval_or_off_s)
    queries = read_queries(_given(options, "server-query"), problems)
    objectives: list[Objective] = []
    for text in _given(options, "slo"):
        try:
            objectives += parse_objectives([text], [query.name for query in queries])
        except ObjectiveError as error:
            problems += [f"--tfs-slo {told(fault)}" for fault in error.faults]
    settings = Settings(
        model=read("model", str),
        version=read("version", values.at_least(0)),
        version_label=read("version-label", str),
        signature=read("signature", str),
        rows=read("rows", values.rows),
        timeout_s=read("timeout", values.duration_s),
        payloads=read("payloads", values.at_least(1)),
        seed=read("seed", values.at_least(0)) or 0,
        dims=read_each("dim", values.dim),
        headers=read_each("header", values.header),
        tls=Tls(read("tls-ca", values.readable), read("tls-cert", values.readable), read("tls-key", values.readable)),
        objectives=tuple(objectives),
        confidence=read("confidence", values.confidence) or CONFIDENCE,
        warmup_s=read("warmup", values.duration_or_none_s) or 0.0,
        drain_s=read("drain", values.duration_or_none_s),
        report=read("report", Path),
        markdown=bool(getattr(options, "tfs_markdown", False)),
        abort_on_fail=bool(getattr(options, "tfs_abort_on_fail", False)),
        limits=replace(Limits(), **read_each("limit", values.limit)),
        engine=read("engine", values.engine),
        connections=read("connections", values.at_least(1)),
        check=read("check", values.part),
        payload=read("payload", str),
        arrival=read("arrival", values.arrival),
        rate=read("rate", values.rate),
        max_in_flight=read("max-in-flight", values.at_least(1)),
        profile=_profile(options, problems),
        traffic=read("traffic", values.traffic),
        canary_ramp=read("canary-ramp", values.ramp),
        canary_rollback=read("canary-rollback", values.on_or_off),
        scenario=read("scenario", str),
        scenario_params=_parameters(options, "scenario", problems),
        allow_changes=bool(getattr(options, "tfs_allow_changes", False)),
        find_capacity=bool(getattr(options, "tfs_find_capacity", False)),
        search=read_each("capacity-param", values.search) | _named("resolution", read("resolution", values.share)),
        batching_parameters_file=read("batching-parameters-file", values.readable),
        server_cpus=read("server-cpus", values.at_least(1)),
        grpc_max_threads=read("grpc-max-threads", values.at_least(1)),
        rest_api_num_threads=read("rest-api-num-threads", values.at_least(1)),
        allow_too_large=bool(getattr(options, "tfs_allow_too_large", False)),
        prometheus=read("prometheus", base_url),
        queries=queries,
        metrics=MetricsSettings(
            port=None if port == values.OFF else port,
            off=port == values.OFF,
            address=read("metrics-address", str) or LOOPBACK,
            linger_s=read("metrics-linger", values.duration_or_none_s),
            pushgateway=read("pushgateway", gateway_url),
        ),
        server_metrics=read_pages(_given(options, "server-metrics"), problems),
        status_interval_s=STATUS_INTERVAL_S if interval_s is None else interval_s,
    )
    if bool(settings.queries) != (settings.prometheus is not None) and not any("--tfs-prom" in one for one in problems):
        problems.append("--tfs-server-query and --tfs-prometheus belong together: give both or neither")
    if settings.version is not None and settings.version_label is not None:
        problems.append("--tfs-version and --tfs-version-label exclude each other: give one of them")
        settings = replace(settings, version_label=None)
    if settings.traffic is not None and (settings.version is not None or settings.version_label is not None):
        problems.append("--tfs-traffic says which versions: leave --tfs-version and --tfs-version-label out")
    if (settings.tls.certificate_file is None) != (settings.tls.key_file is None):
        problems.append("--tfs-tls-cert and --tfs-tls-key belong together: give both or neither")
    elif not any(problem.startswith("--tfs-tls") for problem in problems):
        try:
            client_context(settings.tls)
        except OSError as error:
            problems.append(f"--tfs-tls-ca, --tfs-tls-cert, --tfs-tls-key: not usable as PEM files: {error}")
    return settings, problems


def told(fault: Fault) -> str:
    """What is wrong with an objective, in one line."""
    return f"{fault.expression!r}, column {fault.column}: {fault.message}"


def _given(options: Namespace, name: str) -> list[str]:
    """The texts of a repeatable option; the web form gives one text."""
    given = getattr(options, "tfs_" + name.replace("-", "_"), None) or ""
    return [text for text in (BETWEEN.join(given) if isinstance(given, list) else given).split(BETWEEN) if text.strip()]


def _named(name: str, value: float | None) -> dict[str, float]:
    return {} if value is None else {name: value}


def _parameters(options: Namespace, of: str, problems: list[str]) -> dict[str, str]:
    """The parameters of a shape or a scenario, by name."""
    parameters = {}
    for text in _given(options, f"{of}-param"):
        name, _, value = (part.strip() for part in text.partition("="))
        if name in parameters:
            problems.append(f"--tfs-{of}-param {text.strip()!r}: {name!r} is given twice")
        parameters[name] = value
    if parameters and not str(getattr(options, f"tfs_{of}", None) or "").strip():
        problems.append(f"--tfs-{of}-param: there is no --tfs-{of} that it could belong to")
    return parameters


def _profile(options: Namespace, problems: list[str]) -> Profile | None:
    kind = str(getattr(options, "tfs_shape", None) or "").strip()
    parameters = _parameters(options, "shape", problems)
    if not kind:
        return None
    try:
        return parse_profile(kind, parameters)
    except ProfileError as error:
        problems += [f"--tfs-shape {kind}: {problem}" for problem in error.problems]
        return None
