"""A TCP server that does with each connection as a test tells it, byte by byte: for what no HTTP server would do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
_PATIENCE_S = 30


async def read_request(reader: Reader) -> tuple[bytes, bytes]:
    """The next request's head and body. Raises asyncio.IncompleteReadError where none comes any more."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
    return head, await reader.readexactly(int(length[0])) if length else b""


def answer(body: bytes, fields: bytes = b"") -> bytes:
    """The bytes of a plain answer."""
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)


class RawPeer:
    """Listens on a free port of ``host``, with the backlog of TensorFlow Serving."""

    def __init__(self, script: Callable[[RawPeer, Reader, Writer], Awaitable[None]], host: str, port: int) -> None:
        self.accepted = 0
        self.requests = 0
        """For scripts to count."""
        self.open = 0
        self.most_open = 0
        self.released = asyncio.Event()
        self._script = script
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server((host, port), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._loop.add_reader(self._listener, self._accept)
        self._thread.start()

    def release(self) -> None:
        """Let scripts that wait for ``released`` go on."""
        self._loop.call_soon_threadsafe(self.released.set)

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            client, _ = self._listener.accept()
            self.accepted += 1
            task = self._loop.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: client.close())  # of a task that never began, too

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._script(self, reader, writer)
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _end(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)  # the transports' own last callbacks

    def end(self) -> None:
        """Stop listening, and end all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def running_raw_peer(
    script: Callable[[RawPeer, Reader, Writer], Awaitable[None]], host: str = "127.0.0.1", port: int = 0
) -> Iterator[RawPeer]:
    """One that runs the script for each connection."""
    peer = RawPeer(script, host, port)
    try:
        yield peer
    finally:
        peer.end()


async def echo(peer: RawPeer, reader: Reader, writer: Writer) -> None:
    """Answer every request with its body. A script."""
    while True:
        _, body = await read_request(reader)
        peer.requests += 1
        writer.write(answer(body))
        await writer.drain()


async def hold(peer: RawPeer, reader: Reader, writer: Writer) -> None:
    """As echo, but no answer before release. A script."""
    while True:
        _, body = await read_request(reader)
        peer.requests += 1
        await peer.released.wait()
        writer.write(answer(body))
        await writer.drain()
