"""How many rows each request has: one number, a mix, a recorded trace, or left to the plan.

    rows   = number                              every request has as many
           | number ":" weight { "," number ":" weight }
           | "trace:" FILE                       whole numbers between blanks, in order, over and over
           | "auto" | "worst"                    what fills the server's batches best, or worst

Weights are numbers above zero and mean shares of their sum. Knows nothing of servers: :mod:`tfs_locust.load.plan` makes
the last two into numbers.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, repeat
from pathlib import Path
from typing import Literal

Choice = Literal["", "auto", "worst"]

LARGEST_BLOCK = 10_000
"""Requests after which a mix is exact, at most. Weights too fine for it are rounded to shares of as many requests."""

_NUMBER = re.compile(r"[1-9]\d{0,8}")
_WEIGHT = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_EXPECTED = "expected a number of rows, ROWS:WEIGHT[,ROWS:WEIGHT...] as in 1:0.7,8:0.3, trace:FILE, auto or worst"


class RowsError(ValueError):
    """Rows that cannot be understood; the text names every fault and its place."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows requests have. Made by :func:`rows` and :func:`parse_rows`."""

    text: str
    """As an option takes it."""
    mix: tuple[tuple[int, Fraction], ...]
    """Rows and the share of requests that have them: ascending, the shares add up to 1. Empty for a choice."""
    trace: tuple[int, ...] = ()
    """In order; empty where the order is not given."""
    choice: Choice = ""
    """What the plan is to choose; empty where nothing is left to choose."""

    def __str__(self) -> str:
        return self.text

    @property
    def mean(self) -> Fraction:
        """Rows of the mean request. ValueError for a choice that was not made yet."""
        self._check_chosen()
        return sum((rows * share for rows, share in self.mix), Fraction(0))

    @property
    def largest(self) -> int:
        """Rows of the largest request. ValueError for a choice that was not made yet."""
        self._check_chosen()
        return self.mix[-1][0]

    @property
    def block(self) -> tuple[tuple[int, int], ...]:
        """Rows and how many requests of a block have them: the smallest block in which every share is whole."""
        size = math.lcm(*(share.denominator for _, share in self.mix))
        if size <= LARGEST_BLOCK:
            return tuple((rows, int(share * size)) for rows, share in self.mix)
        return tuple((rows, max(round(share * LARGEST_BLOCK), 1)) for rows, share in self.mix)

    def sequence(self, seed: int | str = 0) -> Iterator[int]:
        """The rows of request after request, without end. The same seed gives the same ones.

        Each block (:attr:`block`) has exactly the mix, in another order each time; and since the requests of one size
        are spread over the block, one to each equal part of it, any shorter stretch has nearly the mix as well. A trace
        is repeated as it is.
        """
        self._check_chosen()
        if self.trace:
            return cycle(self.trace)
        if len(self.mix) == 1:
            return repeat(self.mix[0][0])
        return _spread(self.block, random.Random(seed))

    def _check_chosen(self) -> None:
        if self.choice:
            raise ValueError(f"rows {self.choice!r} are for the plan to choose first")


def rows(
    mix: int | str | None = None,
    *,
    trace: str | Path | Iterable[int] | None = None,
    auto: bool | Literal["worst"] = False,
) -> Rows:
    """How many rows each request has, from exactly one of these. Raises RowsError.

    ``mix``: ``8``, ``"1:0.7,8:0.3"``, or anything an option takes. ``trace``: a file of whole numbers, or the numbers.
    ``auto``: True for what fills the server's batches without padding, ``"worst"`` for what pads and splits worst.
    """
    given = [name for name, value in (("a mix", mix), ("trace", trace), ("auto", auto or None)) if value is not None]
    if len(given) != 1:
        raise RowsError(f"rows() takes one of a mix, trace and auto; given: {', '.join(given) or 'none'}")
    if auto:
        if auto not in (True, "worst"):
            raise RowsError(f"rows(auto={auto!r}): expected True or 'worst'")
        return parse_rows("worst" if auto == "worst" else "auto")
    if isinstance(trace, str | Path):
        return _read_trace(str(trace))
    if trace is not None:
        if not isinstance(trace, Iterable):
            raise RowsError(f"rows(trace={trace!r}): expected a file of whole numbers, or the numbers")
        return _traced("trace", [str(number) for number in trace])
    return parse_rows(str(mix))


