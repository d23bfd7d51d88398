"""What the ``--tfs-*`` options say, read from text, wherever it came from.

Values arrive as text, from the command line, the environment or the web form alike, and are all read in one place, so
that all faults are found at once.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tfs_locust.judge.decide import CONFIDENCE
from tfs_locust.judge.slo import Fault, Objective, ObjectiveError, parse_objectives
from tfs_locust.judge.verdict import Limits
from tfs_locust.load.rows import Rows, RowsError, parse_rows
from tfs_locust.swarm.server_settings import AUTO, base_url, read_pages, read_queries
from tfs_locust.tfserving.prometheus_query import Query
from tfs_locust.transport.engine import ENGINES
from tfs_locust.transport.tls import Tls, client_context

Value = TypeVar("Value")

HIGHEST_VERSION = (1 << 63) - 1
"""Versions are 64-bit integers (tensorflow_serving/apis/model.proto)."""
LONGEST_S = 86_400.0
"""A day. gRPC takes a deadline too far ahead for one that has passed."""

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
    server_metrics: tuple[str, ...] = (AUTO,)
    """URLs of pages; ``auto`` among them stands for those that the targets may have."""


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

    queries = read_queries(_given(options, "server-query"), problems)
    objectives: list[Objective] = []
    for text in _given(options, "slo"):
        try:
            objectives += parse_objectives([text], [query.name for query in queries])
        except ObjectiveError as error:
            problems += [f"--tfs-slo {told(fault)}" for fault in error.faults]
    settings = Settings(
        model=read("model", str),
        version=read("version", at_least(0)),
        version_label=read("version-label", str),
        signature=read("signature", str),
        rows=read("rows", _rows),
        timeout_s=read("timeout", duration_s),
        payloads=read("payloads", at_least(1)),
        seed=read("seed", at_least(0)) or 0,
        dims=read_each("dim", _dim),
        headers=read_each("header", _header),
        tls=Tls(read("tls-ca", _readable), read("tls-cert", _readable), read("tls-key", _readable)),
        objectives=tuple(objectives),
        confidence=read("confidence", _confidence) or CONFIDENCE,
        warmup_s=read("warmup", _duration_or_none_s) or 0.0,
        drain_s=read("drain", _duration_or_none_s),
        report=read("report", Path),
        abort_on_fail=bool(getattr(options, "tfs_abort_on_fail", False)),
        limits=replace(Limits(), **read_each("limit", _limit)),
        engine=read("engine", _engine),
        connections=read("connections", at_least(1)),
        check=read("check", _part),
        payload=read("payload", str),
        batching_parameters_file=read("batching-parameters-file", _readable),
        server_cpus=read("server-cpus", at_least(1)),
        grpc_max_threads=read("grpc-max-threads", at_least(1)),
        rest_api_num_threads=read("rest-api-num-threads", at_least(1)),
        allow_too_large=bool(getattr(options, "tfs_allow_too_large", False)),
        prometheus=read("prometheus", base_url),
        queries=queries,
        server_metrics=read_pages(_given(options, "server-metrics"), problems),
    )
    if bool(settings.queries) != (settings.prometheus is not None) and not any("--tfs-prom" in one for one in problems):
        problems.append("--tfs-server-query and --tfs-prometheus belong together: give both or neither")
    if settings.version is not None and settings.version_label is not None:
        problems.append("--tfs-version and --tfs-version-label exclude each other: give one of them")
        settings = replace(settings, version_label=None)
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


def at_least(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``least`` up."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,19}", text) or not least <= int(text) <= HIGHEST_VERSION:
            raise ValueError(f"expected a whole number of at least {least}")
        return int(text)

    return parse


def _rows(text: str) -> Rows:
    try:
        return parse_rows(text)
    except RowsError as error:  # it begins with the text, which is told already
        raise ValueError(str(error).removeprefix(f"{text!r}: ")) from error


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|m)?")
_UNIT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, None: 1.0}


def duration_s(text: str) -> float:
    """Seconds in ``10``, ``10s``, ``500ms`` or ``2m``. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    seconds = 0.0 if match is None else float(match[1]) * _UNIT_S[match[2]]
    if not seconds > 0:
        raise ValueError("expected a time above zero, as 10, 10s or 500ms")
    if seconds > LONGEST_S:
        raise ValueError("expected a day at most")
    return seconds


def _duration_or_none_s(text: str) -> float:
    """The same, or zero."""
    return 0.0 if re.fullmatch(r"0+(\.0*)?\s*(us|ms|s|m)?", text) else duration_s(text)


_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)")


def _share(text: str) -> float:
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError("expected a share, as 95% or 0.95")
    return float(match[1]) / (100 if match[2] else 1)


def _part(text: str) -> float:
    share = _share(text)
    if share > 1:
        raise ValueError("expected a share of at most 100%")
    return share


def _engine(text: str) -> str:
    if text not in ENGINES:
        raise ValueError(f"expected one of {', '.join(ENGINES)}")
    return text


def _confidence(text: str) -> float:
    share = _share(text)
    if not 0.5 <= share < 1:
        raise ValueError("expected a share from 50% to below 100%")
    return share


_LIMITS: dict[str, tuple[str, Callable[[str], float]]] = {
    "send_lag": ("send_lag_s", duration_s),
    "loop_lag": ("loop_lag_s", duration_s),
    "cpu": ("cpu_share", _share),
    "throttled": ("throttled_share", _share),
}


def _limit(text: str) -> tuple[str, float | None]:
    name, _, value = (part.strip() for part in text.partition("="))
    if name not in _LIMITS:
        raise ValueError(f"expected NAME=VALUE with one of {', '.join(_LIMITS)}")
    field, parse = _LIMITS[name]
    return field, None if value == "none" else parse(value)


def _dim(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.strip().rpartition("=")
    if not name or not re.fullmatch(r"\d+(\s*[,x]\s*\d+)*", sizes):
        raise ValueError("expected NAME=N or NAME=N,N with the name of an input")
    return name, tuple(int(size) for size in re.findall(r"\d+", sizes))


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _TOKEN.fullmatch(name) or not value.isprintable() or not value.isascii():
        raise ValueError("expected 'NAME: VALUE' in plain ASCII")
    if name.lower().startswith("grpc-") or name.lower().endswith("-bin"):
        raise ValueError("names that begin with grpc- or end with -bin are gRPC's own")
    if name.lower() in {"content-length", "transfer-encoding", "connection"}:
        raise ValueError("this header is the transport's own")
    return name, value


def _readable(text: str) -> str:
    try:
        Path(text).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    return text
