"""Which version folders there are and which a policy asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from tfs_locust.embedded.versions import aspired_versions, versions_on_disk
from tfs_locust.tfserving import protos


def test_numbered_children_are_versions(tmp_path: Path) -> None:
    """Leading zeros are fine; what does not read as a 64-bit number is passed over."""
    for name in ("1", "00000123", "tmp", "2.0", "v3", "99999999999999999999", ".4"):
        (tmp_path / name).mkdir()
    assert versions_on_disk(str(tmp_path)) == {1: str(tmp_path / "1"), 123: str(tmp_path / "00000123")}


def test_two_names_for_one_number(tmp_path: Path) -> None:
    """The last in the alphabet counts, as in the real server."""
    for name in ("007", "7"):
        (tmp_path / name).mkdir()
    assert versions_on_disk(str(tmp_path)) == {7: str(tmp_path / "7")}


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    """Nothing there is not the same as no versions: it must not unload what is served."""
    with pytest.raises(FileNotFoundError):
        versions_on_disk(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", {9}),
        ("latest {}", {9}),
        ("latest { num_versions: 2 }", {3, 9}),
        ("latest { num_versions: 5 }", {1, 3, 9}),
        ("all {}", {1, 3, 9}),
        ("specific { versions: 1 versions: 4 }", {1}),
        ("specific {}", set()),
    ],
)
def test_policies(policy: str, versions: set[int]) -> None:
    """Latest n (1 without a number), all, or those that are named and there."""
    config = protos.model_server_config_pb2.ModelConfig()
    text_format.Parse(f"model_version_policy {{ {policy} }}" if policy else "", config)
    assert set(aspired_versions(config, {1: "/m/1", 3: "/m/3", 9: "/m/9"})) == versions
