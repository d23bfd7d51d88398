"""One value of an option, from its text. What cannot be read raises ValueError, with what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tfs_locust.load.arrival import HIGHEST_RATE, Arrival, ArrivalError, parse_arrival
from tfs_locust.load.ramp import Ramp, RampError, parse_ramp
from tfs_locust.load.rows import Rows, RowsError, parse_rows
from tfs_locust.load.traffic import Traffic, TrafficError, parse_traffic
from tfs_locust.transport.engine import ENGINES

HIGHEST_VERSION = (1 << 63) - 1
"""Versions are 64-bit integers (tensorflow_serving/apis/model.proto)."""
LONGEST_S = 86_400.0
"""A day. gRPC takes a deadline too far ahead for one that has passed."""


def at_least(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``least`` up."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,19}", text) or not least <= int(text) <= HIGHEST_VERSION:
            raise ValueError(f"expected a whole number of at least {least}")
        return int(text)

    return parse


OFF = -1
"""For a port: none."""


def port_or_off(text: str) -> int:
    """A TCP port, 0 for a free one, or :data:`OFF`."""
    if text.lower() == "off":
        return OFF
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65535:
        raise ValueError("expected a port from 1 to 65535, 0 for a free one, or off")
    return int(text)


def rows(text: str) -> Rows:
    """Rows of a request (:func:`~tfs_locust.load.rows.parse_rows`)."""
    try:
        return parse_rows(text)
    except RowsError as error:  # it begins with the text, which is told already
        raise ValueError(str(error).removeprefix(f"{text!r}: ")) from error


def arrival(text: str) -> Arrival:
    """How requests arrive (:func:`~tfs_locust.load.arrival.parse_arrival`)."""
    try:
        return parse_arrival(text)
    except ArrivalError as error:
        raise ValueError(str(error).removeprefix(f"{text!r}: ")) from error


def traffic(text: str) -> Traffic:
    """Targets and weights (:mod:`tfs_locust.load.traffic`)."""
    try:
        return parse_traffic(text)
    except TrafficError as error:
        raise ValueError(str(error).removeprefix(f"{text!r}: ")) from error


def ramp(text: str) -> Ramp:
    """Stages of a canary's share (:mod:`tfs_locust.load.ramp`)."""
    try:
        return parse_ramp(text)
    except RampError as error:
        raise ValueError(str(error).removeprefix(f"{text!r}: ")) from error


def on_or_off(text: str) -> bool:
    """``on`` is True."""
    if text.lower() not in {"on", "off"}:
        raise ValueError("expected on or off")
    return text.lower() == "on"


def rate(text: str) -> float:
    """Requests per second."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:/s)?", text)
    if match is None or not 0 < float(match[1]) <= HIGHEST_RATE:
        raise ValueError("expected requests per second, as 2000 or 0.5")
    return float(match[1])


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


def duration_or_none_s(text: str) -> float:
    """The same, or zero."""
    return 0.0 if re.fullmatch(r"0+(\.0*)?\s*(us|ms|s|m)?", text) else duration_s(text)


SHORTEST_INTERVAL_S = 0.05
"""Whoever is asked more often is kept from work."""


def interval_or_off_s(text: str) -> float:
    """Seconds between two questions; 0 for ``off``."""
    seconds = 0.0 if text.lower() == "off" else duration_s(text)
    if text.lower() != "off" and seconds < SHORTEST_INTERVAL_S:
        raise ValueError(f"expected a time of at least {SHORTEST_INTERVAL_S * 1000:g}ms, or off")
    return seconds


_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)")


def share(text: str) -> float:
    """A share, as ``95%`` or ``0.95``; may be above one."""
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError("expected a share, as 95% or 0.95")
    return float(match[1]) / (100 if match[2] else 1)


def part(text: str) -> float:
    """A share of at most one."""
    part = share(text)
    if part > 1:
        raise ValueError("expected a share of at most 100%")
    return part


def engine(text: str) -> str:
    """An engine's name."""
    if text not in ENGINES:
        raise ValueError(f"expected one of {', '.join(ENGINES)}")
    return text


def confidence(text: str) -> float:
    """How sure, from one half to below one."""
    sure = share(text)
    if not 0.5 <= sure < 1:
        raise ValueError("expected a share from 50% to below 100%")
    return sure


_LIMITS: dict[str, tuple[str, Callable[[str], float]]] = {
    "send_lag": ("send_lag_s", duration_s),
    "loop_lag": ("loop_lag_s", duration_s),
    "cpu": ("cpu_share", share),
    "throttled": ("throttled_share", share),
    "unsent": ("unsent_share", share),
}


def limit(text: str) -> tuple[str, float | None]:
    """``NAME=VALUE``, as the field of Limits and its value."""
    name, _, value = (part.strip() for part in text.partition("="))
    if name not in _LIMITS:
        raise ValueError(f"expected NAME=VALUE with one of {', '.join(_LIMITS)}")
    field, parse = _LIMITS[name]
    return field, None if value == "none" else parse(value)


_SEARCH: dict[str, tuple[str, Callable[[str], float]]] = {
    "start": ("start", rate),
    "max": ("max_load", rate),
    "growth": ("growth", rate),
    "time": ("total_s", duration_s),
    "levels": ("max_levels", at_least(1)),
    "warmup": ("warmup_s", duration_s),
    "window": ("window_s", duration_s),
    "steady": ("steady_s", duration_s),
    "cooldown": ("cooldown_s", duration_or_none_s),
}


def search(text: str) -> tuple[str, float]:
    """``NAME=VALUE`` of a search for capacity, as the field of SearchSettings or Pace and its value."""
    name, _, value = (part.strip() for part in text.partition("="))
    if name not in _SEARCH:
        raise ValueError(f"expected NAME=VALUE with one of {', '.join(_SEARCH)}")
    field, parse = _SEARCH[name]
    return field, parse(value)


def dim(text: str) -> tuple[str, tuple[int, ...]]:
    """``NAME=N,N``."""
    name, _, sizes = text.strip().rpartition("=")
    if not name or not re.fullmatch(r"\d+(\s*[,x]\s*\d+)*", sizes):
        raise ValueError("expected NAME=N or NAME=N,N with the name of an input")
    return name, tuple(int(size) for size in re.findall(r"\d+", sizes))


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


def header(text: str) -> tuple[str, str]:
    """``NAME: VALUE``."""
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _TOKEN.fullmatch(name) or not value.isprintable() or not value.isascii():
        raise ValueError("expected 'NAME: VALUE' in plain ASCII")
    if name.lower().startswith("grpc-") or name.lower().endswith("-bin"):
        raise ValueError("names that begin with grpc- or end with -bin are gRPC's own")
    if name.lower() in {"content-length", "transfer-encoding", "connection"}:
        raise ValueError("this header is the transport's own")
    return name, value


def readable(text: str) -> str:
    """The name of a file that can be read."""
    try:
        Path(text).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    return text
