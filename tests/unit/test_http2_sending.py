"""Nothing is sent that the peer's limits do not allow, and all that they do."""

from __future__ import annotations

import pytest

from tests.unit.http2_peer import Frame, answer, begun, connected, taken, trailers
from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.http2_exchange import Exchange, Fate, Request
from tfs_locust.transport.http2_frames import ErrorCode


def _body_of(sent: list[Frame], stream_id: int) -> bytes:
    return b"".join(frame.payload for frame in sent if (frame.kind, frame.stream_id) == (h2.DATA, stream_id))


def _ended(sent: list[Frame], stream_id: int) -> bool:
    return [frame for frame in sent if frame.stream_id == stream_id][-1].flags & h2.END_STREAM == h2.END_STREAM


def _kinds(sent: list[Frame]) -> list[tuple[int, int]]:
    return [(frame.kind, frame.stream_id) for frame in sent]


@pytest.mark.parametrize(("most", "sizes"), [(None, [16_384] * 3 + [848]), (20_000, [20_000, 20_000, 10_000])])
def test_frame_size(most: int | None, sizes: list[int]) -> None:
    """A large body is cut by the peer's SETTINGS_MAX_FRAME_SIZE; the last piece ends the stream."""
    http2 = connected({h2.MAX_FRAME_SIZE: most} if most else {})
    begun(http2, bytes(50_000))
    sent = taken(http2)
    assert [len(frame.payload) for frame in sent[1:]] == sizes
    assert [frame.flags for frame in sent[1:]] == [0] * (len(sizes) - 1) + [h2.END_STREAM]


def test_large_header_block() -> None:
    """One that fits no frame is continued, before the body and with nothing between."""
    http2 = connected()
    block = bytes(range(256)) * 150
    http2.sender.send(Exchange(Request(block, b"body"), None), 0)
    first, second, third, body = taken(http2)
    assert first.payload + second.payload + third.payload == block
    assert [frame.kind for frame in (first, second, third)] == [h2.HEADERS, h2.CONTINUATION, h2.CONTINUATION]
    assert [frame.flags for frame in (first, second, third)] == [0, 0, h2.END_HEADERS]
    assert body == (h2.DATA, h2.END_STREAM, 1, b"body")


def test_windows_of_connection_and_stream() -> None:
    """A body stops where either window is used up, and goes on when that one grows."""
    http2 = connected()
    body = bytes(range(250)) * 400
    exchange = begun(http2, body)
    sent = taken(http2)
    assert len(_body_of(sent, 1)) == 65_535
    http2.receive(h2.window_update(1, 10_000), 0)
    assert taken(http2) == []
    http2.receive(h2.window_update(0, 4_000), 0)
    sent += taken(http2)
    assert len(_body_of(sent, 1)) == 69_535
    http2.receive(h2.window_update(0, 100_000), 0)
    sent += taken(http2)
    assert len(_body_of(sent, 1)) == 75_535
    assert not _ended(sent, 1)
    http2.receive(h2.window_update(1, 100_000), 0)
    sent += taken(http2)
    assert _body_of(sent, 1) == body
    assert _ended(sent, 1)
    assert http2.receive(answer(1), 0) == [exchange]


def test_small_bodies_use_the_window_up() -> None:
    """They are counted too, and wait for it with their headers sent."""
    http2 = connected()
    for _ in range(7):
        begun(http2, bytes(10_000))
    sent = taken(http2)
    assert [len(_body_of(sent, stream_id)) for stream_id in range(1, 15, 2)] == [10_000] * 6 + [5_535]
    http2.receive(h2.window_update(0, 4_465), 0)
    assert [(frame.flags, len(frame.payload)) for frame in taken(http2)] == [(h2.END_STREAM, 4_465)]


