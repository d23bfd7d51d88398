"""HTTP/1.x requests and answers as bytes, by libevent's rules: what is refused, which headers an answer carries.

No input or output is done here. TensorFlow Serving's REST port is libevent's evhttp; its answers to broken or unknown
requests are libevent's own pages. Sources: libevent 2.1.12 http.c; tensorflow_serving/util/net_http/server/internal/
evhttp_request.cc (ParsedEvRequest::decode) and evhttp_server.cc (the methods allowed).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate

ALLOWED_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
_BODILESS_METHODS = frozenset({"HEAD", "TRACE"})  # and any unknown one: what follows is taken for the next request
_KNOWN_METHODS = ALLOWED_METHODS | {"TRACE", "CONNECT"}
_SHORTEST_REQUEST_LINE = len("GET / HTTP/1.0")

# libevent's phrases; a code it does not know gets the name of its class
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    417: "Expectation Failed",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Time-out",
}
_PHRASES_OF_CLASSES = {4: "Client Error", 5: "Server Error"}


class HttpError(Exception):
    """The request ends in one of libevent's own pages, and the connection with it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestLine:
    """What the first line says; the version as major and minor number."""

    method: str
    uri: bytes
    version: tuple[int, int]

    @property
    def may_have_body(self) -> bool:
        return self.method in _KNOWN_METHODS and self.method not in _BODILESS_METHODS


@dataclass(frozen=True, slots=True)
class Target:
    """A decoded URI: its path alone, and with query and fragment, as the handlers see it."""

    path: str
    full: str
    through_proxy: bool  # an absolute URI


class Headers:
    """Header lines in order; the first of a name counts."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []

    def add_line(self, line: bytes) -> None:
        """One line of a head. Raises HttpError where it is none."""
        text = line.decode("latin-1")
        if text[0] in " \t":
            if not self._lines:
                raise HttpError(400)
            name, value = self._lines[-1]
            continued = text.strip(" \t")
            self._lines[-1] = (name, f"{value} {continued}")
            return
        name, colon, value = text.partition(":")
        if not colon:
            raise HttpError(400)
        self._lines.append((name.lower(), value.lstrip(" ").rstrip(" \t")))

    def get(self, name: str) -> str | None:
        """The value under a lower-case name."""
        return next((value for key, value in self._lines if key == name), None)


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request."""

    line: RequestLine
    target: Target
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be sent: the headers that depend on the connection are added later."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


_VERSION = re.compile(rb"HTTP/(\d{1,9})\.(\d{1,9})")


def parse_request_line(line: bytes) -> RequestLine:
    """The first line, without its line break. Raises HttpError."""
    line = line.rstrip(b" ")
    method, space, rest = line.partition(b" ")
    uri, _, version = rest.rpartition(b" ")
    match = _VERSION.fullmatch(version)
    if len(line) < _SHORTEST_REQUEST_LINE or not space or not uri or match is None:
        raise HttpError(400)
    major, minor = map(int, match.groups())
    if major > 1:
        raise HttpError(400)
    return RequestLine(method.decode("latin-1"), uri, (major, minor))


_URI = re.compile(rb"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@\[\]-]|%[0-9A-Fa-f]{2})*")
_PATH = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")


def parse_uri(uri: bytes) -> Target:
    """The parts of a URI that conforms to RFC 3986. Raises HttpError."""
    match = _URI.fullmatch(uri)
    assert match is not None  # the pattern takes anything; what a part may hold comes next
    scheme, authority, path, query, fragment = match.groups()
    if not (
        _AUTHORITY.fullmatch(authority or b"")
        and _PATH.fullmatch(path)
        and _QUERY.fullmatch(query or b"")
        and _QUERY.fullmatch(fragment or b"")
    ):
        raise HttpError(400)
    full = path + (b"" if query is None else b"?" + query) + (b"" if fragment is None else b"#" + fragment)
    through_proxy = authority is not None and (scheme or b"").lower() in (b"http", b"https")
    return Target(path.decode(), full.decode(), through_proxy)


