"""Pools that are windows of larger sources are refilled beside the sending; a payload that cannot be sent is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import gevent

from tfs_locust.load.corpus import CorpusError, Payload
from tfs_locust.load.pool import Pool
from tfs_locust.load.sources import Source
from tfs_locust.swarm.refilling import keep_filled


def _pool(one_pass: Iterator[Payload], most: int | None = 2) -> Pool[Payload]:
    pool: Pool[Payload] = Pool(Source("numbered", lambda: one_pass), lambda payload: payload, most=most)
    pool.fill()
    return pool


def _numbered() -> Iterator[Payload]:
    return (Payload(b"%d" % number, 1) for number in itertools.count())


def test_what_was_sent_is_replaced() -> None:
    """One that sends slowly is never handed the same payload twice; the greenlet gives way after each payload."""
    pool = _pool(_numbered())
    greenlet = keep_filled([pool], lambda _: None)
    assert greenlet is not None
    seen = []
    with gevent.Timeout(10):
        for _ in range(20):
            seen.append(int(next(pool).body))
            while seen[-1] in [int(payload.body) for payload in pool.held]:
                gevent.sleep(0)
    greenlet.kill()
    assert seen == list(range(20))


def test_a_whole_pool_needs_nobody() -> None:
    """No greenlet is started for it, and it is handed out without the pool's books."""
    pool = _pool(itertools.islice(_numbered(), 3), most=None)
    assert keep_filled([pool], lambda _: None) is None
    assert [payload.body for payload in itertools.islice(pool.endless(), 7)] == [b"0", b"1", b"2"] * 2 + [b"0"]


def test_a_payload_that_cannot_be_sent() -> None:
    """It is told once, and nothing more is taken of that source."""

    def damaged() -> Iterator[Payload]:
        yield from itertools.islice(_numbered(), 2)
        raise CorpusError("record 3 is damaged")

    told: list[str] = []
    pool = _pool(damaged())
    greenlet = keep_filled([pool], told.append)
    assert greenlet is not None
    next(pool)
    with gevent.Timeout(10):
        greenlet.join()
    assert told == ["record 3 is damaged"]


def test_a_source_that_fails_in_another_way() -> None:
    """Nothing is sent for ever in silence: whatever it is, it is told."""

    def failing() -> Iterator[Payload]:
        yield from itertools.islice(_numbered(), 2)
        raise MemoryError

    told: list[str] = []
    pool = _pool(failing())
    greenlet = keep_filled([pool], told.append)
    assert greenlet is not None
    next(pool)
    with gevent.Timeout(10):
        greenlet.join()
    assert told == ["payloads cannot be read on: MemoryError: "]
