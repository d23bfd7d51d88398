"""Which versions of a model a server should have: its version policy applied to the folders there are.

Source: tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc. Looks at names only, never into a
version's folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tfs_locust.tfserving import protos

_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*")
_LARGEST = 2**63 - 1


def versions_on_disk(base_path: str) -> dict[int, str]:
    """Path by version: every child of ``base_path`` whose name reads as a number, ``00000123`` too.

    Of two names for one number the last in the alphabet counts. Raises OSError where there is no such folder.
    """
    children = sorted(child.name for child in Path(base_path).iterdir())
    return {
        int(name): str(Path(base_path, name))
        for name in children
        if _NUMBER.fullmatch(name) and -_LARGEST - 1 <= int(name) <= _LARGEST
    }


def aspired_versions(config: protos.model_server_config_pb2.ModelConfig, on_disk: Mapping[int, str]) -> dict[int, str]:
    """The part of ``on_disk`` that the model's version policy asks for: the latest n (1 by default), all, or some."""
    policy = config.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            wanted = set(on_disk)
        case "specific":
            wanted = set(policy.specific.versions)
        case _:
            wanted = set(sorted(on_disk)[-max(policy.latest.num_versions, 1) :])
    return {version: path for version, path in on_disk.items() if version in wanted}
