"""Objectives: what a run must keep to, as people write it.

    objective  = [ scope ":" ] metric operator bound
    scope      = limit { "," limit }
    limit      = "grpc" | "rest" | ( "scenario" | "protocol" | "model" | "version" ) "=" value | "canary"
    metric     = [ "service_" ] ( "p" number | "mean" | "max" ) | "error_rate" | "throughput" | "rows"
               | "availability" | "availability_by_second" | "switch_success"
               | "switch_time" | "model_load_time" | "recovery_time"
               | ( "p" number | "mean" ) "_ratio"  of a canary, which is its scope
               | the name of a series, without a scope
    operator   = "<" | "<="           of times, error_rate and ratios
               | ">" | ">="           of all else; a series takes any
    bound      = number ( "us" | "ms" | "s" )     of times
               | number [ "%" ]                   of shares: error_rate, availability, switch_success; and of a series
               | number "/s"                      of throughput and rows
               | number                           of a ratio

``default`` stands for :data:`DEFAULT`. What the metrics mean is in :mod:`tfs_locust.judge.decide`, of those on versions
and outages in :mod:`tfs_locust.judge.stability`, and of series in :mod:`tfs_locust.judge.series`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction

from tfs_locust.measure.sample import Key

SERIES = "series"
RATIO = "ratio"
DEFAULT = ("throughput>=10000/s", "error_rate<0.1%", "p99<100ms")

_FIELDS = ("scenario", "protocol", "model", "version")
_PROTOCOLS = ("grpc", "rest")
_TIME_UNITS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_SCOPES = {
    "availability": _FIELDS,
    "availability_by_second": (),
    "switch_success": ("model", "version"),
    "switch_time": ("model", "version"),
    "model_load_time": ("model", "version"),
    "recovery_time": (),
    RATIO: ("model", "version"),
}
"""What objectives on versions and outages may be limited to; others to any field."""
_SHARES = {"error_rate", "availability", "availability_by_second", "switch_success"}
_PLAIN = {"error_rate", "throughput", "rows"} | (_SCOPES.keys() - {RATIO})
_AT_LEAST = {"throughput", "rows"} | _SHARES - {"error_rate"}
_METRICS = (
    "p99 (any quantile), mean, max, the same with service_ before them (service_p99), error_rate, throughput, rows, "
    f"{', '.join(name for name in _SCOPES if name != RATIO)}, and of a canary p99_ratio (any quantile) and mean_ratio"
)


@dataclass(frozen=True, slots=True)
class Objective:
    """One parsed objective."""

    expression: str
    """As it was written, without blanks at its ends."""
    scope: tuple[tuple[str, str], ...]
    """Fields of :class:`~tfs_locust.measure.sample.Key` with the value they must have; empty: all requests."""
    metric: str
    """``response``, ``service`` (times), :data:`RATIO`, :data:`SERIES`, or as it is written."""
    statistic: Fraction | str
    """Of times and ratios: the quantile as a share, ``mean`` or ``max``; of a series: its name. Else empty."""
    operator: str
    bound: Fraction
    """In ns, as a share, by the second, as a ratio, or in the series' own unit."""

    def covers(self, key: Key) -> bool:
        """Whether a request of this key is in scope."""
        return all(getattr(key, field) == value for field, value in self.scope)

    @property
    def is_time(self) -> bool:
        """Whether it bounds a response or service time."""
        return self.metric in {"response", "service"}

    @property
    def is_of_stability(self) -> bool:
        """Whether it is on versions, outages or availability."""
        return self.metric in _SCOPES

    def may_be_limited_to(self, field: str) -> bool:
        """Whether a scope may name this field."""
        return self.metric != SERIES and field in _SCOPES.get(self.metric, _FIELDS)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an objective, and where."""

    expression: str
    column: int
    """From 1."""
    message: str

    def __str__(self) -> str:
        return f"{self.expression}\n{' ' * (self.column - 1)}^ column {self.column}: {self.message}"


class ObjectiveError(ValueError):
    """At least one objective cannot be understood; holds the first fault of each."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(map(str, faults)))


def parse_objectives(expressions: Iterable[str], series: Collection[str] = ()) -> tuple[Objective, ...]:
    """The objectives that are written; :class:`ObjectiveError` with all faults if any is not one.

    ``series`` are the names of series that there are beside the metrics.
    """
    objectives, faults = [], []
    for given in expressions:
        for expression in DEFAULT if given.strip() == "default" else (given,):
            try:
                objectives.append(_Parser(expression, series).objective())
            except _FaultError as error:
                faults.append(error.fault)
    if faults:
        raise ObjectiveError(faults)
    return tuple(objectives)


def is_metric(name: str) -> bool:
    """Whether this names a metric, and so can name no series."""
    try:
        _Parser(name).metric()
    except _FaultError:
        return False
    return True