def test_tiny_windows() -> None:
    """A peer that takes a byte at a time gets a byte at a time."""
    http2 = connected({h2.INITIAL_WINDOW_SIZE: 1})
    begun(http2, b"abc")
    assert taken(http2)[1:] == [(h2.DATA, 0, 1, b"a")]
    http2.receive(h2.window_update(1, 1), 0)
    assert taken(http2) == [(h2.DATA, 0, 1, b"b")]
    http2.receive(h2.window_update(1, 1), 0)
    assert taken(http2) == [(h2.DATA, h2.END_STREAM, 1, b"c")]


def test_initial_window_that_shrinks() -> None:
    """It changes the windows of streams that are under way, to below zero, and of all later ones."""
    http2 = connected({h2.INITIAL_WINDOW_SIZE: 100})
    begun(http2, bytes(300))
    assert len(_body_of(taken(http2), 1)) == 100
    http2.receive(h2.settings({h2.INITIAL_WINDOW_SIZE: 10}), 0)  # 90 below zero
    begun(http2, bytes(300))
    sent = taken(http2)
    assert (len(_body_of(sent, 1)), len(_body_of(sent, 3))) == (0, 10)
    http2.receive(h2.window_update(1, 90), 0)
    assert taken(http2) == []
    http2.receive(h2.window_update(1, 5), 0)
    assert len(_body_of(taken(http2), 1)) == 5
    http2.receive(h2.settings({h2.INITIAL_WINDOW_SIZE: 1000}), 0)
    sent = taken(http2)
    assert (len(_body_of(sent, 1)), len(_body_of(sent, 3))) == (195, 290)
    assert _ended(sent, 1)
    assert _ended(sent, 3)


def test_windows_that_grow_too_large() -> None:
    """Of a stream: it alone ends. Of all streams, by a setting: the connection does."""
    http2 = connected()
    first, other = begun(http2, bytes(100_000)), begun(http2, bytes(100_000))
    assert http2.receive(h2.window_update(1, 2**31 - 1), 0) == [first]
    assert (first.fate, first.code) == (Fate.BROKEN, ErrorCode.FLOW_CONTROL_ERROR)
    assert http2.receive(h2.window_update(3, 100_000), 0) == []
    assert http2.receive(h2.settings({h2.INITIAL_WINDOW_SIZE: 2**31 - 1}), 0) == [other]
    assert http2.closed


def test_window_of_a_request_that_is_sent() -> None:
    """Nothing depends on it any more."""
    http2 = connected()
    exchange = begun(http2)
    assert http2.receive(h2.window_update(1, 2**31 - 1) + answer(1), 0) == [exchange]
    assert exchange.fate is None
    assert http2.receive(h2.window_update(1, 5), 0) == []


def test_oldest_first() -> None:
    """A window that is too small for two large bodies is given to the older; a small request passes by."""
    http2 = connected({h2.INITIAL_WINDOW_SIZE: 1 << 20})
    begun(http2, bytes(100_000))
    begun(http2, bytes(100_000))
    assert _kinds(taken(http2))[:2] == [(h2.HEADERS, 1), (h2.HEADERS, 3)]
    http2.receive(h2.window_update(0, 40_000), 0)
    begun(http2, b"small")
    sent = taken(http2)
    assert _ended(sent, 1)
    assert len(_body_of(sent, 1)) == 34_465
    assert len(_body_of(sent, 3)) == 40_000 - 34_465 - 5
    assert _body_of(sent, 5) == b"small"


def test_large_bodies_are_not_cut_ahead_of_time() -> None:
    """What is not written yet can still be given up, and small requests need not wait for all of it."""
    http2 = connected({h2.INITIAL_WINDOW_SIZE: 1 << 30})
    http2.receive(h2.window_update(0, 1 << 30), 0)
    large = begun(http2, bytes(16 << 20))
    assert len(http2.sender.take()) < 300_000
    http2.sender.written()
    http2.cancel(large, 0)
    begun(http2, b"small")
    assert _kinds(taken(http2)) == [(h2.RST_STREAM, 1), (h2.HEADERS, 3), (h2.DATA, 3)]


