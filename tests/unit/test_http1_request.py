"""The bytes of a request."""

from __future__ import annotations

import pytest

from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.http1_request import RequestMaker, server_name


def test_get_and_post() -> None:
    """As they go over the wire."""
    requests = RequestMaker(Endpoint("::1", 8501, headers=(("X-Many", "a"), ("x-many", "b"))))
    fields = b"Host: [::1]:8501\r\nUser-Agent: tfs-locust\r\nAccept-Encoding: identity\r\nX-Many: a\r\nx-many: b\r\n"
    assert requests.get("/v1/models/m") == b"GET /v1/models/m HTTP/1.1\r\n" + fields + b"\r\n"
    post = b"POST /v1/models/m:predict HTTP/1.1\r\n" + fields + b"Content-Type: application/json\r\n"
    assert requests.post("/v1/models/m:predict", b"{}") == post + b"Content-Length: 2\r\n\r\n{}"
    assert requests.post("/v1/models/m:predict", b"") == post + b"Content-Length: 0\r\n\r\n"


def test_what_the_user_gives_goes_first() -> None:
    """In place of what would be sent else, once."""
    given = (("host", "a.b"), ("USER-AGENT", "me"), ("accept-encoding", "gzip"), ("content-type", "text/plain"))
    requests = RequestMaker(Endpoint("h", 1, headers=given))
    lines = requests.post("/", b"").decode().split("\r\n")
    assert lines[1:5] == [f"{name}: {value}" for name, value in given]
    assert lines[5:] == ["Content-Length: 0", "", ""]


@pytest.mark.parametrize("field", [("", "x"), ("a b", "x"), ("ü", "x"), ("a", "x\r\ny: z"), ("a", "\x00"), ("a", "☃")])
def test_no_header_fields(field: tuple[str, str]) -> None:
    """What would break the request is refused before the run."""
    with pytest.raises(ValueError, match="is no header field"):
        RequestMaker(Endpoint("h", 1, headers=(field,)))


@pytest.mark.parametrize("path", ["", "v1", "/a b", "/a\r\n", "/ü"])
def test_no_paths(path: str) -> None:
    """So is a path that would."""
    with pytest.raises(ValueError, match="is no path"):
        RequestMaker(Endpoint("h", 1)).get(path)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), "10.0.0.1"),
        ((("Host", "serving.example"),), "serving.example"),
        ((("host", "serving.example:8443"),), "serving.example"),
        ((("Host", "[::1]:8443"),), "::1"),
    ],
)
def test_server_name(headers: tuple[tuple[str, str], ...], expected: str) -> None:
    """The certificate is that of the host which is asked for, as where a tunnel leads to it."""
    assert server_name(Endpoint("10.0.0.1", 8443, headers=headers)) == expected
