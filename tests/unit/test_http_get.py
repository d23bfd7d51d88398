"""One page is fetched, or one sentence says why not, within the deadline."""

from __future__ import annotations

import itertools
import socket
import time

import pytest

from tests.unit.answering import answering, page, says
from tfs_locust.tfserving.http_get import GetError, http_get


def test_a_page() -> None:
    """Status and body come whatever the status is; path and query are asked for as given, headers are sent."""
    heads: list[str] = []
    with answering(says(page("no", "503 Service Unavailable")), heads) as address:
        answer = http_get(f"http://{address}/a/b?c=d%20e", timeout_s=10, headers={"X-Key": "k"})
        assert (answer.status, answer.text) == (503, "no")
    assert heads[0].startswith("GET /a/b?c=d%20e HTTP/1.1\r\n")
    assert "X-Key: k\r\n" in heads[0]


def test_chunks_and_an_end_by_closing() -> None:
    """Both other ways that HTTP/1.1 ends a body are read."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    for raw in (chunked, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde"):
        with answering(says(raw)) as address:
            assert http_get(f"http://{address}", timeout_s=10).text == "abcde"


def test_a_login_is_sent_and_not_told() -> None:
    """User and password of the URL become an Authorization header and stand in no error."""
    heads: list[str] = []
    with answering(says(page("ok")), heads) as address:
        assert http_get(f"http://me:p%40ss@{address}/", timeout_s=10).text == "ok"
    assert "Authorization: Basic bWU6cEBzcw==\r\n" in heads[0]
    with answering(says()) as address, pytest.raises(GetError) as caught:
        http_get(f"http://me:p%40ss@{address}/x", timeout_s=10)
    assert str(caught.value) == f"http://{address}/x: the connection was closed without an answer"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "the answer was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "the answer was cut off"),
        (b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", "redirects to /there; give that URL"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "what answers does not speak HTTP/1.1"),
    ],
)
def test_answers_that_are_none(raw: bytes, reason: str) -> None:
    """Each is told apart."""
    with answering(says(raw)) as address, pytest.raises(GetError) as caught:
        http_get(f"http://{address}/m", timeout_s=10)
    assert str(caught.value) == f"http://{address}/m: {reason}"


def test_nobody_listens() -> None:
    """The system's own words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(GetError, match=f"^http://127.0.0.1:{port}/: Connection refused$"):
        http_get(f"http://127.0.0.1:{port}/", timeout_s=10)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_peer_that_trickles(start: bytes) -> None:
    """A byte now and then does not keep the reader beyond its deadline, in the head or in the body."""

    def trickle(connection: socket.socket, _: str) -> None:
        connection.sendall(start)
        for _ in itertools.repeat(None, 1000):
            if start:
                connection.sendall(b"x")
            connection.settimeout(0.02)
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    with answering(trickle) as address:
        begun = time.monotonic()
        with pytest.raises(GetError, match=r": no answer within 0\.3 s$"):
            http_get(f"http://{address}/", timeout_s=0.3)
        assert 0.25 < time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8501", "ftp://h/", "http://", "http://h:99999/", "http://h:0/", "http://h:x/"]
)
def test_what_is_no_url(url: str) -> None:
    """Says what was given and what is expected, or what is wrong with it."""
    with pytest.raises(GetError, match=rf"^URL '{url}': "):
        http_get(url, timeout_s=1)