def test_limit_of_streams() -> None:
    """Who waits is begun when another ends, in order, and then its time of sending is taken."""
    http2 = connected({h2.MAX_CONCURRENT_STREAMS: 1})
    first, second, third = (begun(http2, now_ns=5) for _ in range(3))
    assert _kinds(taken(http2)) == [(h2.HEADERS, 1), (h2.DATA, 1)]
    assert (first.sent_ns, second.sent_ns) == (5, 0)
    assert http2.receive(answer(1), 7) == [first]
    assert _kinds(taken(http2)) == [(h2.HEADERS, 3), (h2.DATA, 3)]
    assert (second.sent_ns, third.sent_ns) == (7, 0)
    http2.cancel(second, 8)
    assert _kinds(taken(http2)) == [(h2.RST_STREAM, 3), (h2.HEADERS, 5), (h2.DATA, 5)]
    assert third.sent_ns == 8
    http2.receive(h2.settings({h2.MAX_CONCURRENT_STREAMS: 0}), 0)
    fourth = begun(http2)
    assert http2.receive(trailers(5, [(":status", "200")]), 0) == [third]
    assert _kinds(taken(http2)) == [(h2.SETTINGS, 0)]
    http2.receive(h2.settings({h2.MAX_CONCURRENT_STREAMS: 2}), 9)
    assert fourth.sent_ns == 9


def test_cancel() -> None:
    """Whoever waits is forgotten without a word; whoever is under way is reset; whoever has ended is left alone."""
    http2 = connected({h2.MAX_CONCURRENT_STREAMS: 1})
    first, second = begun(http2), begun(http2)
    taken(http2)
    http2.cancel(second, 0)
    assert taken(http2) == []
    http2.cancel(first, 0)
    http2.cancel(first, 0)
    assert taken(http2) == [(h2.RST_STREAM, 0, 1, h2.UINT32.pack(8))]
    assert http2.receive(answer(1), 0) == []
    assert second.sent_ns == 0


def test_answer_before_the_request_is_sent() -> None:
    """It is the answer, and the rest of the request is not sent (RFC 9113 section 8.1)."""
    http2 = connected()
    exchange = begun(http2, bytes(100_000))
    taken(http2)
    reset = h2.frame(h2.RST_STREAM, 0, 1, h2.UINT32.pack(ErrorCode.NO_ERROR))
    assert http2.receive(answer(1, b"enough") + reset, 0) == [exchange]
    assert (exchange.fate, exchange.parts) == (None, [b"enough"])
    http2.receive(h2.window_update(0, 100_000), 0)
    assert _kinds(taken(http2)) == [(h2.RST_STREAM, 1)]


def test_pause() -> None:
    """While nothing can be written nothing is begun, and the time of sending is that of the end of it."""
    http2 = connected()
    http2.sender.pause()
    exchange = begun(http2, now_ns=5)
    assert taken(http2) == []
    http2.receive(h2.settings({h2.MAX_CONCURRENT_STREAMS: 9}), 6)
    assert exchange.sent_ns == 0
    http2.sender.resume(7)
    assert exchange.sent_ns == 7
    assert _kinds(taken(http2)) == [(h2.SETTINGS, 0), (h2.HEADERS, 1), (h2.DATA, 1)]


@pytest.mark.parametrize("size", [1, 100_000])
def test_stream_ids_that_run_out(size: int) -> None:
    """The last is used, then the connection takes no more; what waits is for another."""
    http2 = connected({h2.MAX_CONCURRENT_STREAMS: 2})
    http2.sender.next_id = 2**31 - 3
    first, last, waits = (begun(http2, bytes(size)) for _ in range(3))
    assert (first.stream_id, last.stream_id) == (2**31 - 3, 2**31 - 1)
    assert not http2.sender.accepting
    assert http2.receive(answer(2**31 - 3), 0) == [first, waits]
    assert waits.fate is Fate.UNTAKEN
    assert http2.receive(answer(2**31 - 1), 0) == [last]
    assert http2.finished
