"""What every REST request body has in common: a JSON object, a signature's name, bytes in base64.

Source: tensorflow_serving/util/json_tensor.cc (ParseJson, FillSignature, JsonDecodeBase64Object); what counts as base64
is Abseil's rule (absl/strings/escaping.cc).
"""

from __future__ import annotations

import base64
import re

from .json_reader import Json, JsonError, JsonObject, read
from .json_writer import debug_text
from .status import Code, ServingError

BASE64_KEY = "b64"


def invalid_argument(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)


def format_error(value: Json, message: str) -> ServingError:
    """An error that shows the offending value first."""
    return invalid_argument(f"JSON Value: {debug_text(value)} {message}")


def type_name(value: Json) -> str:
    """RapidJSON's type of a value, as errors name it."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, str):
        return "String"
    if isinstance(value, list):
        return "Array"
    return "Object" if isinstance(value, JsonObject) else "Number"


def parse(body: bytes) -> JsonObject:
    """The object a request body is. Raises ServingError."""
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = read(body)
    except JsonError as error:
        raise invalid_argument(f"JSON Parse error: {error}") from error
    if not isinstance(document, JsonObject):
        raise format_error(document, "Is not object")
    return document


def signature_name(document: JsonObject) -> str:
    """The signature the request names; empty where it names none. Raises ServingError."""
    if "signature_name" not in document:
        return ""
    name = document["signature_name"]
    if not isinstance(name, str):
        raise format_error(document, "not formatted correctly. 'signature_name' key must be a string value.")
    return name


def raw_bytes(text: str) -> bytes:
    """The bytes that stood in the request."""
    return text.encode("utf-8", "surrogateescape")


def utf8(text: str) -> str:
    """The text as a protobuf string takes it: bytes that are no UTF-8 become replacement characters."""
    return raw_bytes(text).decode("utf-8", "replace")


def is_base64_object(value: Json) -> bool:
    """Whether the value is ``{"b64": "..."}``, one member and no more."""
    return (
        isinstance(value, JsonObject)
        and len(value.members) == 1
        and value.members[0][0] == BASE64_KEY
        and isinstance(value.members[0][1], str)
    )


def decode_base64_object(value: JsonObject) -> bytes:
    """The bytes in ``{"b64": "..."}``. Raises ServingError."""
    if not is_base64_object(value):
        raise format_error(value, "not formatted correctly for base64 data")
    text = value.members[0][1]
    assert isinstance(text, str)
    decoded = _decode_base64(raw_bytes(text))
    if decoded is None:
        raise invalid_argument("Unable to base64 decode")
    return decoded


_SPACE = bytes.maketrans(b"", b""), b" \t\n\v\f\r"
_BASE64 = re.compile(rb"([A-Za-z0-9+/]*)([=.]*)")
_PADDING = {0: 0, 2: 2, 3: 1}  # by how many characters are left of a group of four; one alone is none


def _decode_base64(text: bytes) -> bytes | None:
    """Spaces anywhere, padding all or nothing and maybe as dots; None where it is no base64."""
    match = _BASE64.fullmatch(text.translate(*_SPACE))
    if match is None:
        return None
    digits, padding = match.groups()
    wanted = _PADDING.get(len(digits) % 4)
    if wanted is None or len(padding) not in (0, wanted):
        return None
    return base64.b64decode(digits + b"=" * wanted)
