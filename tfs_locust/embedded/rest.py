"""Holds the REST side's place: a port that is open and closes every connection."""

from __future__ import annotations

import asyncio

from tfs_locust.embedded.core import ServerCore
from tfs_locust.embedded.metrics import Metrics


class RestServer:
    """One REST port."""

    def __init__(
        self,
        core: ServerCore,
        metrics: Metrics,
        *,
        num_threads: int,
        timeout_ms: int,
        metrics_path: str | None,
        cors: bool = False,
    ) -> None:
        del core, metrics, num_threads, timeout_ms, metrics_path, cors
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port bound."""
        self._server = await asyncio.start_server(lambda _, writer: writer.close(), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
