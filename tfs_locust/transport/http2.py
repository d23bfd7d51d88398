"""A client's HTTP/2 connection (RFC 9113) without I/O: bytes in, ended exchanges out, bytes to be written on demand.

Knows neither sockets nor clocks nor gRPC. Made for many small exchanges: the usual frames touch few objects, and what
is rare goes through methods of its own. Pushed streams, priorities and CONNECT have no use here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.http2_exchange import Exchange, Fate
from tfs_locust.transport.http2_fields import (
    MOST_LIST_BYTES,
    BlockReader,
    Fields,
    OversizedBlockError,
    UnreadableBlockError,
)
from tfs_locust.transport.http2_frames import ErrorCode, unpack_head
from tfs_locust.transport.http2_rules import PeerError, check_first, check_size, check_stream, foreign, unpadded
from tfs_locust.transport.http2_sender import Sender

_FRAME_MOST = h2.SMALLEST_MAX_FRAME  # of what comes: we ask for no more
_RENEW_BYTES = 1 << 30  # of the connection's window of twice this
_CONTINUED_MOST = 1_000
_OWED_MOST = 10_000  # acknowledgements that a peer has asked for and not read
_DATA, _HEADERS, _END_STREAM, _END_HEADERS = h2.DATA, h2.HEADERS, h2.END_STREAM, h2.END_HEADERS
_LAYOUT = h2.END_HEADERS | h2.PADDED | h2.HAS_PRIORITY  # of these flags plain HEADERS have the first alone


class Http2:
    """One connection. Its owner gives it what was read, and through ``sender`` what is to be sent."""

    def __init__(self, meaning: Callable[[Fields], Any]) -> None:
        """``meaning`` is what headers and trailers are to the owner, as of BlockReader."""
        self.sender = Sender()
        self.settled = False
        """The peer has sent its settings: it speaks HTTP/2."""
        self.closed = False
        """Over, for the reason of ``why``."""
        self.why = ""
        self._streams = self.sender.streams
        self._reader = BlockReader(meaning)
        self._ended: list[Exchange] = []
        self._rest = b""
        self._block: bytearray | None = None
        """A header block that is to be continued; ``_block_of`` are its stream and its first frame's flags."""
        self._block_of = (0, 0)
        self._continued = 0  # how often
        self._consumed = 0
        self._goodbye = ""

    @property
    def finished(self) -> bool:
        """Nothing is on its way, and nothing more will be."""
        return not self.sender.accepting and not self._streams

    def cancel(self, exchange: Exchange, now_ns: int) -> None:
        """Its owner has given it up: it will not be among those that end."""
        if exchange in self.sender.waiting:
            del self.sender.waiting[exchange]
        elif self._streams.get(exchange.stream_id) is exchange:
            self.sender.forget(exchange, ErrorCode.CANCEL)
            self.sender.begin_waiting(now_ns)

    def receive(self, data: bytes, now_ns: int) -> list[Exchange]:
        """The exchanges that ended with these bytes, in order; if the peer breaks the protocol, all that were left."""
        if self.closed:
            return []
        if self._rest:
            data = self._rest + data
        try:
            self._rest = data[self._read(data) :] if self.settled or check_first(data) else data
        except PeerError as error:
            self._rest = b""
            self.sender.put(h2.goaway(error.code, str(error)))
            return self.end(str(error))
        if self._consumed >= _RENEW_BYTES:
            self.sender.put(h2.window_update(0, self._consumed))
            self._consumed = 0
        if self.sender.waiting:
            self.sender.begin_waiting(now_ns)
            if not self.sender.accepting:
                self._ended += self.sender.turn_away()
        ended, self._ended = self._ended, []
        return ended

    def end(self, text: str) -> list[Exchange]:
        """The connection is over, for the reason of ``text``. Returns the exchanges that it ends."""
        if self.closed:
            return []
        self.closed = True
        self.why = self._goodbye or (not self.settled and foreign(self._rest)) or text
        for exchange in self._streams.values():
            unseen = exchange.stream_id > self.sender.written_id
            exchange.ended(Fate.UNTAKEN if unseen else Fate.LOST, self.why)
        ended = [*self._ended, *self._streams.values(), *self.sender.turn_away()]
        self._streams.clear()
        self._ended = []
        return ended

    def _read(self, data: bytes) -> int:
        """Read all whole frames; returns where the first begins that is not."""
        streams, known = self._streams, self._reader.known
        size = len(data)
        at = 0 if self._block is None else self._continue(data, 0)
        while size - at >= h2.HEAD_BYTES:
            high, length, kind, flags, stream_id = unpack_head(data, at)
            if high or length > _FRAME_MOST:
                raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "a frame is larger than allowed")
            begin = at + 9
            at, frame_at = begin + length, at
            if at > size:
                return frame_at
            payload = data[begin:at]
            exchange = streams.get(stream_id)
            if exchange is None:
                pass
            elif kind == _HEADERS and flags & _LAYOUT == _END_HEADERS:
                block = known(payload)
                if block is None or (exchange.headers is None and flags & _END_STREAM):
                    pass
                elif flags & _END_STREAM and block.status == 0:
                    exchange.trailers = block.meaning
                    self._finish(exchange)
                    continue
                elif exchange.headers is None and block.status >= 200:
                    exchange.headers = block.meaning
                    continue
            elif kind == _DATA and not flags and exchange.parts is None and exchange.headers is not None:
                exchange.parts = [payload]
                self._consumed += length
                continue
            self._take(kind, flags, stream_id & h2.LAST_STREAM_ID, payload)
            if self._block is not None:
                at = self._continue(data, at)
        return at

    def _take(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Any frame, of whatever form."""
        if kind == h2.DATA:
            self._consumed += len(payload)
            self._take_data(stream_id, flags, unpadded(payload) if flags & h2.PADDED else payload)
        elif kind == h2.HEADERS:
            if flags & h2.PADDED:
                payload = unpadded(payload)
            if flags & h2.HAS_PRIORITY:
                check_size(len(payload) >= 5)
                payload = payload[5:]
            if flags & h2.END_HEADERS:
                self._take_block(stream_id, flags, payload)
            else:
                self._check_not_idle(stream_id)
                self._block, self._block_of, self._continued = bytearray(payload), (stream_id, flags), 0
        elif kind == h2.RST_STREAM:
            check_size(len(payload) == 4)
            self._check_not_idle(stream_id)
            if exchange := self._streams.get(stream_id):
                self._reset(exchange, int.from_bytes(payload, "big"))
        elif kind == h2.SETTINGS:
            self._take_settings(flags, stream_id, payload)
        elif kind == h2.PING:
            check_size(len(payload) == 8)
            check_stream(stream_id == 0)
            if not flags & h2.ACK:
                self._owe(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif kind == h2.GOAWAY:
            check_size(len(payload) >= 8)
            check_stream(stream_id == 0)
            self._take_goaway(*h2.read_goaway(payload))
        elif kind == h2.WINDOW_UPDATE:
            check_size(len(payload) == 4)
            self._widen(stream_id, int.from_bytes(payload, "big") & h2.LARGEST_WINDOW)
        elif kind in (h2.PUSH_PROMISE, h2.CONTINUATION):
            raise PeerError(ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind} that was not to come")
        # PRIORITY says nothing to a client, and types that are not known are to be ignored (RFC 9113 section 5.5)

    def _continue(self, data: bytes, at: int) -> int:
        """Read the CONTINUATIONs of a header block, which nothing else may come between; returns where that ended."""
        assert self._block is not None
        while len(data) - at >= h2.HEAD_BYTES:
            high, length, kind, flags, stream_id = unpack_head(data, at)
            if kind != h2.CONTINUATION or stream_id & h2.LAST_STREAM_ID != self._block_of[0]:
                raise PeerError(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
            if high or length > _FRAME_MOST:
                raise PeerError(ErrorCode.FRAME_SIZE_ERROR, "a frame is larger than allowed")
            begin = at + 9
            if begin + length > len(data):
                break
            at = begin + length
            self._block += data[begin:at]
            if flags & h2.END_HEADERS:
                (stream_id, flags), block, self._block = self._block_of, bytes(self._block), None
                self._take_block(stream_id, flags, block)
                break
            self._continued += 1
            if self._continued > _CONTINUED_MOST or len(self._block) > MOST_LIST_BYTES:
                raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, "a header block does not end")
        return at

    def _take_block(self, stream_id: int, flags: int, payload: bytes) -> None:
        """A whole header block. It is read even where nobody wants it, because later ones may refer to it."""
        self._check_not_idle(stream_id)
        exchange = self._streams.get(stream_id)
        try:
            block = self._reader.known(payload) or self._reader.read(payload)
        except UnreadableBlockError as error:
            raise PeerError(ErrorCode.COMPRESSION_ERROR, f"a header block cannot be read: {error}") from error
        except OversizedBlockError as error:
            if not self._reader.keeps_no_table:
                raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, str(error)) from error
            if exchange:
                self._break(exchange, ErrorCode.ENHANCE_YOUR_CALM, str(error))
            return
        if exchange is None:
            return
        if block.status == 0 if exchange.headers is None else block.status != 0 or not flags & h2.END_STREAM:
            self._break(exchange, ErrorCode.PROTOCOL_ERROR, "headers out of place in the answer")
        elif block.status < 0 or (block.status < 200 and block.status and flags & h2.END_STREAM):
            self._break(exchange, ErrorCode.PROTOCOL_ERROR, "an answer without a status")
        elif flags & h2.END_STREAM:
            exchange.trailers = block.meaning
            self._finish(exchange)
        elif block.status >= 200:
            exchange.headers = block.meaning

    def _take_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        self._check_not_idle(stream_id)
        exchange = self._streams.get(stream_id)
        if exchange is None:
            return
        if exchange.headers is None:
            self._break(exchange, ErrorCode.PROTOCOL_ERROR, "a body before the headers of the answer")
            return
        exchange.received += len(payload)
        if exchange.received > h2.LARGEST_WINDOW:
            self._break(exchange, ErrorCode.FLOW_CONTROL_ERROR, "the answer is larger than its window")
        elif exchange.parts is None:
            exchange.parts = [payload]
        elif payload:
            exchange.parts.append(payload)
        if flags & h2.END_STREAM and not exchange.fate:
            self._finish(exchange)

    def _take_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        check_stream(stream_id == 0)
        check_size(len(payload) % 6 == 0 and not (payload and flags & h2.ACK))
        if flags & h2.ACK:
            return
        sender = self.sender
        for name, value in h2.read_settings(payload):
            if name == h2.MAX_CONCURRENT_STREAMS:
                sender.set_most_streams(value)
            elif name == h2.INITIAL_WINDOW_SIZE:
                if value > h2.LARGEST_WINDOW or not sender.set_initial_window(value):
                    raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "a window is larger than allowed")
            elif name == h2.ENABLE_PUSH:
                if value:
                    raise PeerError(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH is {value}")
            elif name == h2.MAX_FRAME_SIZE:
                if not h2.SMALLEST_MAX_FRAME <= value <= h2.LARGEST_MAX_FRAME:
                    raise PeerError(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE is {value}")
                sender.set_most_frame(value)
        self.settled = True
        self._owe(h2.frame(h2.SETTINGS, h2.ACK, 0))

    def _take_goaway(self, last_id: int, code: int, text: str) -> None:
        """What the peer did not take can be sent elsewhere, the rest is awaited (RFC 9113 section 6.8)."""
        if code or not self._goodbye:
            self._goodbye = f"GOAWAY received; error code {h2.error_name(code)}" + (f": {text}" if text else "")
        for exchange in [e for stream_id, e in self._streams.items() if stream_id > last_id]:
            exchange.ended(Fate.UNTAKEN, self._goodbye)
            self.sender.drop(exchange)
            self._ended.append(exchange)
        self._ended += self.sender.turn_away()

    def _reset(self, exchange: Exchange, code: int) -> None:
        text = f"Received RST_STREAM with error code {h2.error_name(code)}"
        untaken = code == ErrorCode.REFUSED_STREAM
        exchange.ended(Fate.UNTAKEN if untaken else Fate.RESET, text, code)
        self.sender.drop(exchange)
        self._ended.append(exchange)

    def _break(self, exchange: Exchange, code: ErrorCode, text: str) -> None:
        """The answer is none, and the connection goes on (RFC 9113 section 5.4.2)."""
        exchange.ended(Fate.BROKEN, text, code)
        self.sender.forget(exchange, code)
        self._ended.append(exchange)

    def _finish(self, exchange: Exchange) -> None:
        """The answer is complete; whether all of the request was wanted is the peer's affair (RFC 9113 section 8.1)."""
        if exchange.unsent is None:
            del self._streams[exchange.stream_id]
        else:
            self.sender.forget(exchange, ErrorCode.CANCEL)
        self._ended.append(exchange)

    def _widen(self, stream_id: int, increment: int) -> None:
        if stream_id == 0:
            if not increment or not self.sender.widen(increment):
                raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, f"the window is to grow by {increment}")
            return
        self._check_not_idle(stream_id)
        exchange = self._streams.get(stream_id)
        if exchange and (not increment or not self.sender.widen_stream(exchange, increment)):
            self._break(exchange, ErrorCode.FLOW_CONTROL_ERROR, f"the stream's window is to grow by {increment}")

    def _owe(self, frame: bytes) -> None:
        """Answer the peer, but not without end where it reads no answers."""
        self.sender.owed += 1
        if self.sender.owed > _OWED_MOST:
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, "frames to be answered come without end")
        self.sender.put(frame)

    def _check_not_idle(self, stream_id: int) -> None:
        """Frames of streams that have ended may still come; of others there can be none (RFC 9113 section 5.1)."""
        if not stream_id & 1 or stream_id >= self.sender.next_id:
            raise PeerError(ErrorCode.PROTOCOL_ERROR, f"a frame of stream {stream_id}, which was not begun")
