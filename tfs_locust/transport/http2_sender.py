"""The sending half of an HTTP/2 connection: begins streams and cuts bodies, as far as the peer's limits allow.

Streams, windows and limits are those of RFC 9113 sections 5.1.2, 5.2 and 6.9. No I/O: what is to be written is taken.
"""

from __future__ import annotations

from tfs_locust.transport import http2_frames as h2
from tfs_locust.transport.http2_exchange import Exchange, Fate
from tfs_locust.transport.http2_fields import MOST_LIST_BYTES
from tfs_locust.transport.http2_frames import ErrorCode

_SETTINGS = {
    h2.HEADER_TABLE_SIZE: 0,  # see http2_fields
    h2.ENABLE_PUSH: 0,
    h2.INITIAL_WINDOW_SIZE: h2.LARGEST_WINDOW,  # no stream's window is ever renewed: no answer is larger
    h2.MAX_HEADER_LIST_SIZE: MOST_LIST_BYTES,
}
_OPENING = h2.CLIENT_PREFACE + h2.settings(_SETTINGS) + h2.window_update(0, h2.LARGEST_WINDOW - h2.DEFAULT_WINDOW)
_AHEAD_BYTES = 1 << 18  # of large bodies, how much is cut before it can be written
_pack_id = h2.UINT32.pack


