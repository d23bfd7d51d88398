"""Requests and answers as bytes, by libevent's rules."""

from __future__ import annotations

import re

import pytest

from tfs_locust.embedded.http_message import (
    Answer,
    Headers,
    HttpError,
    Request,
    Target,
    answer_bytes,
    chunk_size,
    closes,
    content_length,
    error_page,
    expects_continue,
    parse_request_line,
    parse_uri,
)


def headers_of(*lines: bytes) -> Headers:
    headers = Headers()
    for line in lines:
        headers.add_line(line)
    return headers


def request_of(line: bytes, *headers: bytes) -> Request:
    first = parse_request_line(line)
    return Request(first, parse_uri(first.uri), headers_of(*headers), b"")


def answered(request: Request, answer: Answer) -> list[str]:
    """The lines of an answer, the date without its time."""
    text = answer_bytes(request, answer).decode()
    return re.sub(r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "Date: ...", text).split("\r\n")


OK = Answer(200, (("Content-Type", "application/json"),), b"{}")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET /",
        b"GET / HTTP/1.",
        b"GET /v1/models/m",
        b"GET /v1/models/m HTTP/2.0",
        b"GET /v1/models/m HTTP/1.1x",
        b"GET /v1/models/m HTTP/1." + b"1" * 5000,
        b"GET HTTP/1.1 padding",
        b"GETHTTP/1.1-and-more",
    ],
)
def test_lines_that_are_no_request_are_bad(line: bytes) -> None:
    """Too short, no version, an unknown version."""
    with pytest.raises(HttpError) as raised:
        parse_request_line(line)
    assert raised.value.status == 400


def test_a_request_line_ends_where_its_spaces_begin() -> None:
    """Trailing spaces are dropped, the URI is what stands between."""
    line = parse_request_line(b"POST /v1/models/m:predict HTTP/1.0  ")
    assert (line.method, line.uri, line.version) == ("POST", b"/v1/models/m:predict", (1, 0))


@pytest.mark.parametrize(
    ("uri", "path", "full", "through_proxy"),
    [
        (b"/v1/models/m", "/v1/models/m", "/v1/models/m", False),
        (b"/v1/models/m?", "/v1/models/m", "/v1/models/m?", False),
        (b"/v1/models/m?a=b?c#d", "/v1/models/m", "/v1/models/m?a=b?c#d", False),
        (b"http://host:8501/v1/models/m?a", "/v1/models/m", "/v1/models/m?a", True),
        (b"//host/v1/models/m", "/v1/models/m", "/v1/models/m", False),
        (b"/half%5Fplus", "/half%5Fplus", "/half%5Fplus", False),
        (b"*", "*", "*", False),
    ],
)
def test_a_uri_has_a_path_and_all_behind_it(uri: bytes, path: str, full: str, through_proxy: bool) -> None:
    """Query and fragment belong to what the API matches; an absolute URI loses its host."""
    assert parse_uri(uri) == Target(path, full, through_proxy)


@pytest.mark.parametrize("uri", [b"/a b", b"/a|b", b"/a%zz", b"/a%4", b'/a"', b"/\xc3\xa9", b"/a\\b", b"/a[0]", b"/{}"])
def test_characters_a_uri_may_not_have_are_bad(uri: bytes) -> None:
    """RFC 3986, percent signs with two hex digits."""
    with pytest.raises(HttpError) as raised:
        parse_uri(uri)
    assert raised.value.status == 400


def test_of_two_headers_of_one_name_the_first_counts() -> None:
    """Names in any case, spaces around values dropped, continued lines joined."""
    headers = headers_of(b"X-A:  1 ", b"x-a: 2", b"Long: a", b"\t b")
    assert (headers.get("x-a"), headers.get("long"), headers.get("no")) == ("1", "a b", None)


@pytest.mark.parametrize("line", [b"no colon", b" continues nothing"])
def test_header_lines_that_are_none_are_bad(line: bytes) -> None:
    """A line without colon, a continuation of nothing."""
    with pytest.raises(HttpError) as raised:
        headers_of(line)
    assert raised.value.status == 400


@pytest.mark.parametrize("value", [b"", b"x", b"-", b"-1", b"1x", b"1 2", b"\x1d19"])
def test_lengths_that_are_none_are_bad(value: bytes) -> None:
    """A length is digits."""
    with pytest.raises(HttpError) as raised:
        content_length(headers_of(b"Content-Length: " + value))
    assert raised.value.status == 400


def test_lengths() -> None:
    """Digits, with a plus or zeros before them; of a length that no body has, a part that none has either."""
    lengths = [content_length(headers_of(b"Content-Length: " + value)) for value in (b"12", b"+012", b"-0", b"000")]
    assert lengths == [12, 12, 0, 0]
    assert content_length(headers_of(b"Content-Length: " + b"9" * 5000)) > 2**60


