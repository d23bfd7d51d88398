"""Reading text-format files, right ones and wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfs_locust.tfserving import protos
from tfs_locust.tfserving.text_proto import (
    BOOL,
    INT64,
    FieldType,
    TextProtoError,
    declare_messages,
    read_text_proto,
)


def _model_config() -> protos.model_server_config_pb2.ModelServerConfig:
    return protos.model_server_config_pb2.ModelServerConfig()


def test_file_fills_the_message(tmp_path: Path) -> None:
    """A file without package prefixes, as the server's own are, is read into the message."""
    file = tmp_path / "models.config"
    file.write_text('model_config_list { config { name: "m" base_path: "/b" model_platform: "tensorflow" } }')
    config = read_text_proto(str(file), _model_config()).model_config_list.config[0]
    assert (config.name, config.base_path, config.model_platform) == ("m", "/b", "tensorflow")


def test_error_names_file_line_and_column(tmp_path: Path) -> None:
    """A field that does not exist is reported where it stands."""
    file = tmp_path / "models.config"
    file.write_text('model_config_list {\n  config { nam: "m" }\n}')
    with pytest.raises(TextProtoError) as error:
        read_text_proto(str(file), _model_config())
    assert str(error.value) == (
        f'{file}, line 2, column 12: Message type "tensorflow.serving.ModelConfig" has no field named "nam". '
        "(a ModelServerConfig in text format)"
    )


def test_missing_file_is_reported(tmp_path: Path) -> None:
    """A file that is not there is named with the reason."""
    with pytest.raises(TextProtoError, match=r"none.config: cannot be read: No such file or directory"):
        read_text_proto(str(tmp_path / "none.config"), _model_config())


def test_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are no text file."""
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TextProtoError, match="is not a text file"):
        read_text_proto(str(file), _model_config())


def test_declared_messages_may_hold_each_other(tmp_path: Path) -> None:
    """A declared message has the fields declared for it, lists and other declared messages among them."""
    declared = declare_messages(
        "test",
        {
            "Inner": (FieldType("on", 1, BOOL),),
            "Outer": (FieldType("inner", 1, ".test.Inner"), FieldType("sizes", 2, INT64, repeated=True)),
        },
    )
    file = tmp_path / "outer.txt"
    file.write_text("inner { on: true } sizes: 1 sizes: 2")
    outer = read_text_proto(str(file), declared["Outer"]())
    assert (outer.inner.on, list(outer.sizes)) == (True, [1, 2])
