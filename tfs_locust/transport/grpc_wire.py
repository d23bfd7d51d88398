"""gRPC over connections of our own, for many requests per second from one core: the fast engine.

Unlike grpcio it uses no proxies, whatever the environment names, and knows no other balancing than to take connections
in turn. It belongs to the thread (gevent's hub) that made it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import cycle
from time import perf_counter_ns
from typing import Any

from gevent import get_hub, getcurrent

from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Endpoint, Reply
from tfs_locust.transport.deadlines import Deadlines
from tfs_locust.transport.grpc_connection import GrpcConnection
from tfs_locust.transport.grpc_pool import GrpcPool
from tfs_locust.transport.grpc_protocol import Method, answer, common_fields
from tfs_locust.transport.http2_exchange import Exchange, Fate

# grpcio's server refuses streams to a client that keeps to its limit, when it has not noticed yet that others are over:
# it is given time to, 1 ms at first and then twice as long each time, up to 64 ms
_PAUSES_S = [0.001 * 2 ** min(refusals, 6) for refusals in range(16)]
_CLOSED = "the transport is closed"
_reply: Callable[[tuple[int, int, Outcome, bytes, str]], Reply] = partial(tuple.__new__, Reply)  # at half the cost


class GrpcWire:
    """A :class:`~tfs_locust.transport.base.Transport` over HTTP/2 connections that all calls share."""

    def __init__(self, endpoint: Endpoint, *, connections: int | None = None) -> None:
        """``connections`` in all, spread over all addresses of the host; None: one for each of them.

        Raises OSError or ssl.SSLError where a certificate cannot be used. Connects on the first call.
        """
        self.peers: dict[str, int] = {}
        """Address, as ``127.0.0.1:8500`` -> how many answers came from it."""
        self._common = common_fields(endpoint.authority, endpoint.tls is not None, endpoint.headers)
        self._hub: Any = get_hub()
        self._wait = self._hub.switch
        self._deadlines = Deadlines[Exchange](self._hub.loop, self._over)
        self._pauses = Deadlines[Exchange](self._hub.loop, self._resume)
        """What the peer refused, until it is sent again."""
        self._pool = GrpcPool(endpoint, connections, self)
        self._rotation: cycle[GrpcConnection] | None = None
        """The live connections in turn; None where they are to be looked at anew."""
        self._waiting: dict[Exchange, None] = {}
        """What no connection could be given yet, in order."""
        self._closed = False

    def prepare(self, path: str, body: bytes | None) -> Method:
        return Method(self._common, path, body or b"")

    def call(self, request: Method, timeout_s: float) -> Reply:
        framed = request.request if request.timeout_s == timeout_s else request.timed(timeout_s)
        exchange = Exchange(framed, getcurrent())
        now_ns = perf_counter_ns()
        rotation = self._rotation
        if rotation is None or not next(rotation).send(exchange, now_ns):
            if self._closed:
                return Reply(now_ns, now_ns, Outcome.CANCELLED, b"", _CLOSED)
            self._place(exchange, now_ns)
        queue = self._deadlines.add(exchange, now_ns, timeout_s)
        try:
            woken_with = self._wait()
            assert woken_with is exchange, "something else woke a call that waits"
        except BaseException:  # the caller is killed, or a timeout of its own is over
            exchange.caller = None
            self._withdraw(exchange, perf_counter_ns())
            raise
        finally:
            queue.pop(exchange, None)
        end_ns = exchange.end_ns
        sent_ns = exchange.sent_ns or end_ns
        if exchange.outcome is not None:
            return Reply(sent_ns, end_ns, exchange.outcome, b"", exchange.text)
        outcome, body, detail = answer(exchange)
        if exchange.fate is not None and outcome is Outcome.CANCELLED and end_ns >= now_ns + timeout_s * 1e9:
            outcome, detail = Outcome.DEADLINE_EXCEEDED, "Deadline Exceeded"  # the server kept time, too
        return _reply((sent_ns, end_ns, outcome, body, detail))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._rotation = None
        exchanges = [*self._waiting, *self._pauses.items(), *self._pool.close()]
        self._waiting.clear()
        self._pauses.close()
        self._deadlines.close()
        self._hub.loop.run_callback(self._end, exchanges, Outcome.CANCELLED, _CLOSED, perf_counter_ns())

    # what follows is for the pool alone

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def finish(self, exchanges: list[Exchange], now_ns: int, peer: str) -> None:
        """Wake their callers, or send again what was not taken. In the hub."""
        self.peers[peer] = self.peers.get(peer, 0) + len(exchanges)
        for exchange in exchanges:
            if exchange.fate is not None:
                self.peers[peer] -= 1
                if exchange.fate is Fate.UNTAKEN and self._again(exchange, now_ns):
                    continue
            self._wake(exchange, now_ns)

    def changed(self) -> None:
        """Look at the live connections anew, and give them what waits."""
        self._rotation = None
        if self._pool.live:
            now_ns = perf_counter_ns()
            waiting, self._waiting = self._waiting, {}
            for exchange in waiting:
                self._place(exchange, now_ns)

    def unreachable(self, text: str) -> None:
        """What waits has waited for nothing."""
        exchanges, self._waiting = list(self._waiting), {}
        self._hub.loop.run_callback(self._end, exchanges, Outcome.UNREACHABLE, text, perf_counter_ns())

    def _place(self, exchange: Exchange, now_ns: int) -> None:
        """Give it to a connection, or let it wait for one."""
        while True:
            if self._rotation is None:
                self._pool.demand()
                if not self._pool.live:
                    self._waiting[exchange] = None
                    return
                self._rotation = cycle(tuple(self._pool.live))
            if next(self._rotation).send(exchange, now_ns):
                return

    def _again(self, exchange: Exchange, now_ns: int) -> bool:
        """Whether it is sent again: it was not taken, and may be taken elsewhere or at a later try."""
        if self._closed or exchange.caller is None or exchange.refusals == len(_PAUSES_S):
            return False
        refused = exchange.code
        exchange.start_over()
        if refused:
            self._pauses.add(exchange, now_ns, _PAUSES_S[exchange.refusals])
            exchange.refusals += 1
        else:
            self._place(exchange, now_ns)
        return True

    def _resume(self, exchanges: list[Exchange], now_ns: int) -> None:
        """The peer has had time. Those that ended meanwhile are out of it."""
        for exchange in exchanges:
            if exchange.caller is not None:
                self._place(exchange, now_ns)

    def _withdraw(self, exchange: Exchange, now_ns: int) -> None:
        """It is not to be sent or answered any more."""
        self._waiting.pop(exchange, None)
        if exchange.connection is not None:
            exchange.connection.cancel(exchange, now_ns)

    def _over(self, exchanges: list[Exchange], now_ns: int) -> None:
        """Their time is up."""
        for connection in {exchange.connection for exchange in exchanges} - {None}:
            connection.look()  # answers may have come while this process was busy
        exchanges = [exchange for exchange in exchanges if not exchange.end_ns]
        for exchange in exchanges:
            self._withdraw(exchange, now_ns)
        self._end(exchanges, Outcome.DEADLINE_EXCEEDED, "Deadline Exceeded", now_ns)

    def _end(self, exchanges: list[Exchange], outcome: Outcome, text: str, now_ns: int) -> None:
        """Of our own accord. In the hub."""
        for exchange in exchanges:
            exchange.outcome, exchange.text = outcome, text
            self._wake(exchange, now_ns)

    def _wake(self, exchange: Exchange, now_ns: int) -> None:
        """Switch to its caller, which comes back when it waits for something else."""
        exchange.end_ns = now_ns
        caller = exchange.caller
        if caller is not None:
            exchange.caller = None
            try:
                caller.switch(exchange)
            except BaseException:
                self._hub.handle_error(caller, *sys.exc_info())
