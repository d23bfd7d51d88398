"""Blocks of rows become requests of the wanted rows, in order, every row at least once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.regrouping import Block, regrouped

_sizes = st.lists(st.integers(1, 7), min_size=1, max_size=6)


@given(_sizes, _sizes)
def test_a_pass(blocks: list[int], wanted: list[int]) -> None:
    """Requests are as large as wanted; their rows are those of the blocks, and go on from the start at the end."""
    rows = sum(blocks)
    starts = [0, *itertools.accumulate(blocks)]

    def open_blocks() -> Iterator[Block]:
        for start, size in zip(starts, blocks, strict=False):
            numbers = np.arange(start, start + size)
            yield Block(f"row {start}", {"a": numbers, "b": np.stack([numbers, -numbers], axis=1)}, size)

    drawn: list[int] = []

    def sizes() -> Iterator[int]:
        for size in itertools.cycle(wanted):
            drawn.append(size)
            yield size

    requests = list(regrouped(open_blocks, sizes()))
    assert [request.rows for request in requests] == drawn  # no size is drawn in vain
    assert [len(request.inputs["a"]) for request in requests] == drawn
    taken = np.concatenate([request.inputs["a"] for request in requests])
    assert taken.tolist() == [row % rows for row in range(sum(drawn))]
    assert rows <= sum(drawn) < rows + drawn[-1]
    assert (np.concatenate([request.inputs["b"] for request in requests]) == np.stack([taken, -taken], axis=1)).all()
    assert requests[0].place == "row 0"
