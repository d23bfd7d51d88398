"""The REST port: connections on an event loop, requests in a pool of threads, the metrics page beside the API.

One pool answers everything, status and metrics too, so a busy server keeps its own probes waiting; of the threads the
flag names, the event loop is one (tensorflow_serving/model_servers/http_server.cc, util/net_http/server/internal/
evhttp_server.cc).
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .http_connection import HttpConnection
from .http_message import Answer, HttpError, Request
from .json_request import raw_bytes
from .json_response import error_text
from .metrics import Metrics
from .outage import REFUSAL, Outage
from .rest_api import Core, RestApi

_API_URL = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_BACKLOG = 128
_TEXT = (("Content-Type", "text/plain"),)
_JSON = (("Content-Type", "application/json"),)
_LARGEST_INFLATED = 100 * 1024 * 1024  # bytes; util/net_http/compression/gzip_zlib.h
_GZIP = 16 + zlib.MAX_WBITS
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class RestServer:
    """Serves the REST API, and the metrics page under ``metrics_path`` where that is not None.

    ``num_threads`` as in --rest_api_num_threads: the real server hangs with one, here it is a ValueError.
    ``timeout_ms`` as in --rest_api_timeout_in_ms: for the run of the model alone, no limit where it is not positive.
    """

    def __init__(
        self,
        core: Core,
        metrics: Metrics,
        *,
        num_threads: int,
        timeout_ms: int,
        metrics_path: str | None,
        cors: bool = False,
        outage: Outage | None = None,
    ) -> None:
        if num_threads < 2:
            raise ValueError(f"rest_api_num_threads is {num_threads}: the event loop takes one, none is left to answer")
        timeout_s = timeout_ms / 1000 if timeout_ms > 0 else None
        self._api = RestApi(core, metrics, timeout_s=timeout_s, cors=cors)
        self._metrics = metrics
        self._outage = outage
        self._metrics_path = metrics_path
        self._pool = ThreadPoolExecutor(num_threads - 1, thread_name_prefix="httprestserver")
        self._connections: set[HttpConnection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port bound; ``::`` is every address of both families. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpConnection(self._handle, self._connections), sock=_listening(host, port), backlog=_BACKLOG
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything at once; requests under way are not answered."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _handle(self, request: Request) -> Answer:
        if self._outage is not None and self._outage.is_on:
            return Answer(503, _JSON, raw_bytes(error_text(REFUSAL)))
        work: Callable[[Request], Answer]
        if request.target.path == self._metrics_path:
            work = self._metrics_page
        elif _API_URL.fullmatch(request.target.full):
            work = self._call_api
        else:
            raise HttpError(404)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, request)

    def _metrics_page(self, request: Request) -> Answer:
        target = request.target.full
        if target != self._metrics_path:
            return Answer(400, _TEXT, f"Unexpected path: {target}. Should be {self._metrics_path}".encode())
        return Answer(200, _TEXT, raw_bytes(self._metrics.page()))

    def _call_api(self, request: Request) -> Answer:
        body = request.body
        if "gzip" in (request.headers.get("content-encoding") or ""):
            body = _inflated(body)
        origin = request.headers.get("origin") or ""
        return self._api.answer(request.line.method, request.target.full, body, origin)


def _inflated(body: bytes) -> bytes:
    """The body without its compression; empty where it is no gzip, too large, or followed by anything."""
    # the last four bytes say how much is in it
    size = int.from_bytes(body[-4:], "little")
    if size > _LARGEST_INFLATED:
        return b""
    inflater = zlib.decompressobj(_GZIP)
    try:
        inflated = inflater.decompress(body, size + 1)
    except zlib.error:
        return b""
    return inflated if inflater.eof and not inflater.unused_data else b""


def _listening(host: str, port: int) -> socket.socket:
    if host == "::":
        if socket.has_dualstack_ipv6():
            try:
                return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
            except OSError as error:
                if error.errno not in _NO_IPV6:
                    raise
        host = ""  # every IPv4 address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)
