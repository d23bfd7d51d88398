"""Protobuf messages -> the JSON text of the REST side's status and metadata answers.

Values are protobuf's own JSON mapping; order and layout are those of the C++ writer, which Python's does not follow:
fields by number, those without presence always there, one space of indent. Source:
tensorflow_serving/model_servers/http_rest_api_util.cc (ToJsonString).
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from tfs_locust.tfserving.protos import get_model_metadata_pb2, get_model_status_pb2

from .status import Code, ServingError

_SIGNATURE_DEF = "signature_def"


def status_text(response: get_model_status_pb2.GetModelStatusResponse) -> str:
    """The answer to a model's status."""
    return _text(response)


def metadata_text(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """The answer to a model's metadata: two messages put together by hand, line breaks included.

    Raises ServingError where the signatures are not in ``response``.
    """
    if _SIGNATURE_DEF not in response.metadata:
        text = "Failed to find 'signature_def' key in the GetModelMetadataResponse metadata map."
        raise ServingError(Code.INTERNAL, text)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    if not response.metadata[_SIGNATURE_DEF].Unpack(signatures):
        raise ServingError(Code.INTERNAL, "Failed to unpack 'Any' object to 'SignatureDefMap'.")
    return (
        f'{{\n"model_spec":{_text(response.model_spec)},\n"metadata": {{"{_SIGNATURE_DEF}": {_text(signatures)}}}\n}}\n'
    )


def _text(message: Message) -> str:
    value = json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    text = json.dumps(_in_order(value, message.DESCRIPTOR), indent=1, ensure_ascii=False)
    # never part of the syntax, so these stand in strings only, where the C++ writer escapes them
    return text.replace("<", "\\u003c").replace(">", "\\u003e") + "\n"


def _in_order(value: dict[str, Any], message: Any) -> dict[str, Any]:
    """The same members, fields by number and map entries by key; ``message`` is their descriptor."""
    fields = sorted(message.fields, key=lambda field: field.number)
    return {field.name: _field_in_order(value[field.name], field) for field in fields if field.name in value}


def _field_in_order(value: Any, field: Any) -> Any:
    message = field.message_type
    if message is None or message.file.package == "google.protobuf":
        return value  # a wrapper is its bare value
    if message.GetOptions().map_entry:
        of_value = message.fields_by_name["value"]
        return {key: _field_in_order(value[key], of_value) for key in sorted(value)}
    if isinstance(value, list):
        return [_in_order(element, message) for element in value]
    return _in_order(value, message)