_CONTENT_LENGTH = re.compile(r"[ \t\v\f\r]*([+-]?)0*([1-9][0-9]*)?(?<=[0-9])")
_ENDLESS = 19  # digits; Python refuses to read thousands of them
_CHUNK_SIZE = re.compile(rb"\s*\+?(?:0[xX])?([0-9A-Fa-f]+)(?: .*)?", re.DOTALL)


def content_length(headers: Headers) -> int:
    """The bytes of a body that is not chunked. Raises HttpError."""
    text = headers.get("content-length")
    if text is None:
        return 0
    match = _CONTENT_LENGTH.fullmatch(text)
    if match is None or (match[1] == "-" and match[2]):
        raise HttpError(400)
    return int(match[2][:_ENDLESS]) if match[2] else 0


def is_chunked(headers: Headers) -> bool:
    return (headers.get("transfer-encoding") or "").lower() == "chunked"


def chunk_size(line: bytes) -> int:
    """The bytes of the next chunk; extensions are not understood. Raises HttpError."""
    match = _CHUNK_SIZE.fullmatch(line)
    if match is None:
        raise HttpError(413)  # libevent's word for a corrupted chunk
    return int(match.group(1), 16)


def expects_continue(line: RequestLine, headers: Headers) -> bool:
    """Whether the client waits for a go-ahead. Raises HttpError where it expects anything else."""
    expectation = headers.get("expect")
    if expectation is None or line.version < (1, 1):
        return False
    if expectation.lower() != "100-continue":
        raise HttpError(417)
    return True


def closes(request: Request) -> bool:
    """Whether the connection ends with the answer to ``request``."""
    return _asks_to_close(request) or (request.line.version < (1, 1) and not _asks_to_keep(request))


def _asks_to_close(request: Request) -> bool:
    if request.target.through_proxy:
        return (request.headers.get("proxy-connection") or "").lower() != "keep-alive"
    return (request.headers.get("connection") or "").lower() == "close"


def _asks_to_keep(request: Request) -> bool:
    return (request.headers.get("connection") or "").lower().startswith("keep-alive")


def answer_bytes(request: Request, answer: Answer) -> bytes:
    """The answer as it goes over the wire, its headers in libevent's order.

    To HEAD there is no body and no length of one; libevent sends the body all the same, which would break the next
    answer on the connection, so this is the one place where it is not followed.
    """
    major, minor = request.line.version
    with_body = request.line.method != "HEAD"
    keeps = _asks_to_keep(request)
    headers = list(answer.headers)
    if major == 1 and minor >= 1:
        headers.append(("Date", formatdate(usegmt=True)))
    if (major, minor) == (1, 0) and keeps:
        headers.append(("Connection", "keep-alive"))
    if major == 1 and (minor >= 1 or keeps) and with_body:
        headers.append(("Content-Length", str(len(answer.body))))
    if with_body and all(name != "Content-Type" for name, _ in headers):
        headers.append(("Content-Type", "text/html; charset=ISO-8859-1"))
    if _asks_to_close(request):
        headers = [header for header in headers if header[0] != "Connection"]
        if not request.target.through_proxy:
            headers.append(("Connection", "close"))
    return _head((major, minor), answer.status, headers) + (answer.body if with_body else b"")


def error_page(status: int, line: RequestLine | None) -> bytes:
    """libevent's page for an error, after which it closes; ``line`` is None where there was none to understand."""
    phrase = _phrase(status)
    page = (
        f"<HTML><HEAD>\n<TITLE>{status} {phrase}</TITLE>\n</HEAD><BODY>\n<H1>{phrase}</H1>\n</BODY></HTML>\n".encode()
    )
    version = line.version if line is not None and all(line.version) else (1, 1)
    with_body = line is None or line.method not in ("HEAD", "CONNECT")
    headers = [("Content-Type", "text/html"), ("Connection", "close"), ("Date", formatdate(usegmt=True))]
    if with_body:
        headers.append(("Content-Length", str(len(page))))
    return _head(version, status, headers) + (page if with_body else b"")


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or _PHRASES_OF_CLASSES[status // 100]


def _head(version: tuple[int, int], status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/{version[0]}.{version[1]} {status} {_phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "".join(line + "\r\n" for line in (*lines, "")).encode("latin-1")
