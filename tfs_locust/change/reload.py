"""The server gets another model config, by HandleReloadConfigRequest: other versions by policy, or labels moved.

A server cannot be asked for the config that it has, and a new one replaces it whole: models that it leaves out are
unloaded. So whoever sends one has to say what was there before.
Source: tensorflow_serving/apis/model_management.proto, model_servers/server_core.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from tfs_locust.change.change import ChangeError, Wanted
from tfs_locust.tfserving.control import Ask, CallFailed
from tfs_locust.tfserving.protos import HANDLE_RELOAD_CONFIG, model_management_pb2, model_server_config_pb2
from tfs_locust.tfserving.text_proto import read_text_proto


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A ModelServerConfig, and the file that it is from."""

    file: str
    config: Any = field(compare=False)


def read_config(file: str) -> ModelConfig:
    """What a file in protobuf's text format says. Raises TextProtoError."""
    return ModelConfig(file, read_text_proto(file, model_server_config_pb2.ModelServerConfig()))


def moves(old: ModelConfig, new: ModelConfig) -> tuple[Wanted, ...]:
    """The versions that take over when ``new`` follows on ``old``, as far as the two tell: those that a label moves to,
    and the newest of a policy's specific versions where the newest before is not among them any more."""
    before = {model.name: model for model in old.config.model_config_list.config}
    found = [
        Wanted(model.name, version)
        for model in new.config.model_config_list.config
        if model.name in before
        for version in _moves(before[model.name], model)
    ]
    return tuple(dict.fromkeys(found))


def _moves(old: Any, new: Any) -> Iterator[int]:
    for label, version in sorted(new.version_labels.items()):
        if old.version_labels.get(label, version) != version:
            yield version
    gone, come = (list(one.model_version_policy.specific.versions) for one in (old, new))
    if gone and come and max(gone) not in come:
        yield max(come)


@dataclass(frozen=True, slots=True)
class Reload:
    """``new`` is sent, and later ``old`` again."""

    new: ModelConfig
    old: ModelConfig
    server: str
    """For people."""
    ask: Ask = field(compare=False)
    """Of the server's gRPC interface. A reload is answered when new models are available, or cannot be loaded."""
    timeout_s: float

    @property
    def kind(self) -> str:
        return "reload"

    @property
    def does(self) -> str:
        return f"send {self.new.file} to {self.server}"

    @property
    def undoes(self) -> str:
        return f"send {self.old.file} to {self.server}"

    @property
    def by_hand(self) -> str:
        return f"make {self.old.file} the server's model config again"

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return moves(self.old, self.new)

    @property
    def wanted_back(self) -> tuple[Wanted, ...]:
        return moves(self.new, self.old)

    def prepare(self, _: Callable[[], bool]) -> None:
        """Nothing."""

    def do(self) -> None:
        self._send(self.new)

    def undo(self) -> None:
        self._send(self.old)

    def _send(self, config: ModelConfig) -> None:
        request = model_management_pb2.ReloadConfigRequest(config=config.config)
        try:
            answer = self.ask(HANDLE_RELOAD_CONFIG, request.SerializeToString())
            status = model_management_pb2.ReloadConfigResponse.FromString(answer).status
        except CallFailed as failure:
            raise ChangeError(f"{self.server} did not take {config.file}: {failure}") from failure
        except DecodeError as error:
            raise ChangeError(f"what answers at {self.server} is not TensorFlow Serving") from error
        if status.error_code:
            raise ChangeError(f"{self.server} did not take {config.file}: {status.error_message}")
