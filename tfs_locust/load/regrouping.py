"""Rows as they come, in blocks, made into requests of as many rows as are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tfs_locust.tfserving.tensor import Array


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of every input, and where they stand."""

    place: str
    inputs: Mapping[str, Array]
    rows: int

    def split(self, rows: int) -> tuple[Block, Block]:
        """The first ``rows`` rows, and the rest."""
        first = {name: array[:rows] for name, array in self.inputs.items()}
        rest = {name: array[rows:] for name, array in self.inputs.items()}
        return Block(self.place, first, rows), Block(self.place, rest, self.rows - rows)


def regrouped(open_blocks: Callable[[], Iterator[Block]], sizes: Iterator[int]) -> Iterator[Block]:
    """One pass: requests of ``sizes`` rows, in the order of the rows, until each row was in one.

    The last request is filled up with rows from the start. ``open_blocks`` starts at the first row each time.
    """
    held: deque[Block] = deque()
    held_rows = 0
    wanted = 0  # drawn only when there is a row for it, so that no size is lost between passes
    for block in open_blocks():
        held.append(block)
        held_rows += block.rows
        while held_rows:
            wanted = wanted or next(sizes)
            if held_rows < wanted:
                break
            yield _taken(held, wanted)
            held_rows -= wanted
            wanted = 0
    while 0 < held_rows < wanted:
        for block in open_blocks():
            held.append(block)
            held_rows += block.rows
            if held_rows >= wanted:
                break
    if held_rows:
        yield _taken(held, wanted)


def _taken(held: deque[Block], rows: int) -> Block:
    parts: list[Block] = []
    while rows:
        block = held.popleft()
        if block.rows > rows:
            block, rest = block.split(rows)
            held.appendleft(rest)
        parts.append(block)
        rows -= block.rows
    inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    return Block(parts[0].place, inputs, sum(part.rows for part in parts))
