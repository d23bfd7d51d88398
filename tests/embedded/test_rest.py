"""The REST port over real sockets: connections, threads, broken requests, the metrics page."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.embedded.fake_core import FakeCore
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.outage import Outage
from tfs_locust.embedded.rest import RestServer

PREDICT = "/v1/models/half_plus_two:predict"
ROW = b'{"instances": [1.0]}'
ANSWER = b'{\n    "predictions": [2.5\n    ]\n}'
PAGE_404 = b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"


@dataclass
class Running:
    """A REST server over a fake core, on a loop in a thread of its own."""

    core: FakeCore
    metrics: Metrics
    port: int
    stop: Callable[[], object]

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, sent: bytes) -> bytes:
        """All that comes back until the server closes; the date is taken out."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:
            client.sendall(sent)
            received = b""
            while data := client.recv(65536):
                received += data
        return re.sub(rb"Date: [^\r]*\r\n", b"", received)


@contextmanager
def running(host: str = "127.0.0.1", **settings: object) -> Iterator[Running]:
    core, metrics, loop = FakeCore(), Metrics(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    options: dict[str, object] = {"num_threads": 4, "timeout_ms": 30_000, "metrics_path": "/metrics/page"}
    server = RestServer(core, metrics, **{**options, **settings})  # type: ignore[arg-type]

    def wait_for(coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)  # type: ignore[arg-type]

    try:
        port = wait_for(server.start(host, 0))
        assert isinstance(port, int)
        yield Running(core, metrics, port, lambda: wait_for(server.stop()))
    finally:
        core.release.set()
        wait_for(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as started:
        yield started


def test_outage() -> None:
    """In one everything is refused, the metrics page too, and nothing is counted; then requests are answered."""
    outage = Outage(0, lambda _: None)
    with running(outage=outage) as server:
        outage.is_on = True
        for method, path in (("POST", PREDICT), ("GET", "/v1/models/half_plus_two"), ("GET", "/metrics/page")):
            assert server.request(method, path, ROW) == (503, b'{\n    "error": "Simulated outage"\n}')
        assert "request_count{" not in server.metrics.page()
        outage.is_on = False
        assert server.request("POST", PREDICT, ROW) == (200, ANSWER)
        assert 'request_count{model_name="half_plus_two",status="OK"} 1' in server.metrics.page()


def test_one_connection_carries_many_requests(server: Running) -> None:
    """HTTP/1.1 connections stay, and requests sent ahead are answered in order."""
    one = b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (PREDICT.encode(), len(ROW), ROW)
    last = b"GET /v1/models/half_plus_two HTTP/1.1\r\nConnection: close\r\n\r\n"
    received = server.raw(one * 3 + last)
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
    assert received.startswith(answer * 3 + b"HTTP/1.1 200 OK\r\n")
    assert received.count(b"Connection: close") == 1


def test_a_request_may_come_in_any_pieces(server: Running) -> None:
    """Byte by byte, with bare line feeds."""
    request = b"POST %s HTTP/1.1\nContent-Length: %d\nConnection: close\n\n%s" % (PREDICT.encode(), len(ROW), ROW)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            client.sendall(bytes([byte]))
        received = b""
        while data := client.recv(65536):
            received += data
    assert received.endswith(ANSWER)


def test_http_1_0_ends_with_the_answer(server: Running) -> None:
    """Without length and date."""
    request = b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (PREDICT.encode(), len(ROW), ROW)
    assert server.raw(request) == b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER


def test_chunks_are_put_together(server: Running) -> None:
    """With trailer lines behind the last."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (ROW[:5], ROW[5:]))
    head = b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" % PREDICT.encode()
    assert server.raw(head + chunks + b"0\r\nX: 1\r\n\r\n").endswith(ANSWER)
    assert server.raw(head + b"1;ext\r\nx\r\n").startswith(b"HTTP/1.1 413 Request Entity Too Large\r\n")
    assert server.raw(head + b"0\r\nno trailer\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_a_client_may_wait_for_a_go_ahead(server: Running) -> None:
    """100 is sent where the body has not come yet, and not where it has."""
    head = b"POST %s HTTP/1.1\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    head %= PREDICT.encode(), len(ROW)
    assert server.raw(head + ROW).startswith(b"HTTP/1.1 200 OK\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(head)
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(ROW)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    other = head.replace(b"100-continue", b"magic")
    assert server.raw(other).startswith(b"HTTP/1.1 417 Expectation Failed\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n", 400),
        (b"\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET /v1/a|b HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/a b HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/models/x HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST /v1/models/x HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"BREW /v1/models/x HTTP/1.1\r\n\r\n", 501),
        (b"get /v1/models/x HTTP/1.1\r\n\r\n", 501),
        (b"TRACE /v1/models/x HTTP/1.1\r\n\r\n", 501),
        (b"GET /foo HTTP/1.1\r\n\r\n", 404),
        (b"GET /v1 HTTP/1.1\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", 404),
        (b"GET http://host HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_what_is_no_request_to_the_api_gets_a_page_and_is_closed(server: Running, sent: bytes, status: int) -> None:
    """libevent's own answers; nothing of it is counted."""
    received = server.raw(sent)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nContent-Type: text/html\r\nConnection: close\r\n" in received
    if status == 404:
        assert received.endswith(b"Content-Length: 90\r\n\r\n" + PAGE_404)


def test_a_client_that_leaves_early_is_no_matter(server: Running) -> None:
    """Half a request and a hang-up: no answer, and the next client is served."""
    for part in (b"", b"GET /v1/mod", b"POST /v1/models/x HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(part)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b""
    assert server.request("POST", PREDICT, ROW) == (200, ANSWER)


def test_gzip_bodies_are_inflated(server: Running) -> None:
    """What is no gzip, is cut short, or is followed by anything, is an empty body."""
    packed = gzip.compress(ROW)
    assert server.request("POST", PREDICT, packed, Content_Encoding="x-gzip") == (200, ANSWER)
    empty = b'{\n    "error": "JSON Parse error: The document is empty"\n}'
    for broken in (ROW, packed[:-4], packed + packed, packed + b"x", zlib.compress(ROW), b"\x1f\x8b"):
        assert server.request("POST", PREDICT, broken, Content_Encoding="gzip") == (400, empty)


def test_a_gzip_body_that_claims_too_much_is_not_inflated(server: Running) -> None:
    """100 MiB is the most; the claim alone decides."""
    packed = gzip.compress(ROW)[:-4] + (100 * 1024 * 1024 + 1).to_bytes(4, "little")
    assert server.request("POST", PREDICT, packed, Content_Encoding="gzip")[0] == 400


def test_the_metrics_page_is_served_under_its_path() -> None:
    """To any method, not with a query, and not counted; without a path there is no page."""
    with running() as server:
        assert server.request("POST", PREDICT, ROW) == (200, ANSWER)
        status, page = server.request("GET", "/metrics/page")
        assert status == 200
        assert page.decode() == server.metrics.page()
        assert b':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"} 1\n' in page
        assert server.raw(b"GET /metrics/page HTTP/1.0\r\n\r\n").startswith(
            b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n# TYPE"
        )
        refused = b"Unexpected path: /metrics/page?x. Should be /metrics/page"
        assert server.request("GET", "/metrics/page?x") == (400, refused)
        assert server.metrics.page().count("request_count{") == 1
    with running(metrics_path=None) as server:
        assert server.request("GET", "/metrics/page") == (404, PAGE_404)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_workers_are_one_less_than_the_threads_and_shared_by_all() -> None:
    """With two threads one request is worked on at a time; a status waits behind it, a 404 does not."""
    with running(num_threads=2) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as busy:
        busy.sendall(b"POST /v1/models/slow:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(ROW), ROW))
        until(lambda: bool(server.core.calls))
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as waiting:
            waiting.sendall(b"GET /v1/models/half_plus_two HTTP/1.1\r\n\r\n")
            assert server.request("GET", "/foo") == (404, PAGE_404)
            assert [call for call, _, _ in server.core.calls] == ["predict"]
            server.core.release.set()
            assert waiting.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert busy.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_one_thread_is_refused() -> None:
    """The real server would start and answer nothing."""
    with pytest.raises(ValueError, match="rest_api_num_threads is 1"):
        RestServer(FakeCore(), Metrics(), num_threads=1, timeout_ms=0, metrics_path=None)


@pytest.mark.parametrize(("timeout_ms", "timeout_s"), [(400, 0.4), (0, None), (-1, None)])
def test_the_timeout_reaches_the_core_in_seconds(timeout_ms: int, timeout_s: float | None) -> None:
    """None where there is no limit."""
    with running(timeout_ms=timeout_ms) as server:
        assert server.request("POST", PREDICT, ROW) == (200, ANSWER)
        assert server.core.calls[0][2] == timeout_s


def test_stopping_closes_connections_unanswered() -> None:
    """A request under way gets nothing, a new one no connection."""
    with running() as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"POST /v1/models/slow:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(ROW), ROW))
        until(lambda: bool(server.core.calls))
        server.stop()
        with suppress(ConnectionResetError):
            assert client.recv(10) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=20)


def test_a_large_answer_arrives_whole(server: Running) -> None:
    """More than a socket's buffer holds, to a client that reads late, and the connection goes on."""
    rows = 100_000
    body = b'{"instances": [' + b",".join([b"1"] * rows) + b"]}"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        for _ in range(2):
            connection.request("POST", PREDICT, body)
            answer = connection.getresponse().read()
            assert answer.count(b"2.5") == rows
    finally:
        connection.close()


def test_every_address_is_both_families() -> None:
    """`::` takes IPv4 clients, too."""
    with running("::") as server:
        assert server.request("POST", PREDICT, ROW) == (200, ANSWER)
