"""nginx as a gRPC proxy: an HTTP/2 server of other make, with Huffman codes, GOAWAYs and small buffers of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE_S = 30
_CONFIG = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} http2;
        keepalive_requests {requests};
        http2_max_concurrent_streams {streams};
        location / {{ grpc_pass grpc://127.0.0.1:{target}; grpc_socket_keepalive on; }}
    }}
}}
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def running_nginx(folder: Path, target: int, *, requests: int = 1_000_000, streams: int = 128) -> Iterator[int]:
    """Its port; a connection carries ``requests`` and is then to be left, ``streams`` of them at a time."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    port = _free_port()
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(port=port, target=target, requests=requests, streams=streams))
    with subprocess.Popen([nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]) as process:
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not _listens(port):
                assert process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()
