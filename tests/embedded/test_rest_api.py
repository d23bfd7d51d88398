"""URLs, methods and what they come to, without sockets."""

from __future__ import annotations

import json
import logging

import pytest

from tests.embedded.fake_core import FakeCore
from tfs_locust.embedded.http_message import Answer
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.rest_api import RestApi

ROW = b'{"instances": [1.0]}'


class Api:
    """One API over a fake core, with what it counts."""

    def __init__(self, *, timeout_s: float | None = None, cors: bool = False) -> None:
        self.core, self.metrics = FakeCore(), Metrics()
        self._api = RestApi(self.core, self.metrics, timeout_s=timeout_s, cors=cors)

    def answer(self, method: str, target: str, body: bytes = b"", origin: str = "") -> Answer:
        return self._api.answer(method, target, body, origin)

    def error(self, method: str, target: str, body: bytes = b"") -> tuple[int, str]:
        answer = self.answer(method, target, body)
        return answer.status, json.loads(answer.body)["error"]

    def counted(self, name: str) -> list[str]:
        prefix = f":tensorflow:serving:{name}"
        return [line.removeprefix(prefix) for line in self.metrics.page().splitlines() if line.startswith(prefix)]


@pytest.mark.parametrize(
    ("target", "spec"),
    [
        ("/v1/models/half_plus_two:predict", ("half_plus_two", None, "")),
        ("/V1/Models/half%5Fplus%5Ftwo:predict", ("half_plus_two", None, "")),
        ("/v1/models/half_plus_two/versions/007:predict", ("half_plus_two", 7, "")),
        ("/v1/models/half_plus_two/VERSIONS/1:predict", ("half_plus_two", 1, "")),
        ("/v1/models/half_plus_two/labels/a%20b:predict", ("half_plus_two", None, "a b")),
    ],
)
def test_a_url_names_model_and_version_or_label(target: str, spec: tuple[str, int | None, str]) -> None:
    """In any case, names percent-decoded, versions as numbers."""
    api = Api(timeout_s=1.5)
    answer = api.answer("POST", target, ROW)
    assert (answer.status, answer.body) == (200, b'{\n    "predictions": [2.5\n    ]\n}')
    assert answer.headers == (("Content-Type", "application/json"),)
    ((call, request, timeout_s),) = api.core.calls
    sent = request.model_spec
    assert (call, timeout_s) == ("predict", 1.5)
    version = sent.version.value if sent.HasField("version") else None
    assert (sent.name, version, sent.version_label) == spec


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/models/half_plus_two"),
        ("POST", "/v1/models/half_plus_two:predict?x=1"),
        ("POST", "/v1/models/half_plus_two:predict/"),
        ("POST", "/v1/models/half_plus_two:PREDICT"),
        ("POST", "/v1/models/half_plus_two:predictx"),
        ("POST", "/v1/models/half_plus_two/versions/x:predict"),
        ("POST", "/v1/models/half_plus_two/versions/1/labels/a:predict"),
        ("POST", "/v1/models/:predict"),
        ("GET", "/v1/models/half_plus_two:predict"),
        ("GET", "/v1/models/half_plus_two/"),
        ("GET", "/v1/models/half_plus_two/versions/abc"),
        ("GET", "/v1/"),
        ("PUT", "/v1/models/half_plus_two:predict"),
        ("DELETE", "/v1/models/half_plus_two"),
        ("HEAD", "/v1/models/half_plus_two"),
        ("PATCH", "/v1/models/half_plus_two"),
    ],
)
def test_everything_else_under_v1_is_malformed(method: str, target: str) -> None:
    """With method and target as they came."""
    assert Api().error(method, target, ROW) == (400, f"Malformed request: {method} {target}")


def test_a_query_string_behind_a_name_is_part_of_the_name() -> None:
    """Only slashes and colons end a name, so a status with a query asks for another model."""
    answer = Api().error("GET", "/v1/models/half_plus_two?x=1")
    assert answer == (404, "Servable not found for request: Latest(half_plus_two?x=1)")


def test_a_version_beyond_int64_has_no_text() -> None:
    """The real server forgets the body of this error; the model is counted all the same."""
    api = Api()
    answer = api.answer("POST", "/v1/models/half_plus_two/versions/9223372036854775808:predict", ROW)
    assert (answer.status, answer.body) == (400, b"")
    assert api.counted("request_count{") == ['model_name="half_plus_two",status="INVALID_ARGUMENT"} 1']
    zeros = "0" * 5000
    assert api.answer("POST", f"/v1/models/half_plus_two/versions/{zeros}1:predict", ROW).status == 200


