"""Which models, versions and labels requests go to, and what share of them each has.

    traffic = target { "," target } [ ";" spread ]
            | "auto" [ ":" share ]              the two newest versions, that share to the newer; else 0.1
    target  = name [ ":" weight ]
    name    = VERSION | LABEL                   of the model that is asked for anyway
            | MODEL "/" VERSION | MODEL "@" LABEL | MODEL "/"       the last: its newest version
    spread  = "uniform" | "zipf" | "zipf(" ["s="] EXPONENT ")"

A name may hold ranges: ``model_{0..49}/{1..12}`` are 600 targets, in the order of their numbers, the last range
running fastest.
Weights are numbers above zero and mean shares of their sum, 1 where nothing is said. A weight of a name with ranges is
that of each of its targets. ``zipf`` gives the k-th model 1/k^s (Zipf's law; s is 1 if not said), divided evenly among
its versions; where there is one model only, the k-th version. Knows no server: what ``auto`` means is found elsewhere.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tfs_locust.tfserving.target import Target

MOST_TARGETS = 10_000
AUTO_SHARE = Fraction(1, 10)
_HIGHEST_VERSION = (1 << 63) - 1
_WEIGHT = re.compile(r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}")
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
_AUTO = re.compile(r"auto(?:\s*:(.*))?")
_SPREAD = re.compile(r"uniform|zipf(?:\(\s*(?:s\s*=\s*)?(\d{1,3}(?:\.\d{1,6})?)\s*\))?")
_NAME = re.compile(r"(?:(?P<model>[^\s,;:{}]+)(?P<kind>[/@]))?(?P<name>[^\s,;:{}/@]*)")
_ZIPF_UNIT = 10**9  # weights by Zipf's law are whole numbers of so many parts of the first
_EXPECTED = "expected VERSION, LABEL, MODEL/VERSION, MODEL@LABEL or MODEL/, with ranges as in model_{0..49}/{1..12}"


class TrafficError(ValueError):
    """Traffic that cannot be understood; the text names every fault and its place."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A model, None for the one that is asked for anyway, and at most one of a version and a label of it."""

    model: str | None
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Two targets of one model, by their places: the canary is the one that has less of the traffic."""

    baseline: int
    canary: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Targets and their weights. Made by :func:`parse_traffic`."""

    text: str
    aims: tuple[Aim, ...]
    weights: tuple[int, ...]
    """Whole numbers above zero, one for each aim; shares of their sum."""
    auto_share: Fraction | None = None
    """Of the newer of the two newest versions, which are still to be found; there are no aims then."""

    def __str__(self) -> str:
        return self.text

    def targets(self, model: str, signature: str) -> tuple[Target, ...]:
        """What is asked of the server, for the model that is asked for anyway. Raises TrafficError for one twice."""
        targets = tuple(Target(aim.model or model, aim.version, aim.label, signature) for aim in self.aims)
        twice = [str(target) for target, times in Counter(targets).items() if times > 1]
        if twice:
            raise TrafficError(f"{self.text!r}: {', '.join(twice[:5])} {'are' if twice[1:] else 'is'} there twice")
        return targets


def parse_traffic(text: str) -> Traffic:
    """Traffic from the text of an option. Raises TrafficError."""
    text = text.strip()
    if auto := _AUTO.fullmatch(text):
        return Traffic(text, (), (), _auto_share(text, auto[1]))
    listed, semicolon, spread = text.partition(";")
    aims: list[Aim] = []
    weights: list[Fraction] = []
    faults, column, weighed = [], 1, False
    for part in listed.split(","):
        name, colon, weight = (piece.strip() for piece in part.partition(":"))
        try:
            found = list(_aims(name))
            weights += [_weight(name, weight) if colon else Fraction(1)] * len(found)
        except TrafficError as error:
            faults.append(f"column {column}: {error}")
        else:
            aims += found
        weighed = weighed or bool(colon)
        column += len(part) + 1
    match = _SPREAD.fullmatch(spread.strip())
    if semicolon and match is None:
        faults.append(f"column {column}: {spread.strip()!r}: expected uniform, zipf or zipf(s=1.1)")
    elif semicolon and weighed:
        faults.append(f"column {column}: {spread.strip()!r} says the weights, and so do the targets: leave one out")
    twice = [_told(aim) for aim, times in Counter(aims).items() if times > 1]
    if twice:
        faults.append(f"{', '.join(twice[:5])} {'are' if twice[1:] else 'is'} there twice")
    if len(aims) > MOST_TARGETS:
        faults.append(f"{len(aims):,} targets; {MOST_TARGETS:,} are the most")
    if faults:
        raise TrafficError(f"{text!r}: {'; '.join(faults)}")
    if match is not None and spread.strip() != "uniform":
        weights = _zipf(aims, float(match[1] or 1))
    return Traffic(text, tuple(aims), _whole(weights))


