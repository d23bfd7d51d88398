"""Whose turn it is: a sequence in which each of several has its share, and has it in every prefix.

Of n requests one with the share s has floor(n s) or ceil(n s): never a whole request too many or too few. Its k-th
request (from 0) is given the slots from floor(k/s) to ceil((k+1)/s) - 1, and of those whose slots have begun the one
goes first whose slots end first. For shares that add up to one this always comes out even (Baruah, Cohen, Plaxton and
Varvel 1996, "Proportionate progress", for one processor). The familiar rule to serve whoever is furthest behind does
not: of many targets some then fall several requests back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import count, cycle, islice

LARGEST_ROUND = 10_000


def turns(weights: Sequence[int]) -> Iterator[int]:
    """Places in ``weights``, without end, each with the share of its weight; one of weight 0 never comes.

    Weights are whole numbers from 0 up, and not all 0: else ValueError. A turn costs the logarithm of their number;
    where all begins anew after :data:`LARGEST_ROUND` turns at most it costs nothing the second time.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError(f"weights {list(weights)}: expected whole numbers from 0 up, and one above")
    endless = _turns(weights, total)
    return cycle(islice(endless, total)) if total <= LARGEST_ROUND else endless


def _turns(weights: Sequence[int], total: int) -> Iterator[int]:
    # the next request of each: (first slot, its number among the requests of that place, place)
    later = [(0, 0, place) for place, weight in enumerate(weights) if weight]
    heapify(later)
    begun: list[tuple[int, int, int]] = []  # (slot after the last, place, number)
    for slot in count():
        while later and later[0][0] <= slot:
            _, number, place = heappop(later)
            heappush(begun, (-(-(number + 1) * total // weights[place]), place, number))
        _, place, number = heappop(begun)
        heappush(later, ((number + 1) * total // weights[place], number + 1, place))
        yield place
