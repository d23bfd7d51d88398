"""Configuration files in protobuf's text format, as tensorflow_model_server reads them.

The ``tensorflow-serving-api`` package ships no generated code for some of these messages; they are declared here, in a
descriptor pool of their own, so that a package that does ship them one day cannot clash.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

_Field = descriptor_pb2.FieldDescriptorProto
_Parsed = TypeVar("_Parsed", bound=Message)

INT64 = _Field.TYPE_INT64
BOOL = _Field.TYPE_BOOL
STRING = _Field.TYPE_STRING


class TextProtoError(Exception):
    """A configuration file that cannot be used; the text names file, line and column."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field of a declared message: a scalar type, or the full name of a message type."""

    name: str
    number: int
    type: descriptor_pb2.FieldDescriptorProto.Type.ValueType | str
    repeated: bool = False


def declare_messages(package: str, messages: dict[str, tuple[FieldType, ...]]) -> dict[str, type[Message]]:
    """Message classes for ``{name: fields}`` in ``package``, with proto3 semantics."""
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.{'_'.join(messages)}.proto", package=package, syntax="proto3", dependency=[wrappers.name]
    )
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field in fields:
            declared = message.field.add(name=field.name, number=field.number)
            declared.label = _Field.LABEL_REPEATED if field.repeated else _Field.LABEL_OPTIONAL
            if isinstance(field.type, str):
                declared.type = _Field.TYPE_MESSAGE
                declared.type_name = field.type
            else:
                declared.type = field.type
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def read_text_proto(path: str, message: _Parsed) -> _Parsed:
    """Fill ``message`` from the text-format file at ``path`` and return it.

    Raises TextProtoError where the file cannot be read or holds something the message has no place for.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise TextProtoError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextProtoError(f"{path}: is not a text file") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        place = "" if error.GetLine() is None else f", line {error.GetLine()}, column {error.GetColumn()}"
        reason = str(error).split(" : ", 1)[-1]
        raise TextProtoError(f"{path}{place}: {reason} (a {message.DESCRIPTOR.name} in text format)") from error
