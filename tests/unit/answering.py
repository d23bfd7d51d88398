"""A server on loopback that answers each connection as a test says, byte for byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[socket.socket, str], None]
"""Is given the connection and the head of the request; the connection is closed when it returns."""


def says(*parts: bytes) -> Answer:
    """Send this, then close."""

    def answer(connection: socket.socket, _: str) -> None:
        for part in parts:
            connection.sendall(part)

    return answer


def page(text: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer."""
    body = text.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def answering(answer: Answer, heads: list[str] | None = None) -> Iterator[str]:
    """Gives the address, ``127.0.0.1:PORT``; the heads of requests go into ``heads``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(10)
                    try:
                        head = b""
                        while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
                            head += more
                        if heads is not None:
                            heads.append(head.decode())
                        answer(connection, head.decode())
                    except OSError:
                        continue  # the client has gone

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            thread.join(10)
