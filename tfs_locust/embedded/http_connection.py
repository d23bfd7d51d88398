"""One client connection of the REST port: requests in, answers out, one at a time, as libevent keeps them.

While a request is worked on nothing is read, so a client that hangs up is not noticed and its work is still done
(libevent 2.1.12 http.c). What the requests mean is the handler's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from .http_message import (
    ALLOWED_METHODS,
    Answer,
    Headers,
    HttpError,
    Request,
    RequestLine,
    answer_bytes,
    chunk_size,
    closes,
    content_length,
    error_page,
    expects_continue,
    is_chunked,
    parse_request_line,
    parse_uri,
)

Handler = Callable[[Request], Awaitable[Answer]]
"""Answers one request, or raises HttpError for one of libevent's own pages."""


class HttpConnection(asyncio.Protocol):
    """Serves one connection from when it is made until either side closes it."""

    def __init__(self, handler: Handler, open_connections: set[HttpConnection]) -> None:
        self._handler = handler
        self._open = open_connections
        self._received = bytearray()
        self._ended = False
        self._news = asyncio.Event()  # more bytes, or their end
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._news.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._news.set()
        return True  # a client that has said all may still wait for its answer

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._ended = True
        self._news.set()
        self._writable.set()
        self._open.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._task.cancel()
        self._transport.abort()

    async def _serve(self) -> None:
        try:
            while not self._transport.is_closing():
                await self._serve_one()
        except ConnectionError:
            pass  # the client has gone
        finally:
            self._transport.close()

    async def _serve_one(self) -> None:
        line: RequestLine | None = None
        try:
            line = parse_request_line(await self._line())
            request = await self._request(line)
            self._transport.pause_reading()
            answer = await self._handler(request)
        except HttpError as error:
            self._transport.write(error_page(error.status, line))
            self._transport.close()
            return
        self._transport.write(answer_bytes(request, answer))
        await self._writable.wait()
        if closes(request):
            self._transport.close()

    async def _request(self, line: RequestLine) -> Request:
        """What follows ``line``. Raises HttpError."""
        headers = await self._headers()
        body = await self._body(line, headers) if line.may_have_body else b""
        if line.method not in ALLOWED_METHODS:
            raise HttpError(501)
        return Request(line, parse_uri(line.uri), headers, body)

    async def _headers(self) -> Headers:
        headers = Headers()
        while line := await self._line():
            headers.add_line(line)
        return headers

    async def _body(self, line: RequestLine, headers: Headers) -> bytes:
        chunked = is_chunked(headers)
        length = 0 if chunked else content_length(headers)
        if not chunked and not length:
            return b""
        if expects_continue(line, headers) and not self._received:
            self._transport.write(b"HTTP/%d.%d 100 Continue\r\n\r\n" % line.version)
        return await self._chunks(headers) if chunked else await self._take(length)

    async def _chunks(self, headers: Headers) -> bytes:
        chunks: list[bytes] = []
        while True:
            line = await self._line()
            if not line:
                continue  # the line break behind a chunk
            size = chunk_size(line)
            if not size:
                break
            chunks.append(await self._take(size))
        while trailer := await self._line():
            try:
                headers.add_line(trailer)
            except HttpError:
                raise HttpError(413) from None
        return b"".join(chunks)

    async def _line(self) -> bytes:
        """The next line without its line break."""
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            await self._more()
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line.removesuffix(b"\r")

    async def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            await self._more()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    async def _more(self) -> None:
        if self._ended:
            raise ConnectionError
        self._news.clear()
        self._transport.resume_reading()
        await self._news.wait()
