"""Which model, version and signature a request asks for, and how gRPC and REST spell it.

Sources: tensorflow_serving/apis/model.proto; tensorflow_serving/model_servers/http_rest_api_util.cc.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from tfs_locust.tfserving.protos import model_pb2
from tfs_locust.tfserving.signature import DEFAULT_SIGNATURE


@dataclass(frozen=True, slots=True)
class Target:
    """A model, and at most one of a version number and a version label; without either the newest version answers."""

    model: str
    version: int | None = None
    label: str | None = None
    signature: str = DEFAULT_SIGNATURE

    def __str__(self) -> str:
        if self.version is not None:
            return f"model {self.model!r} version {self.version}"
        if self.label is not None:
            return f"model {self.model!r} label {self.label!r}"
        return f"model {self.model!r}"

    def model_spec(self, *, with_signature: bool = True) -> model_pb2.ModelSpec:
        """The ModelSpec of gRPC requests."""
        spec = model_pb2.ModelSpec(name=self.model)
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label
        if with_signature and self.signature != DEFAULT_SIGNATURE:
            spec.signature_name = self.signature
        return spec

    def rest_path(self, tail: str = "") -> str:
        """``/v1/models/MODEL[/versions/V|/labels/L]`` followed by ``tail``, such as ``:predict`` or ``/metadata``."""
        path = f"/v1/models/{quote(self.model, safe='')}"
        if self.version is not None:
            path += f"/versions/{self.version}"
        elif self.label is not None:
            path += f"/labels/{quote(self.label, safe='')}"
        return path + tail