class Sender:
    """Exchanges that wait for room, that are being sent, and that are on their way; and the bytes this makes."""

    def __init__(self) -> None:
        self.streams: dict[int, Exchange] = {}
        """All that were begun and have not ended."""
        self.waiting: dict[Exchange, None] = {}
        """Not begun yet, for want of room; in order."""
        self.accepting = True
        """New exchanges can be begun, now or when there is room."""
        self.next_id = 1
        self.written_id = -1
        """The last stream of which the peer may have seen something."""
        self.owed = 0
        """Frames that answer the peer's own, and were not taken yet: one that reads nothing can be owed many."""
        self._taken_id = -1
        self._sending: dict[int, Exchange] = {}
        """Those of the streams whose bodies are not all cut into frames."""
        self._out: list[bytes | memoryview] = [_OPENING]
        self._paused = False
        self._window = h2.DEFAULT_WINDOW
        # the peer's settings, at the values that hold until it gives others
        self._streams_most = h2.LAST_STREAM_ID
        self._initial_window = h2.DEFAULT_WINDOW
        self._frame_most = h2.SMALLEST_MAX_FRAME
        # what follows from these: how many streams may be open now, and how large a body goes as one frame
        self._room = self._streams_most
        self._whole = self._frame_most

    def send(self, exchange: Exchange, now_ns: int) -> None:
        """Begin an exchange now, or when there is room; not where ``accepting`` is False."""
        request = exchange.request
        size = request.size
        if size <= self._whole and size <= self._window and len(self.streams) < self._room:
            self._window -= size
            exchange.sent_ns = now_ns
            exchange.stream_id = stream_id = self.next_id
            self.next_id = stream_id + 2
            self.streams[stream_id] = exchange
            packed = _pack_id(stream_id)
            self._out += (request.head, packed, request.between, packed, request.body)
            if stream_id == h2.LAST_STREAM_ID:
                self.accepting = False
                self._room = 0
        else:
            self.waiting[exchange] = None
            self.begin_waiting(now_ns)

    def begin_waiting(self, now_ns: int) -> None:
        """Begin those that wait, as far as there is room. Of small bodies the sender keeps no account per stream."""
        while self.waiting and len(self.streams) < self._room:
            exchange = next(iter(self.waiting))
            del self.waiting[exchange]
            if exchange.request.size <= min(self._whole, self._window):
                self.send(exchange, now_ns)
                continue
            stream_id = self.next_id
            self.next_id += 2
            exchange.sent_ns, exchange.stream_id = now_ns, stream_id
            exchange.unsent, exchange.window = memoryview(exchange.request.body), self._initial_window
            self.streams[stream_id] = self._sending[stream_id] = exchange
            self._out += h2.header_frames(stream_id, exchange.request.block, self._frame_most)
            if stream_id == h2.LAST_STREAM_ID:
                self.stop_accepting()

    def drop(self, exchange: Exchange) -> None:
        """An exchange is over: send no more of it."""
        del self.streams[exchange.stream_id]
        self._sending.pop(exchange.stream_id, None)
        exchange.unsent = None

    def forget(self, exchange: Exchange, code: ErrorCode) -> None:
        """As ``drop``, where the peer does not know of it."""
        self.drop(exchange)
        self._out.append(h2.rst_stream(exchange.stream_id, code))

    def stop_accepting(self) -> None:
        self.accepting = False
        self._room = 0

    def turn_away(self) -> list[Exchange]:
        """Begin none of those that wait: returns them, to be sent elsewhere."""
        self.stop_accepting()
        turned = list(self.waiting)
        for exchange in turned:
            exchange.ended(Fate.UNTAKEN, "the connection takes no more requests")
        self.waiting.clear()
        return turned

    def put(self, frame: bytes) -> None:
        """A frame that belongs to no request."""
        self._out.append(frame)

    def take(self) -> bytes:
        """What is to be written now; when that is done call :meth:`written` and take more, until nothing is left."""
        if self._sending:
            self._cut_bodies()
        out = b"".join(self._out)
        self._out.clear()
        self.owed = 0
        self._taken_id = self.next_id - 2
        return out

    def written(self) -> None:
        """At least a part of what was taken last may reach the peer."""
        self.written_id = self._taken_id

    def pause(self) -> None:
        """What was taken cannot be written at present: an exchange begun now would wait unseen."""
        self._paused = True
        self._room = 0

    def resume(self, now_ns: int) -> None:
        self._paused = False
        self._reckon()
        self.begin_waiting(now_ns)

    def set_most_streams(self, value: int) -> None:
        self._streams_most = value
        self._reckon()

    def set_most_frame(self, value: int) -> None:
        self._frame_most = value
        self._reckon()

    def set_initial_window(self, value: int) -> bool:
        """Changes the windows of all streams, to below zero if need be (6.9.2). Whether none grew too large."""
        change = value - self._initial_window
        self._initial_window = value
        for exchange in self._sending.values():
            exchange.window += change
        self._reckon()
        return all(exchange.window <= h2.LARGEST_WINDOW for exchange in self._sending.values())

    def widen(self, increment: int) -> bool:
        """The connection's window. Whether it did not grow too large (6.9.1)."""
        self._window += increment
        return self._window <= h2.LARGEST_WINDOW

    def widen_stream(self, exchange: Exchange, increment: int) -> bool:
        """A stream's window. Whether it did not grow too large; where nothing is left to be sent it does not matter."""
        if exchange.stream_id in self._sending:
            exchange.window += increment
            return exchange.window <= h2.LARGEST_WINDOW
        return True

    def _reckon(self) -> None:
        self._room = self._streams_most if self.accepting and not self._paused else 0
        self._whole = min(self._initial_window, self._frame_most)

    def _cut_bodies(self) -> None:
        """The oldest first: to share the window among all would end them all late."""
        ahead = 0
        for stream_id, exchange in list(self._sending.items()):
            unsent = exchange.unsent
            assert unsent is not None
            while ahead < _AHEAD_BYTES:
                size = min(self._window, exchange.window, self._frame_most, len(unsent))
                if size <= 0:
                    break
                last = size == len(unsent)
                self._out.append(h2.unaddressed(h2.DATA, h2.END_STREAM if last else 0, size) + _pack_id(stream_id))
                self._out.append(unsent[:size])
                unsent = unsent[size:]
                self._window -= size
                exchange.window -= size
                ahead += size
                if last:
                    del self._sending[stream_id]
                    break
            exchange.unsent = unsent or None
