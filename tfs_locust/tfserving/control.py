"""Asking a server about its models: versions, states, signatures; and saying clearly what is wrong with a target.

Works over either interface through an ``ask`` function, so it knows no transport. Sources:
tensorflow_serving/apis/get_model_status.proto, get_model_metadata.proto; g3doc/api_rest.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError

from tfs_locust.measure.sample import Outcome
from tfs_locust.tfserving import signature as signatures
from tfs_locust.tfserving.protos import (
    GET_MODEL_METADATA,
    GET_MODEL_STATUS,
    get_model_metadata_pb2,
    get_model_status_pb2,
)
from tfs_locust.tfserving.signature import Signature
from tfs_locust.tfserving.target import Target

METRICS_PATH = "/monitoring/prometheus/metrics"

Ask = Callable[[str, "bytes | None"], bytes]
"""Sends a body (None: a GET) to a gRPC method or URL path and returns the answer's bytes, or raises CallFailed."""


class CallFailed(Exception):  # noqa: N818 - it reads as what happened
    """A control call that got no answer."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}" if detail else str(outcome))
        self.outcome = outcome
        self.detail = detail


class TargetError(ValueError):
    """What is asked of the server does not exist there; the text says what was asked, what exists and what to do."""


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version of a model as the server reports it. ``state`` is the server's own word, such as ``AVAILABLE``."""

    version: int
    state: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.version} ({self.state}{': ' + self.error if self.error else ''})"


class Control(Protocol):
    """What can be asked, over either interface. Methods raise CallFailed."""

    def status(self, model: str) -> list[VersionStatus]:
        """All versions of ``model`` that the server knows, newest first."""
        ...

    def metadata(self, target: Target) -> bytes:
        """The signatures of the version that ``target`` resolves to, as the interface gives them."""
        ...

    def signature(self, metadata: bytes, name: str) -> Signature:
        """One signature out of :meth:`metadata`'s answer. Raises SignatureError."""
        ...

    def signature_names(self, metadata: bytes) -> list[str]: ...

    def models(self) -> list[str]:
        """Names the server seems to serve; empty where it does not tell. TensorFlow Serving has no call for this."""
        ...


@dataclass(frozen=True, slots=True)
class GrpcControl:
    """ModelService and GetModelMetadata."""

    ask: Ask

    def status(self, model: str) -> list[VersionStatus]:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=Target(model).model_spec(with_signature=False))
        answer = get_model_status_pb2.GetModelStatusResponse.FromString(
            self.ask(GET_MODEL_STATUS, request.SerializeToString())
        )
        states = get_model_status_pb2.ModelVersionStatus.State
        return _newest_first(
            [
                VersionStatus(row.version, states.Name(row.state), row.status.error_message)
                for row in answer.model_version_status
            ]
        )

    def metadata(self, target: Target) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=target.model_spec(with_signature=False), metadata_field=["signature_def"]
        )
        return self.ask(GET_MODEL_METADATA, request.SerializeToString())

    def signature(self, metadata: bytes, name: str) -> Signature:
        return signatures.from_grpc(metadata, name)

    def signature_names(self, metadata: bytes) -> list[str]:
        return signatures.names_in_grpc(metadata)

    def models(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class RestControl:
    """The status and metadata resources."""

    ask: Ask

    def status(self, model: str) -> list[VersionStatus]:
        rows = json.loads(self.ask(Target(model).rest_path(), None))["model_version_status"]
        return _newest_first(
            [VersionStatus(int(row["version"]), row["state"], row["status"]["error_message"]) for row in rows]
        )

    def metadata(self, target: Target) -> bytes:
        return self.ask(target.rest_path("/metadata"), None)

    def signature(self, metadata: bytes, name: str) -> Signature:
        return signatures.from_rest(metadata, name)

    def signature_names(self, metadata: bytes) -> list[str]:
        return signatures.names_in_rest(metadata)

    def models(self) -> list[str]:
        try:
            page = self.ask(METRICS_PATH, None).decode(errors="replace")
        except CallFailed:
            return []
        # .../NAME/VERSION: the folder is named as the model in all but unusual configurations
        return sorted(set(re.findall(r'load_attempt_count\{model_path="[^"]*?([^/"]+)/\d+"', page)))


def _newest_first(rows: list[VersionStatus]) -> list[VersionStatus]:
    return sorted(rows, key=lambda row: row.version, reverse=True)


def resolve(control: Control, target: Target) -> Signature:
    """The signature that ``target`` names, of the version that would answer now.

    Raises TargetError where the model, version, label or signature does not exist or is not AVAILABLE, and CallFailed
    where the server could not be asked at all.
    """
    try:
        return control.signature(control.metadata(target), target.signature)
    except signatures.SignatureError as error:
        raise TargetError(f"{error}; choose one with --tfs-signature") from error
    except CallFailed as failure:
        if failure.outcome not in {Outcome.NOT_FOUND, Outcome.INVALID_ARGUMENT}:
            raise
        raise TargetError(_why_not_found(control, target, failure)) from failure
    except (DecodeError, ValueError, KeyError, TypeError) as error:
        raise TargetError(f"what answers for {target} is not TensorFlow Serving: its metadata is unreadable") from error


def _why_not_found(control: Control, target: Target, failure: CallFailed) -> str:
    try:
        versions = control.status(target.model)
    except CallFailed as unknown:
        if unknown.outcome is not Outcome.NOT_FOUND:
            return f"{target}: {failure.detail}"
        models = control.models()
        there = (
            f"it serves: {', '.join(models)}"
            if models
            else "TensorFlow Serving does not list the names it serves; "
            "they are its --model_name or stand in its --model_config_file"
        )
        return f"model {target.model!r} is not known to the server; {there}; choose one with --tfs-model"
    listed = ", ".join(map(str, versions)) or "none"
    if target.label is not None:
        return (
            f"model {target.model!r} has no version label {target.label!r} (the server's model config sets them); "
            f"its versions are: {listed}; choose with --tfs-version-label or --tfs-version"
        )
    if target.version is not None and all(row.version != target.version for row in versions):
        return (
            f"model {target.model!r} has no version {target.version}; it has: {listed}; choose one with --tfs-version"
        )
    return f"{target} is not AVAILABLE; its versions are: {listed}; wait until one is, or choose another"
