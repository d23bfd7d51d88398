"""REST over HTTP/1.1, as fast as Python sends it: prepared bytes, sockets without layers, one epoll set for all.

A call waits once, from its beginning to its end: who reads an answer gives its connection to the next call that waits,
and wakes the first. Connections carry one request at a time. Proxies named by the environment are not used.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter_ns

import gevent.ssl
from gevent import get_hub, getcurrent, monkey

from tfs_locust.measure.sample import Outcome
from tfs_locust.transport.base import Endpoint, Reply
from tfs_locust.transport.deadlines import Deadlines
from tfs_locust.transport.dialing import Address, Channel, Dialer
from tfs_locust.transport.http1 import AnswerTooLarge, BadAnswer, whole_answer
from tfs_locust.transport.http1_call import Call, Connection
from tfs_locust.transport.http1_request import RequestMaker, server_name
from tfs_locust.transport.tls import client_context

_epoll = monkey.get_original("select", "epoll")  # gevent takes it away: it waits for nobody else; here it never waits
_READABLE, _WRITABLE = 0x1, 0x4  # EPOLLIN, EPOLLOUT
_EVENTS_AT_ONCE = 1 << 12  # all: what is not known of idle connections may cost a call
_BLOCK_BYTES = 1 << 16
_NO_LIMIT = 1 << 31


class RestWire:
    """A :class:`~tfs_locust.transport.base.Transport` of one thread; to be made after any fork."""

    def __init__(self, endpoint: Endpoint, *, connections: int | None = None) -> None:
        """``connections``: how many at most; None for as many as there are calls in flight.

        Raises OSError or ssl.SSLError where a certificate cannot be used, ValueError where a header cannot be sent.
        Connects on the first call.
        """
        self._requests = RequestMaker(endpoint)
        context = None if endpoint.tls is None else client_context(endpoint.tls, gevent.ssl.SSLContext)
        self._limit = _NO_LIMIT if connections is None else connections
        self._closed = False
        hub = get_hub()
        self._switch = hub.switch
        self._run_callback = hub.loop.run_callback
        self._epoll = _epoll()
        self._poll = self._epoll.poll
        # it keeps the loop from ending no more than an idle connection should; calls have their deadlines' timer
        self._watcher = hub.loop.io(self._epoll.fileno(), _READABLE, ref=False)
        self._watcher.start(self._look)
        self._deadlines = Deadlines[Call](hub.loop, self._over)
        self._dialer = Dialer(
            endpoint, context, server_name(endpoint), self._wanted, self._connected, self._unreachable
        )
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        """The one used last is the next to be used."""
        self._waiting: deque[Call] = deque()
        """Those without a connection. There are none while there are idle ones."""

    @property
    def peers(self) -> dict[str, int]:
        """Address -> number of answers that came from it."""
        return {address.name: address.answers for address in self._dialer.addresses if address.answers}

    def prepare(self, path: str, body: bytes | None) -> bytes:
        """Raises ValueError for a path that cannot stand in a request line."""
        return self._requests.get(path) if body is None else self._requests.post(path, body)

    def call(self, request: bytes, timeout_s: float) -> Reply:
        now_ns = perf_counter_ns()
        if self._closed:
            return Reply(now_ns, now_ns, Outcome.CANCELLED, b"", "the transport is closed")
        self._look()  # so that it is known which connections have ended, and no answer waits for this call's work
        call = Call(request, getcurrent().switch)
        queue = self._deadlines.add(call, now_ns, timeout_s)
        try:
            self._place(call)
            self._switch()
        except BaseException:  # the caller is killed, or has a timeout of its own
            if call.waking is None:
                self._withdraw(call)
            else:
                call.waking.stop()
            raise
        finally:
            queue.pop(call, None)
        return call.reply()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for call in self._deadlines.items():
            if not call.end_ns:
                self._withdraw(call)
                self._fail(call, Outcome.CANCELLED, "the transport was closed")
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._deadlines.close()
        self._dialer.close()
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()

    # calls

    def _place(self, call: Call) -> None:
        """Send it on an idle connection, or let it wait for one."""
        while self._idle:
            if self._begin(call, self._idle.pop()):
                return
        self._waiting.append(call)
        self._dialer.dial()

    def _begin(self, call: Call, connection: Connection) -> bool:
        """Send it; False if the connection turns out to have ended before, which says nothing about the call."""
        call.connection, connection.call = connection, call
        call.sent_ns = perf_counter_ns()
        try:
            sent = connection.send(call.request)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            call.sent_ns = 0
            self._drop(connection)
            if connection.used:
                return False
            self._fail(call, Outcome.CONNECTION_LOST, str(error))
            return True
        if sent < len(call.request):
            connection.unsent = memoryview(call.request)[sent:]
            self._epoll.modify(connection.fd, _READABLE | _WRITABLE)
        return True

    def _withdraw(self, call: Call) -> None:
        """Nobody wants its answer any more, nor may anybody else get it."""
        if call.connection is not None:
            self._drop(call.connection)
        else:
            self._waiting.remove(call)  # mostly the first: they expire in the order in which they came

    def _fail(self, call: Call, outcome: Outcome, detail: str) -> None:
        call.outcome, call.detail = outcome, detail
        call.end_ns = perf_counter_ns()
        call.sent_ns = call.sent_ns or call.end_ns
        call.waking = self._run_callback(call.resume)

    def _over(self, calls: list[Call], _now_ns: int) -> None:
        """Their time is up."""
        self._look()  # answers may have come while this process was busy
        for call in calls:
            if not call.end_ns:
                self._withdraw(call)
                self._fail(call, Outcome.DEADLINE_EXCEEDED, "Deadline Exceeded")

    # connections

    def _wanted(self) -> int:
        return min(len(self._waiting), self._limit - len(self._connections))

    def _connected(self, channel: Channel, address: Address) -> None:
        if self._closed or len(self._connections) == self._limit:
            address.open -= 1
            channel.close()
            return
        connection = Connection(channel, address)
        self._connections[connection.fd] = connection
        self._epoll.register(connection.fd, _READABLE)
        self._free(connection)

    def _unreachable(self, detail: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            self._fail(call, Outcome.UNREACHABLE, detail)

    def _free(self, connection: Connection) -> None:
        """Give it to the call that has waited longest."""
        if not self._waiting:
            self._idle.append(connection)
            return
        call = self._waiting.popleft()
        if not self._begin(call, connection):
            self._waiting.appendleft(call)
            self._dialer.dial()

    def _drop(self, connection: Connection) -> None:
        call, connection.call = connection.call, None
        if call is not None:
            call.connection = None
        elif connection in self._idle:
            self._idle.remove(connection)
        del self._connections[connection.fd]
        connection.address.open -= 1
        connection.channel.close()  # which takes it out of the epoll set
        if self._waiting:
            self._dialer.dial()

    # what the kernel tells

    def _look(self) -> None:
        """Read what has come and send what there is room for."""
        for fd, events in self._poll(0, _EVENTS_AT_ONCE):
            connection = self._connections.get(fd)
            if connection is None:  # dropped on account of another's event
                continue
            if events == _WRITABLE:
                self._write(connection)
            else:
                self._read(connection)

    def _write(self, connection: Connection) -> None:
        assert connection.unsent is not None
        try:
            connection.unsent = connection.unsent[connection.send(connection.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            # The server may have answered before it closed. What is left unsent keeps the connection from being used.
            self._epoll.modify(connection.fd, _READABLE)
            self._read(connection)
            return
        if not connection.unsent:
            connection.unsent = None
            self._epoll.modify(connection.fd, _READABLE)

    def _read(self, connection: Connection) -> None:
        call = connection.call
        try:
            data = connection.recv(_BLOCK_BYTES)
            now_ns = perf_counter_ns()
            if call is None:  # the server has ended it, or says what nobody asked for
                self._drop(connection)
                return
            answer = (whole_answer(data) if connection.parser is None else None) or connection.take(data)
        except BlockingIOError:
            return
        except (OSError, BadAnswer) as error:
            self._drop(connection)
            if call is not None:
                outcome = Outcome.ANSWER_TOO_LARGE if isinstance(error, AnswerTooLarge) else Outcome.CONNECTION_LOST
                self._fail(call, outcome, str(error))
            return
        if answer is None:
            return
        call.end_ns = now_ns
        call.answer = answer
        call.connection = None
        call.waking = self._run_callback(call.resume)
        connection.address.answers += 1
        connection.call = None
        connection.used = True
        if answer[0].reusable and connection.unsent is None:
            self._free(connection)
        else:
            self._drop(connection)
