"""The servers that are asked: a null server for gRPC, nginx for REST. They cost little, and they count."""

from __future__ import annotations

import http.client
import json
import re
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import workload
from bench.native import binary
from bench.process import Process, started

_READY_WITHIN_S = 10.0
COUNTED_AFTER_S = 0.2
"""A server counts an answer when it knows it as written, which may be after the client has read it."""


class ServerFailed(Exception):  # noqa: N818 - it reads as what happened
    """A server that did not start, or did not say what it was asked."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. ``answered`` is how many Predicts it has answered since it started."""

    port: int
    process: Process
    answered: Callable[[], int]


@contextmanager
def serving(protocol: str, core: int | None, folder: Path) -> Iterator[Server]:
    """A fresh server for ``grpc`` or ``rest``. Raises ServerFailed."""
    if protocol == "grpc":
        with null_server(core, folder) as null:
            yield Server(null.port, null.process, lambda: int(null.tell()["predicts"]))
    else:
        with _nginx(core, folder) as nginx:
            yield nginx


class NullServer:
    """Our own gRPC server in C++; see native/null_server.cc."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.port = int(self._line().rpartition(":")[2])

    def tell(self) -> dict[str, Any]:
        """``predicts``, ``metadata``, and ``delay_us``: how late it answered since it was last asked."""
        self.process.tell(signal.SIGUSR1)
        told: dict[str, Any] = json.loads(self._line())
        return told

    def _line(self) -> str:
        readable, _, _ = select.select([self.process.pipe], [], [], _READY_WITHIN_S)
        line = self.process.pipe.readline() if readable else b""
        if not line:
            raise ServerFailed(f"the null server says nothing: {self.process.output}")
        return line.decode()


@contextmanager
def null_server(core: int | None, folder: Path, *, delay_us: int = 0, queue_us: int = 0) -> Iterator[NullServer]:
    """The null server, answering ``delay_us`` microseconds after it has read a request; with ``queue_us`` one request
    after the other, each of which takes as long."""
    home = folder / "server"
    home.mkdir(exist_ok=True)
    metadata, reply = home / "metadata", home / "reply"
    metadata.write_bytes(workload.grpc_metadata())
    reply.write_bytes(workload.grpc_answer())
    command = [str(binary("null_server")), "--metadata", str(metadata), "--reply", str(reply)]
    late = ["--queue-us", str(queue_us)] if queue_us else ["--delay-us", str(delay_us)]
    with started([*command, *late], core=core, folder=home, piped=True) as process:
        yield NullServer(process)


_NGINX_CONF = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = {path}:predict {{ return 200 '{answer}'; }}
        location = {path}/metadata {{ alias {home}/metadata.json; }}
        location = /status {{ stub_status; }}
    }}
}}
"""


@contextmanager
def _nginx(core: int | None, folder: Path) -> Iterator[Server]:
    home = folder / "server"
    home.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "metadata.json").write_bytes(workload.rest_metadata())
    (home / "nginx.conf").write_text(
        _NGINX_CONF.format(port=port, path=workload.REST_PATH, answer=workload.REST_ANSWER, home=home)
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [program, "-p", str(home), "-c", "nginx.conf", "-e", "stderr"]
    with started(command, core=core, folder=home) as process:
        status = _Status(port, process)
        try:
            yield Server(port, process, status.answered)
        finally:
            status.close()


class _Status:
    """nginx's own count of requests, without those that ask for it."""

    def __init__(self, port: int, process: Process) -> None:
        self._asked = 0
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_READY_WITHIN_S)
            try:
                self._connection.connect()
            except ConnectionRefusedError:
                if time.monotonic() > deadline or not process.running:
                    raise ServerFailed(f"nginx did not start: {process.output}") from None
                time.sleep(0.01)
            else:
                return

    def answered(self) -> int:
        """All requests but its own; a client's one question for the metadata is among them."""
        self._connection.request("GET", "/status")
        page = self._connection.getresponse().read().decode()
        self._asked += 1
        found = re.search(r"^\s*\d+ \d+ (\d+)\s*$", page, re.MULTILINE)
        if found is None:
            raise ServerFailed(f"nginx's status is unreadable: {page!r}")
        return int(found[1]) - self._asked

    def close(self) -> None:
        self._connection.close()
