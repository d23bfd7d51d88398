"""A wire between a transport and its peer that a test can cut: it passes bytes on and knows no protocol."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER for no time
_PATIENCE_S = 30
_BLOCK_BYTES = 1 << 16


class Relay:
    """Listens on a free port of loopback and relays to another. Its methods may be called from any thread."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.accepted = 0
        self.answer_limit: int | None = None
        """A connection ends when this many bytes of answers went through it."""
        self.stalls = False
        """It does not end then, and nothing more comes through."""
        self.holds = False
        """Answers wait, until this is False again."""
        self._target_port = target_port
        self._listener: socket.socket | None = None
        self._relaying: set[asyncio.Task[None]] = set()
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._clients)

    def cut(self, *, reset: bool = False) -> None:
        """End all connections, as a process that ends (or, with ``reset``, one that is killed) does."""
        self._do(self._cut(reset))

    def leave(self) -> None:
        """End all connections and listen no more."""
        self._do(self._leave())

    def return_(self) -> None:
        """Listen again, on the same port."""
        self._do(self._listen())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    async def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        # not asyncio's own server, which loses the connection that comes while it closes
        self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _leave(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        while self._relaying:
            await self._cut(reset=False)
            if self._relaying:
                await asyncio.wait(self._relaying, timeout=0.05)

    async def _cut(self, reset: bool) -> None:
        for client in self._clients:
            if reset:
                client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            client.transport.abort()
        if self._clients:
            await asyncio.wait(set(self._clients.values()))

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionError):
            client, _ = listener.accept()
            self.accepted += 1
            task = self._loop.create_task(self._serve(client))
            self._relaying.add(task)
            task.add_done_callback(self._relaying.discard)

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        task = asyncio.current_task()
        assert task is not None
        self._clients[writer] = task
        try:
            from_peer, to_peer = await asyncio.open_connection("127.0.0.1", self._target_port)
            await asyncio.gather(_pass_on(reader, to_peer), self._pass_back(from_peer, writer))
        except ConnectionError:  # the peer has gone
            await _end(writer)
        finally:
            del self._clients[writer]

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As ``_pass_on``, as far as ``answer_limit`` goes."""
        passed = 0
        with suppress(ConnectionError):
            while data := await reader.read(_BLOCK_BYTES):
                while self.holds:
                    await asyncio.sleep(0.01)
                if self.answer_limit is not None:
                    data = data[: self.answer_limit - passed]
                    if not self.stalls and passed + len(data) == self.answer_limit:
                        writer.write(data)
                        break
                passed += len(data)
                writer.write(data)
                await writer.drain()
        await _end(writer)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_BLOCK_BYTES):
            writer.write(data)
            await writer.drain()
    await _end(writer)


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@contextmanager
def running_relay(target_port: int) -> Iterator[Relay]:
    """A relay that listens."""
    relay = Relay(target_port)
    thread = threading.Thread(target=relay._loop.run_forever)
    thread.start()
    try:
        relay.return_()
        yield relay
        relay.leave()
    finally:
        relay._loop.call_soon_threadsafe(relay._loop.stop)
        thread.join()
        relay._loop.close()