def parse_rows(text: str) -> Rows:
    """Rows from the text of an option. Raises RowsError."""
    text = text.strip()
    choices: dict[str, Choice] = {"auto": "auto", "worst": "worst"}
    if text in choices:
        return Rows(text, (), choice=choices[text])
    if text.startswith("trace:"):
        return _read_trace(text.removeprefix("trace:"))
    if _NUMBER.fullmatch(text):
        return Rows(text, ((int(text), Fraction(1)),))
    if ":" not in text:
        raise RowsError(f"{text!r}: {_EXPECTED}")
    return _parse_mix(text)


def _parse_mix(text: str) -> Rows:
    weights: dict[int, Fraction] = {}
    faults = []
    column = 1
    for part in text.split(","):
        number, colon, weight = (piece.strip() for piece in part.partition(":"))
        if not _NUMBER.fullmatch(number):
            faults.append(f"column {column}: {number!r} is no number of rows, which is a whole number above zero")
        elif not colon or not _WEIGHT.fullmatch(weight) or not Fraction(weight):
            at = column + (part.index(":") + 1 if colon else 0)
            faults.append(f"column {at}: {weight!r} is no weight, which is a number above zero, as in {number}:0.7")
        elif int(number) in weights:
            faults.append(f"column {column}: {number} rows are given twice")
        else:
            weights[int(number)] = Fraction(weight)
        column += len(part) + 1
    if faults:
        raise RowsError(f"{text!r}: {'; '.join(faults)}")
    return Rows(text, _normalised(weights))


def _normalised(weights: dict[int, Fraction]) -> tuple[tuple[int, Fraction], ...]:
    total = sum(weights.values(), Fraction(0))
    return tuple((number, weight / total) for number, weight in sorted(weights.items()))


def _read_trace(path: str) -> Rows:
    try:
        text = Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise RowsError(f"trace {path!r}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RowsError(f"trace {path!r}, byte {error.start}: is not plain text") from None
    faults = [
        f"line {line}: {word!r} is no number of rows, which is a whole number above zero"
        for line, content in enumerate(text.splitlines(), 1)
        for word in content.split()
        if not _NUMBER.fullmatch(word)
    ]
    if faults:
        raise RowsError(f"trace {path!r}: {'; '.join(faults[:5])}{_more(faults)}")
    return _traced(f"trace:{path}", text.split())


def _traced(text: str, words: list[str]) -> Rows:
    faults = [f"number {at} is {word}" for at, word in enumerate(words, 1) if not _NUMBER.fullmatch(word)]
    if faults:
        raise RowsError(f"{text}: rows are whole numbers above zero; {'; '.join(faults[:5])}{_more(faults)}")
    if not words:
        raise RowsError(f"{text}: holds no number of rows")
    numbers = tuple(map(int, words))
    return Rows(text, _normalised({rows: Fraction(count) for rows, count in Counter(numbers).items()}), numbers)


def _more(faults: list[str]) -> str:
    return f"; and {len(faults) - 5} more" if len(faults) > 5 else ""


def _spread(block: tuple[tuple[int, int], ...], rng: random.Random) -> Iterator[int]:
    """Block after block. The j-th of n requests of one size is somewhere in the j-th n-th of it (jittered sampling)."""
    while True:
        places = [((j + rng.random()) / count, rows) for rows, count in block for j in range(count)]
        for _, rows in sorted(places):
            yield rows
