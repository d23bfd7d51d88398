"""Another model config is sent, and the old one again; what switches by it is worked out from the two."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfs_locust.change.change import ChangeError, Wanted
from tfs_locust.change.reload import ModelConfig, Reload, moves, read_config
from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving.control import Ask, CallFailed
from tfs_locust.tfserving.protos import HANDLE_RELOAD_CONFIG, model_management_pb2
from tfs_locust.tfserving.text_proto import TextProtoError


def _config(folder: Path, policy: str = "", labels: dict[str, int] | None = None, *, name: str = "m") -> ModelConfig:
    marked = "".join(f' version_labels {{ key: "{key}" value: {value} }}' for key, value in (labels or {}).items())
    policed = f" model_version_policy {{ {policy} }}" if policy else ""
    file = folder / f"{len(list(folder.iterdir()))}.config"
    model = f'name: "{name}" base_path: "/m" model_platform: "tensorflow"{policed}{marked}'
    file.write_text(f"model_config_list {{ config {{ {model} }} }}")
    return read_config(str(file))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (("all {}", {"stable": 1, "canary": 2}), ("all {}", {"stable": 2, "canary": 2}), [2]),
        (("all {}", {"stable": 1}), ("all {}", {"stable": 1, "canary": 2}), []),
        (("specific { versions: 1 }",), ("specific { versions: 2 }",), [2]),
        (("specific { versions: 1 }",), ("specific { versions: 1 versions: 2 }",), []),
        (("specific { versions: 1 versions: 2 }",), ("specific { versions: 1 }",), [1]),
        (("specific { versions: 1 }",), ("latest { num_versions: 1 }",), []),
        (("specific { versions: 1 }", {"stable": 1}), ("specific { versions: 2 }", {"stable": 2}), [2]),
    ],
)
def test_what_switches(tmp_path: Path, old: tuple[object, ...], new: tuple[object, ...], expected: list[int]) -> None:
    """Labels that move, and specific versions of which the newest is replaced; what the files cannot tell is left."""
    before, after = _config(tmp_path, *old), _config(tmp_path, *new)  # type: ignore[arg-type]
    assert moves(before, after) == tuple(Wanted("m", version) for version in expected)


def test_models_that_come_and_go(tmp_path: Path) -> None:
    """They switch nothing."""
    one, other = _config(tmp_path, "all {}", {"a": 1}), _config(tmp_path, "all {}", {"a": 2}, name="n")
    assert moves(one, other) == ()


def _answering(sent: list[tuple[str, str]], code: int = 0, message: str = "") -> Ask:
    def ask(path: str, body: bytes | None) -> bytes:
        request = model_management_pb2.ReloadConfigRequest.FromString(body or b"")
        sent.append((path, request.config.model_config_list.config[0].name))
        answer = model_management_pb2.ReloadConfigResponse()
        answer.status.error_code, answer.status.error_message = code, message
        return bytes(answer.SerializeToString())

    return ask


def test_there_and_back(tmp_path: Path) -> None:
    """The new config is sent whole, and then the old one."""
    sent: list[tuple[str, str]] = []
    old, new = _config(tmp_path, name="old"), _config(tmp_path, name="new")
    change = Reload(new, old, "127.0.0.1:8500", _answering(sent), 5.0)
    change.prepare(lambda: False)
    assert sent == []
    change.do()
    change.undo()
    assert sent == [(HANDLE_RELOAD_CONFIG, "new"), (HANDLE_RELOAD_CONFIG, "old")]
    assert (change.does, change.undoes) == (f"send {new.file} to 127.0.0.1:8500", f"send {old.file} to 127.0.0.1:8500")


def test_a_server_that_does_not_take_it(tmp_path: Path) -> None:
    """By its own words, whether they come as the call's failure or in the answer."""
    old, new = _config(tmp_path, name="old"), _config(tmp_path, name="new")

    def refuse(_: str, __: bytes | None) -> bytes:
        raise CallFailed(Outcome.FAILED_PRECONDITION, "not currently available for inference")

    for ask, why in (
        (refuse, "failed_precondition: not currently available for inference"),
        (_answering([], 9, "no such version"), "no such version"),
    ):
        with pytest.raises(ChangeError, match=f"^host:1 did not take {new.file}: {why}$"):
            Reload(new, old, "host:1", ask, 5.0).do()
    with pytest.raises(ChangeError, match="what answers at host:1 is not TensorFlow Serving"):
        Reload(new, old, "host:1", lambda _, __: b"\xff", 5.0).do()


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Its line and column."""
    (tmp_path / "bad").write_text("model_config_list {\n  confic {} }")
    with pytest.raises(TextProtoError, match=r"bad, line 2, column 3: .*confic"):
        read_config(str(tmp_path / "bad"))