class _FaultError(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, text: str, series: Collection[str] = ()) -> None:
        self.text = text
        self.series = series
        self.at = 0
        self.of_canary = False

    def fault(self, at: int, message: str) -> _FaultError:
        return _FaultError(Fault(self.text, at + 1, message))

    def take(self, pattern: str | re.Pattern[str]) -> str:
        """What the pattern matches here, after blanks; empty if it does not."""
        self.skip_blanks()
        match = re.compile(pattern).match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def skip_blanks(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def rest(self) -> str:
        """What is still unread, for messages."""
        return repr(self.text[self.at :].strip()) if self.text[self.at :].strip() else "nothing"

    def objective(self) -> Objective:
        scope = self.scope()
        metric, statistic = self.metric()
        self.check_scope(scope, metric, statistic)
        operator = self.operator(metric)
        bound = self.bound(metric, operator)
        self.skip_blanks()
        if self.at < len(self.text):
            raise self.fault(self.at, f"{self.rest()} follows a complete objective")
        return Objective(self.text.strip(), scope, metric, statistic, operator, bound)

    def check_scope(self, scope: tuple[tuple[str, str], ...], metric: str, statistic: Fraction | str) -> None:
        """Whether the metric may have this scope."""
        if metric == SERIES and (scope or self.of_canary):
            raise self.fault(0, f"{statistic!r} is a series of the server, which has no scope")
        if (metric == RATIO) != self.of_canary:
            said = "canary: has a ratio after it, such as" if self.of_canary else "a ratio is that of a canary:"
            raise self.fault(0, f"{said} 'canary: p99_ratio<1.1'")
        allowed = _SCOPES.get(metric, _FIELDS)
        for field, _ in scope:
            if field not in allowed:
                there = f"can be limited to {' and '.join(allowed)}, not to {field}" if allowed else "has no scope"
                raise self.fault(0, f"{metric} {there}")

    def scope(self) -> tuple[tuple[str, str], ...]:
        limits: dict[str, str] = {}
        if ":" not in self.text:
            return ()
        while True:
            self.skip_blanks()
            begin = self.at
            word = self.take(r"[^=,:]*").strip()
            if self.take("="):
                value = self.take(r"[^,:]*").strip()
                if word not in _FIELDS:
                    raise self.fault(begin, f"{word!r} is no field; fields are {', '.join(_FIELDS)}")
                if not value:
                    raise self.fault(self.at, f"the value of {word!r} is missing")
            elif word in _PROTOCOLS:
                word, value = "protocol", word
            elif word == "canary":
                self.of_canary = True
                if self.take(","):
                    continue
                break
            else:
                raise self.fault(
                    begin,
                    f"{word!r} is no scope; a scope is grpc, rest, canary, or FIELD=VALUE with {', '.join(_FIELDS)}",
                )
            if word == "protocol" and value not in _PROTOCOLS:
                raise self.fault(begin, f"{value!r} is no protocol; protocols are {' and '.join(_PROTOCOLS)}")
            if word in limits:
                raise self.fault(begin, f"{word!r} is limited twice")
            limits[word] = value
            if not self.take(","):
                break
        self.take(":")  # there is one: the patterns above stop at nothing else
        return tuple(limits.items())

    def metric(self) -> tuple[str, Fraction | str]:
        self.skip_blanks()
        begin = self.at
        word = self.take(r"[A-Za-z_][A-Za-z0-9_.]*")
        if word in _PLAIN:
            return word, ""
        if word in self.series:
            return SERIES, word
        metric, name = ("service", word[8:]) if word.startswith("service_") else ("response", word)
        if word.endswith("_ratio"):
            metric, name = RATIO, word[:-6]
        if name == "mean" or (name == "max" and metric != RATIO):
            return metric, name
        if name.startswith("p") and _NUMBER.fullmatch(name[1:]):
            quantile = Fraction(name[1:]) / 100
            if not 0 < quantile < 1:
                raise self.fault(begin, f"{word!r}: a quantile lies between p0 and p100; the largest is called max")
            return metric, quantile
        if not word:
            raise self.fault(begin, f"a metric is missing before {self.rest()}; metrics are {_METRICS}")
        there = "".join(f", {name}" for name in self.series)
        raise self.fault(begin, f"{word!r} is no metric; metrics are {_METRICS}{there}")

    def operator(self, metric: str) -> str:
        self.skip_blanks()
        begin = self.at
        operator = self.take(r"[<>=!]+")
        wanted: tuple[str, ...] = (">=", ">") if metric in _AT_LEAST else ("<", "<=")
        if metric == SERIES:
            wanted = ("<", "<=", ">", ">=")
        if operator not in wanted:
            found = repr(operator) if operator else self.rest()
            raise self.fault(begin, f"{' or '.join(wanted)} belongs here, not {found}")
        return operator

    def bound(self, metric: str, operator: str) -> Fraction:
        self.skip_blanks()
        begin = self.at
        digits = self.take(_NUMBER)
        if not digits:
            raise self.fault(begin, f"a number belongs here, not {self.rest()}")
        number = Fraction(digits if digits[-1] != "." else digits + "0")
        self.skip_blanks()
        at_unit = self.at
        unit = self.take(r"[^\s\d]+")
        if metric == SERIES:
            if unit not in {"", "%"}:
                raise self.fault(at_unit, f"the value of a series has no unit or %, not {unit!r}")
            return number / 100 if unit else number
        if metric == RATIO:
            if unit or not number:
                raise self.fault(at_unit if unit else begin, "a ratio is a number above 0 without a unit, such as 1.1")
            return number
        if metric in _SHARES:
            if unit not in {"", "%"}:
                raise self.fault(at_unit, f"a share has no unit or %, not {unit!r}")
            share = number / 100 if unit else number
            if share > 1:
                raise self.fault(begin, f"a share is at most 100% (1), not {digits}{unit}")
            if share == 0 and operator == "<":
                raise self.fault(begin, "no share is below 0; error_rate<=0 means none")
            if share == 1 and operator == ">":
                raise self.fault(begin, f"no share is above 100%; {metric}>=100% means all")
            return share
        if metric in {"throughput", "rows"}:
            if unit != "/s":
                raise self.fault(at_unit, f"/s belongs here, not {repr(unit) if unit else self.rest()}")
            return number
        if unit not in _TIME_UNITS:
            raise self.fault(at_unit, f"a unit belongs here, us, ms or s, not {repr(unit) if unit else self.rest()}")
        if number == 0:
            raise self.fault(begin, "no time is below 0")
        return number * _TIME_UNITS[unit]
