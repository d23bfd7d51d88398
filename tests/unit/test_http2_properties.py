"""However the bytes come, and whatever they are: the same events, every exchange ends once, nothing grows."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.http2_peer import (
    DONE,
    OK,
    SETTINGS,
    TableEncoder,
    as_fields,
    begun,
    connected,
    encoded,
    frames,
    goaway,
    padded,
    taken,
)
from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.http2 import Http2
from tfs_locust.transport.http2_exchange import Exchange
from tfs_locust.transport.http2_fields import BlockReader, OversizedBlockError, UnreadableBlockError

_EXCHANGES = 4
_IDS = range(1, 2 * _EXCHANGES, 2)
_BLOCKS = [encoded(OK), encoded(DONE), encoded([(":status", "103")])]
_PAYLOADS = st.one_of(st.binary(max_size=40), st.sampled_from(_BLOCKS), st.integers(0, 2**32 - 1).map(h2.UINT32.pack))

_noise = st.sampled_from(
    [
        h2.frame(h2.PING, 0, 0, b"12345678"),
        h2.settings({h2.INITIAL_WINDOW_SIZE: 70_000}),
        h2.settings({h2.MAX_CONCURRENT_STREAMS: 9, 0x77: 1}),
        h2.window_update(0, 1000),
        h2.frame(0xEE, 0xFF, 0, b"whatever"),
        h2.frame(h2.PRIORITY, 0, 3, bytes(5)),
        goaway(2**31 - 1),
    ]
)


@st.composite
def _block(draw: st.DrawFn, stream_id: int, table: TableEncoder, fields: Any, end: int) -> bytes:
    """A header block in one frame or several, with a table or without."""
    block = table.encode(fields) if draw(st.booleans()) else encoded(fields)
    cuts = sorted(draw(st.lists(st.integers(1, max(1, len(block) - 1)), max_size=3, unique=True)))
    parts = [block[begin:to] for begin, to in zip([0, *cuts], [*cuts, len(block)], strict=True)]
    flags = [0] * (len(parts) - 1) + [h2.END_HEADERS]
    if draw(st.booleans()):
        first = padded(h2.HEADERS, flags[0] | end, stream_id, parts[0], draw(st.integers(0, 20)))
    else:
        first = h2.frame(h2.HEADERS, flags[0] | end, stream_id, parts[0])
    rest = zip(flags[1:], parts[1:], strict=True)
    return first + b"".join(h2.frame(h2.CONTINUATION, flag, stream_id, part) for flag, part in rest)


@st.composite
def _dialogues(draw: st.DrawFn) -> bytes:
    """What a peer may send in answer to the exchanges, and between."""
    table = TableEncoder()
    left = {stream_id: draw(st.integers(0, 3)) for stream_id in _IDS}
    begun_ids: set[int] = set()
    out = [draw(_noise)] if draw(st.booleans()) else []
    while left:
        stream_id = draw(st.sampled_from(sorted(left)))
        if stream_id not in begun_ids and left[stream_id] and draw(st.booleans()):
            begun_ids.add(stream_id)
            out.append(draw(_block(stream_id, table, [*OK, ("x-id", str(stream_id))], 0)))
        elif stream_id in begun_ids and left[stream_id]:
            left[stream_id] -= 1
            out.append(padded(h2.DATA, 0, stream_id, draw(st.binary(max_size=30)), draw(st.integers(0, 9))))
        elif draw(st.integers(0, 5)) == 0:
            del left[stream_id]
            out.append(h2.frame(h2.RST_STREAM, 0, stream_id, h2.UINT32.pack(draw(st.integers(0, 14)))))
        else:
            del left[stream_id]
            status = [] if stream_id in begun_ids else OK
            out.append(draw(_block(stream_id, table, [*status, *DONE, ("x-id", str(stream_id))], h2.END_STREAM)))
        if draw(st.integers(0, 3)) == 0:
            out.append(draw(_noise))
    return b"".join(out)


def _told(exchange: Exchange) -> tuple[Any, ...]:
    return exchange.stream_id, exchange.fate, exchange.headers, exchange.parts, exchange.trailers


def _with_exchanges() -> tuple[Http2, list[Exchange]]:
    http2 = connected()
    exchanges = [begun(http2) for _ in range(_EXCHANGES)]
    taken(http2)
    return http2, exchanges


@settings(deadline=None)
@given(_dialogues(), st.data())
def test_any_split_gives_the_same_events(dialogue: bytes, data: st.DataObject) -> None:
    """The same exchanges end in the same order with the same content, and the same is answered."""
    whole, exchanges = _with_exchanges()
    expected = [_told(exchange) for exchange in whole.receive(dialogue, 0)]
    assert not whole.closed
    assert {told[0] for told in expected} == set(_IDS)
    assert len(expected) == len(exchanges)
    written = taken(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(dialogue)), max_size=30)))
    for places in (cuts, list(range(len(dialogue)))):
        split, _ = _with_exchanges()
        ended = []
        for begin, to in zip([0, *places], [*places, len(dialogue)], strict=True):
            ended += split.receive(dialogue[begin:to], 0)
        assert [_told(exchange) for exchange in ended] == expected
        assert taken(split) == written
        assert split.sender.accepting == whole.sender.accepting


_any_frame = st.builds(
    h2.frame,
    st.one_of(st.integers(0, 9), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D]), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, *_IDS]), st.integers(0, 2**32 - 1)),
    _PAYLOADS,
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.one_of(_any_frame, _noise, st.binary(max_size=30)), max_size=30), st.booleans())
def test_arbitrary_bytes_end_in_a_clean_error(parts: list[bytes], settled: bool) -> None:
    """Nothing is raised; every exchange ends once; what is kept of the input is less than a frame and a header list."""
    http2, exchanges = _with_exchanges() if settled else (Http2(as_fields), [])
    ended = []
    for part in parts:
        ended += http2.receive(part, 0)
        assert len(http2._rest) < 16_384 + 9
        assert http2._block is None or len(http2._block) < (1 << 16) + 16_384
        frames(http2.sender.take())
    ended += http2.end("over")
    assert Counter(ended) == Counter(exchanges)
    assert all(exchange.fate is not None or exchange.trailers or exchange.headers for exchange in ended)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_arbitrary_header_blocks(blocks: list[bytes]) -> None:
    """Are read, or found to be none."""
    reader = BlockReader(as_fields)
    for block in blocks:
        try:
            reader.read(block)
        except UnreadableBlockError:
            break
        except OversizedBlockError:
            pass


@settings(deadline=None)
@given(
    st.integers(1, 100_000),
    st.lists(st.integers(1, 60_000), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 50_000)), max_size=30),
    st.lists(st.integers(0, 100_000), max_size=3),
)
def test_windows_are_kept_to(window: int, sizes: list[int], grants: list[tuple[int, int]], changes: list[int]) -> None:
    """However they grow and shrink, no more is sent than both allow, and in the end all of it, in order."""
    http2 = connected({h2.INITIAL_WINDOW_SIZE: window})
    bodies = {2 * i + 1: bytes([i + 1]) * size for i, size in enumerate(sizes)}
    for body in bodies.values():
        begun(http2, body)
    allowed = {0: 65_535, **dict.fromkeys(bodies, window)}
    got = dict.fromkeys(bodies, b"")

    def take() -> None:
        for frame in taken(http2):
            if frame.kind == h2.DATA:
                allowed[0] -= len(frame.payload)
                allowed[frame.stream_id] -= len(frame.payload)
                got[frame.stream_id] += frame.payload
                assert len(frame.payload) <= 16_384
                assert not frame.payload or (allowed[0] >= 0 and allowed[frame.stream_id] >= 0)
                assert bool(frame.flags & h2.END_STREAM) == (got[frame.stream_id] == bodies[frame.stream_id])
        for stream_id, body in bodies.items():
            unsent = len(body) - len(got[stream_id])
            assert not unsent or allowed[0] == 0 or allowed[stream_id] <= 0

    take()
    for place, (target, size) in enumerate(grants):
        if place < len(changes):
            http2.receive(h2.settings({h2.INITIAL_WINDOW_SIZE: changes[place]}), 0)
            for stream_id in bodies:
                allowed[stream_id] += changes[place] - window
            window = changes[place]
        stream_id = 0 if target == 0 else list(bodies)[target % len(bodies)]
        http2.receive(h2.window_update(stream_id, size), 0)
        allowed[stream_id] += size
        take()
    for stream_id in (0, *bodies):
        size = 1_000_000
        http2.receive(h2.window_update(stream_id, size), 0)
        allowed[stream_id] += size
    take()
    assert got == bodies


def test_first_settings_in_pieces() -> None:
    """The opening too may come in any pieces."""
    http2 = Http2(as_fields)
    for byte in SETTINGS:
        assert not http2.settled
        http2.receive(bytes([byte]), 0)
    assert http2.settled
