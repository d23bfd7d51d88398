"""Every recorded REST case of the real server, over a socket, against the whole embedded server."""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "transcripts" / "rest.jsonl").read_text().splitlines()
]


def exchange(url: str, case: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Send one recorded request; status, headers less Date, and body of the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.putrequest(case["method"], case["path"], skip_accept_encoding=True)
        body = base64.b64decode(case.get("body_b64") or "")
        chunked = case["headers"].get("Transfer-Encoding") == "chunked"
        for name, value in case["headers"].items():
            connection.putheader(name, value)
        if body and not chunked:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders([body] if chunked else body or None, encode_chunked=chunked)
        answer = connection.getresponse()
        headers = {name: value for name, value in answer.getheaders() if name != "Date"}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_answer_is_the_recorded_one(transcript_server: Any, case: dict[str, Any]) -> None:
    """Status, headers, and body: an error's text byte by byte, a result by what it says."""
    status, headers, body = exchange(transcript_server.rest_url, case)
    expected = base64.b64decode(case["response_b64"])
    assert status == case["status"]
    if body != expected and status == 200:
        # members of a map, and with them the length, come in any order
        assert json.loads(body.decode("latin-1")) == json.loads(expected.decode("latin-1"))
    else:
        assert body == expected
    assert list(headers.items()) == list(case["response_headers"].items())
