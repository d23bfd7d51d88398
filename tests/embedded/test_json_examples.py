"""Bodies of REST classify and regress requests."""

from __future__ import annotations

from typing import Any

import pytest

from tfs_locust.embedded.json_examples import classification_request, regression_request
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving.protos import model_pb2

SPEC = model_pb2.ModelSpec(name="m")


def features(example: Any) -> dict[str, tuple[str | None, list[Any]]]:
    return {
        name: (kind := feature.WhichOneof("kind"), list(getattr(feature, kind).value) if kind else [])
        for name, feature in example.features.feature.items()
    }


def error_of(body: str) -> str:
    with pytest.raises(ServingError) as raised:
        regression_request(body.encode(), SPEC)
    assert raised.value.code is Code.INVALID_ARGUMENT
    return raised.value.message


def test_the_json_type_decides_the_kind_of_a_feature() -> None:
    """Integers and booleans are int64, numbers with a fraction float, strings and base64 bytes; a list or one value."""
    body = b'{"examples": [{"i": 1, "t": [true, false, 3], "f": [1.5, 2.0], "s": ["a", {"b64": "/w=="}], "e": []}]}'
    request = classification_request(body, SPEC)
    assert request.model_spec.name == "m"
    assert request.model_spec.signature_name == ""
    (example,) = request.input.example_list.examples
    assert features(example) == {
        "i": ("int64_list", [1]),
        "t": ("int64_list", [1, 0, 3]),
        "f": ("float_list", [1.5, 2.0]),
        "s": ("bytes_list", [b"a", b"\xff"]),
        "e": (None, []),
    }


def test_a_context_goes_beside_the_examples() -> None:
    """With a context the request has the other kind of input."""
    body = b'{"signature_name": "c", "context": {"lang": "en"}, "examples": [{"x": 1.0}, {}]}'
    request = regression_request(body, SPEC)
    assert request.model_spec.signature_name == "c"
    held = request.input.example_list_with_context
    assert features(held.context) == {"lang": ("bytes_list", [b"en"])}
    assert [features(example) for example in held.examples] == [{"x": ("float_list", [1.0])}, {}]


def test_of_two_features_of_one_name_the_last_counts() -> None:
    """They are no mixture of both."""
    request = regression_request(b'{"examples": [{"x": 1, "x": 2.5}]}', SPEC)
    assert features(request.input.example_list.examples[0]) == {"x": ("float_list", [2.5])}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            '{"instances": [1]}',
            (
                'JSON Value: {\n    "instances": [1]\n} '
                "When method is classify, key 'examples' is expected and was not found"
            ),
        ),
        ('{"examples": 1}', "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"context": [], "examples": []}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        ('{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        ('{"examples": [{"x": {"y": 1}}]}', "Feature: x has element with unexpected JSON type: Object"),
        ('{"examples": [{"x": [1, 2.5]}]}', "Unexpected element type in feature: x expecting type: int64"),
        ('{"examples": [{"x": [1.5, 2]}]}', "Unexpected element type in feature: x expecting type: float"),
        ('{"examples": [{"x": ["a", true]}]}', "Unexpected element type in feature: x expecting type: bytes"),
        (
            '{"examples": [{"x": 9223372036854775808}]}',
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        ('{"examples": [{"x": {"b64": "?"}}]}', "Unable to base64 decode"),
        ("", "JSON Parse error: The document is empty"),
    ],
)
def test_bodies_that_hold_no_examples(body: str, error: str) -> None:
    """The texts of json_tensor.cc; a regress is told of classify, too."""
    assert error_of(body) == error
