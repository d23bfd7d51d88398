"""nginx, as Debian's package brings it, in front of what a test puts behind it: an HTTP stack that is not ours."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.wire.engines import wait_until

_PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Nginx:
    """A running nginx and its files."""

    process: subprocess.Popen[bytes]
    ports: Sequence[int]
    """Of its servers, in their order."""
    folder: Path

    @property
    def port(self) -> int:
        """Its first server's."""
        return self.ports[0]

    def reload(self) -> None:
        """Have new worker processes take over; the old ones finish what they have. Returns when new ones are there."""
        before = set(self._workers())
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: bool(set(self._workers()) - before))

    def log(self) -> list[str]:
        """Lines of the access log: ``status connection request``."""
        return (self.folder / "access.log").read_text().splitlines()

    def _workers(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()


def _configuration(folder: Path, servers: Sequence[str], ports: Sequence[int]) -> str:
    blocks = "\n".join(
        "server {\n" + server.replace("LISTEN", f"127.0.0.1:{port}") + "\n}"
        for server, port in zip(servers, ports, strict=True)
    )
    # only root may choose, and must: the default user cannot enter a test's folder
    user = f"user {pwd.getpwuid(0).pw_name} root;" if os.geteuid() == 0 else ""
    temporary = " ".join(f"{name}_temp_path {folder / name};" for name in _TEMPORARY)
    return f"""
        {user} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log info; worker_processes 2;
        events {{ worker_connections 1024; }}
        http {{
            log_format short "$status $connection $request"; access_log {folder}/access.log short;
            {temporary} client_max_body_size 0;
            {blocks}
        }}
    """


def gateway(protocol: str, port: int, settings: str = "", *, listen: str = "") -> str:
    """A server's contents: a proxy, by ``grpc`` or ``rest``, to ``port``, which sends nothing twice by itself."""
    if protocol == "grpc":
        there = f"grpc_pass grpc://127.0.0.1:{port}; grpc_next_upstream off; grpc_buffer_size 64k;"
        listen += " http2"
    else:
        there = f"proxy_pass http://127.0.0.1:{port}; proxy_next_upstream off; proxy_http_version 1.1;"
    return f"listen LISTEN {listen}; {settings} location / {{ {there} }}"


@contextmanager
def running_nginx(folder: Path, *servers: str) -> Iterator[Nginx]:
    """nginx with ``server`` blocks of the given contents, in which LISTEN stands for a free port of loopback."""
    assert _PROGRAM, "nginx is missing: apt-get install nginx"
    with ExitStack() as stack:
        # Taken here and inherited, as when nginx replaces its own program: so no other can take a port between.
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512)) for _ in servers]
        for listener in sockets:
            listener.setblocking(False)  # which nginx takes for granted
        descriptors = [listener.fileno() for listener in sockets]
        ports = [listener.getsockname()[1] for listener in sockets]
        file = folder / "nginx.conf"
        file.write_text(_configuration(folder, servers, ports))
        command = [_PROGRAM, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(file)]
        environment = {**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in descriptors)}
        process = stack.enter_context(subprocess.Popen(command, env=environment, pass_fds=descriptors))
        stack.callback(process.terminate)
        for listener in sockets:
            listener.close()
        nginx = Nginx(process, ports, folder)
        wait_until(lambda: process.poll() is not None or bool(nginx._workers()))
        assert process.poll() is None, (folder / "error.log").read_text()
        yield nginx