def newest_two(newer: int, older: int, share: Fraction) -> Traffic:
    """What ``auto`` stands for, when the two versions are known."""
    shares = (1 - share, share)
    text = ",".join(f"{version}:{float(part):g}" for version, part in zip((older, newer), shares, strict=True))
    return Traffic(text, (Aim(None, older), Aim(None, newer)), _whole(shares))


def splits(targets: Sequence[Target], weights: Sequence[int]) -> tuple[Split, ...]:
    """The two targets of each model that has exactly two. Of equal weights the higher version, or the label that was
    written last, is the canary."""
    by_model: dict[str, list[int]] = {}
    for place, target in enumerate(targets):
        by_model.setdefault(target.model, []).append(place)

    def rank(place: int) -> tuple[int, int, int]:
        return -weights[place], -1 if (version := targets[place].version) is None else version, place

    return tuple(Split(*sorted(places, key=rank)) for places in by_model.values() if len(places) == 2)


def _auto_share(text: str, given: str | None) -> Fraction:
    share = (given or "").strip()
    if given is None:
        return AUTO_SHARE
    if not _WEIGHT.fullmatch(share) or not 0 < Fraction(share) < 1:
        raise TrafficError(f"{text!r}: {share!r} is no share of the newest version, which is between 0 and 1")
    return Fraction(share)


def _weight(name: str, text: str) -> Fraction:
    if not _WEIGHT.fullmatch(text) or not Fraction(text):
        raise TrafficError(f"{text!r} is no weight, which is a number above zero, as in {name}:0.7")
    return Fraction(text)


def _aims(name: str) -> Iterator[Aim]:
    """What a name with its ranges stands for. Raises TrafficError."""
    pieces = _RANGE.split(name)  # text, first, last, text, first, last, ..., text
    bounds = list(zip(map(int, pieces[1::3]), map(int, pieces[2::3]), strict=True))
    for first, last in bounds:
        if first > last:
            raise TrafficError(f"{{{first}..{last}}} is empty: a range rises")
    if math.prod(last - first + 1 for first, last in bounds) > MOST_TARGETS:
        raise TrafficError(f"{name!r} stands for more than {MOST_TARGETS:,} targets")
    for numbers in itertools.product(*(range(first, last + 1) for first, last in bounds)):
        spelt = "".join(f"{text}{number}" for text, number in zip(pieces[::3], (*numbers, ""), strict=True))
        yield _aim(spelt)


def _aim(spelt: str) -> Aim:
    match = _NAME.fullmatch(spelt)
    if match is None or not spelt or spelt.endswith("@"):
        raise TrafficError(f"{spelt!r}: {_EXPECTED}")
    model, name = match["model"], match["name"]
    if match["kind"] == "@":
        return Aim(model, label=name)
    if not name:
        return Aim(model)
    if not re.fullmatch(r"\d+", name):
        if model is not None:
            raise TrafficError(f"{spelt!r}: {name!r} is no version, which is a whole number; labels are {model}@{name}")
        return Aim(None, label=name)
    if int(name) > _HIGHEST_VERSION:
        raise TrafficError(f"{spelt!r}: version {name} is above the highest, {_HIGHEST_VERSION}")
    return Aim(model, version=int(name))


def _told(aim: Aim) -> str:
    if aim.model is None:
        return str(aim.label if aim.version is None else aim.version)
    return f"{aim.model}@{aim.label}" if aim.label is not None else f"{aim.model}/{aim.version or ''}"


def _zipf(aims: Sequence[Aim], exponent: float) -> list[Fraction]:
    versions = Counter(aim.model for aim in aims)
    ranks = {model: rank for rank, model in enumerate(versions, 1)}

    def weight(rank: int) -> int:
        return max(round(_ZIPF_UNIT / math.pow(rank, exponent)), 1)

    if len(versions) == 1:
        return [Fraction(weight(rank)) for rank in range(1, len(aims) + 1)]
    return [Fraction(weight(ranks[aim.model]), versions[aim.model]) for aim in aims]


def _whole(weights: Sequence[Fraction]) -> tuple[int, ...]:
    unit = math.lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * unit) for weight in weights]
    common = math.gcd(*whole)
    return tuple(weight // common for weight in whole)