def test_chunk_sizes_are_hexadecimal_and_without_extensions() -> None:
    """What follows a space is ignored, an extension is not understood: libevent says 413."""
    assert [chunk_size(line) for line in (b"1f", b"0x1F", b"0 whatever", b"+a")] == [31, 31, 0, 10]
    for line in (b"1;ext=1", b"x", b"-1", b"0x"):
        with pytest.raises(HttpError) as raised:
            chunk_size(line)
        assert raised.value.status == 413


def test_only_a_go_ahead_can_be_expected() -> None:
    """Anything else is 417; HTTP/1.0 expects nothing."""
    line = parse_request_line(b"POST /v1/models/m HTTP/1.1")
    assert expects_continue(line, headers_of(b"Expect: 100-Continue"))
    assert not expects_continue(line, headers_of())
    assert not expects_continue(parse_request_line(b"POST /v1/models/m HTTP/1.0"), headers_of(b"Expect: magic"))
    with pytest.raises(HttpError) as raised:
        expects_continue(line, headers_of(b"Expect: magic"))
    assert raised.value.status == 417


def test_an_answer_to_http_1_1_has_date_and_length() -> None:
    """In libevent's order, and the connection stays."""
    request = request_of(b"GET /v1/models/m HTTP/1.1")
    assert answered(request, OK) == [
        "HTTP/1.1 200 OK",
        "Content-Type: application/json",
        "Date: ...",
        "Content-Length: 2",
        "",
        "{}",
    ]
    assert not closes(request)


def test_an_answer_to_http_1_0_has_neither_unless_it_is_kept() -> None:
    """Without `keep-alive` the end of the connection is the end of the answer."""
    request = request_of(b"GET /v1/models/m HTTP/1.0")
    assert answered(request, OK) == ["HTTP/1.0 200 OK", "Content-Type: application/json", "", "{}"]
    assert closes(request)
    request = request_of(b"GET /v1/models/m HTTP/1.0", b"Connection: Keep-Alive")
    assert answered(request, OK)[1:-2] == [
        "Content-Type: application/json",
        "Connection: keep-alive",
        "Content-Length: 2",
    ]
    assert not closes(request)


def test_a_client_that_asks_to_close_is_told_so_last() -> None:
    """`Connection: close` comes back behind the length."""
    request = request_of(b"GET /v1/models/m HTTP/1.1", b"Connection: Close")
    assert answered(request, OK)[1:-2][-1] == "Connection: close"
    assert closes(request)


def test_through_a_proxy_the_connection_closes_without_a_word() -> None:
    """An absolute URI makes it a proxy's request."""
    request = request_of(b"GET http://host/v1/models/m HTTP/1.1")
    assert closes(request)
    assert not any("Connection" in line for line in answered(request, OK))
    assert not closes(request_of(b"GET http://host/v1/models/m HTTP/1.1", b"Proxy-Connection: keep-alive"))


def test_an_answer_to_head_has_no_body_and_no_length() -> None:
    """As recorded."""
    lines = answered(request_of(b"HEAD /v1/models/m HTTP/1.1"), OK)
    assert lines == ["HTTP/1.1 200 OK", "Content-Type: application/json", "Date: ...", "", ""]


def test_an_answer_without_a_type_gets_libevents() -> None:
    """Behind the length."""
    lines = answered(request_of(b"OPTIONS /v1/models/m HTTP/1.1"), Answer(200, (), b""))
    assert lines[1:-2] == ["Date: ...", "Content-Length: 0", "Content-Type: text/html; charset=ISO-8859-1"]


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(429, "Client Error"), (499, "Client Error"), (504, "Gateway Time-out"), (501, "Not Implemented")],
)
def test_phrases_are_libevents(status: int, phrase: str) -> None:
    """The name of the class where libevent has no phrase."""
    lines = answered(request_of(b"GET /v1/models/m HTTP/1.1"), Answer(status, (), b""))
    assert lines[0] == f"HTTP/1.1 {status} {phrase}"


def test_the_page_of_an_error_closes() -> None:
    """The page recorded for a path outside the API; answered as HTTP/1.1 even to 1.0."""
    for line in (None, parse_request_line(b"GET /foo HTTP/1.0"), parse_request_line(b"GET /foo HTTP/1.1")):
        head, _, page = error_page(404, line).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[:3] == ["HTTP/1.1 404 Not Found", "Content-Type: text/html", "Connection: close"]
        assert lines[4:] == ["Content-Length: 90"]
        assert page == (
            b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
        )
