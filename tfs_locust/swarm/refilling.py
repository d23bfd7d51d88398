"""Keeps pools of payloads filled that are windows of larger sources, beside the sending and outside of its clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import gevent

from tfs_locust.load.corpus import CorpusError
from tfs_locust.load.pool import Pool

_IDLE_S = 0.01
_logger = logging.getLogger(__name__)


def keep_filled(pools: Iterable[Pool[Any]], on_fault: Callable[[str], None]) -> gevent.Greenlet[..., None] | None:
    """Refill all that are not whole until killed; None where there is none.

    ``on_fault`` is called once, with what is wrong with a payload: such a pool has no next one.
    """
    streams = [pool for pool in pools if not pool.whole]
    return gevent.spawn(_refill, streams, on_fault) if streams else None


def _refill(streams: list[Pool[Any]], on_fault: Callable[[str], None]) -> None:
    while True:
        came = 0
        for pool in streams:
            try:
                came += pool.refill()
            except CorpusError as error:
                on_fault(str(error))
                return
            except Exception as error:  # else this greenlet would end, and the same payloads be sent for ever
                _logger.exception("payloads cannot be read on")
                on_fault(f"payloads cannot be read on: {type(error).__name__}: {error}")
                return
            gevent.sleep(0)  # one payload at a time: to make several would hold up requests for as long
        if not came:
            gevent.sleep(_IDLE_S)