def test_status_and_metadata_are_got() -> None:
    """Whatever the case of the URL but for `metadata`, which is then a status."""
    api = Api()
    assert b'"state": "AVAILABLE"' in api.answer("GET", "/v1/models/half_plus_two").body
    assert b'"state": "AVAILABLE"' in api.answer("GET", "/v1/models/half_plus_two/labels/x").body
    assert b'"state": "AVAILABLE"' in api.answer("GET", "/v1/models/half_plus_two/METADATA").body
    assert b'"signature_def": {}' in api.answer("GET", "/v1/models/half_plus_two/versions/1/metadata").body
    assert api.error("GET", "/v1/models/nope/metadata") == (404, "Servable not found for request: Latest(nope)")
    assert api.core.calls[1][1].model_spec.version_label == "x"


@pytest.mark.parametrize("target", ["/v1/models", "/v1/models/versions/1", "/v1/models/labels/a/metadata"])
def test_a_status_without_a_name_is_refused(target: str) -> None:
    """The name is optional in the URL only."""
    assert Api().error("GET", target) == (400, "Missing model name in request.")


def test_classify_and_regress_go_to_the_core() -> None:
    """Each with its request and its answer."""
    api = Api(timeout_s=2)
    body = b'{"examples": [{"x": 1.0}]}'
    classified = api.answer("POST", "/v1/models/m:classify", body)
    assert classified.body == b'{\n    "results": [[["a", 0.5]]\n    ]\n}'
    assert api.answer("POST", "/v1/models/m:regress", body).body == b'{\n    "results": [2.5]\n}'
    assert [(call, timeout_s) for call, _, timeout_s in api.core.calls] == [("classify", 2), ("regress", 2)]


def test_every_request_is_counted_and_only_successes_are_timed() -> None:
    """The API as it is written in the URL; a GET has none, a malformed request not even a model."""
    api = Api()
    api.answer("POST", "/v1/models/half_plus_two:predict", ROW)
    api.answer("POST", "/v1/models/half_plus_two:predict", b"")
    api.answer("GET", "/v1/models/half_plus_two")
    api.answer("GET", "/v1/models/half_plus_two/metadata")
    api.answer("POST", "/v1/models/nope:predict", ROW)
    api.answer("PUT", "/v1/models/half_plus_two")
    assert api.counted("request_count{") == [
        'model_name="",status="INVALID_ARGUMENT"} 1',
        'model_name="half_plus_two",status="INVALID_ARGUMENT"} 1',
        'model_name="half_plus_two",status="OK"} 3',
        'model_name="nope",status="NOT_FOUND"} 1',
    ]
    assert api.counted("request_latency_count{") == [
        'model_name="half_plus_two",API="",entrypoint="REST"} 2',
        'model_name="half_plus_two",API="predict",entrypoint="REST"} 1',
    ]


def test_a_preflight_request_needs_an_origin() -> None:
    """No body and no type either way; the permissions only where they are switched on."""
    plain, open_to_all = Api(), Api(cors=True)
    for api in (plain, open_to_all):
        assert api.answer("OPTIONS", "/v1/x").status == 400
        assert api.answer("OPTIONS", "/v1/x", origin="https://a.b").status == 200
        assert api.answer("OPTIONS", "/v1/x", origin="a.b").body == b""
        assert api.counted("request_count{") == [
            'model_name="",status="FAILED_PRECONDITION"} 2',
            'model_name="",status="OK"} 1',
        ]
    assert plain.answer("OPTIONS", "/v1/x", origin="http://a").headers == ()
    names = [name for name, _ in open_to_all.answer("GET", "/v1/models/half_plus_two").headers]
    assert names == [
        "Content-Type",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers",
    ]


def test_a_bug_in_the_core_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """Logged, answered, counted; the server lives on."""
    api = Api()
    with caplog.at_level(logging.ERROR):
        assert api.error("POST", "/v1/models/broken:predict", ROW) == (500, "Internal error")
    assert "a bug" in caplog.text


def test_lists_nested_deeply() -> None:
    """The first thing wrong is named, however deep and uneven the lists are."""
    deep = b"[" * 5000 + b"1, 2" + b"]" * 4999 + b", true]"
    assert Api().error("POST", "/v1/models/half_plus_two:predict", b'{"instances": ' + deep + b"}") == (
        400,
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: true Type: True is not "
        "of expected type: float",
    )


def test_stray_bytes_come_back_in_the_error() -> None:
    """The echo holds what the request held."""
    answer = Api().answer("POST", "/v1/models/half_plus_two:predict", b'{"instances": ["\xff"]}')
    assert b'JSON Value: \\"\xff\\" Type: String' in answer.body
    answer = Api().answer("POST", "/v1/models/half_plus_two:predict", b'{"signature_name": "\xff", "instances": [1]}')
    assert b'Serving signature name: \\"\xff\\" not found in signature def' in answer.body
