"""What ``kubectl apply -k`` would send to a cluster, and the pods that come of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.swarm.processes import ROOT

K8S = ROOT / "k8s"
Object = Mapping[str, Any]
Chosen = tuple[str, ...]
"""An overlay, and components with it."""

# an overlay, and the components that go with it; all of them at once, so that nothing is forgotten
ALONE = [("interactive",), ("pipeline",), ("local",)]
WITH_COMPONENTS = [
    ("interactive", "tf-serving-target", "prometheus-operator", "grafana", "ingress"),
    ("pipeline", "tf-serving-target", "prometheus-operator", "grafana"),
    ("local", "prometheus-operator", "grafana", "ingress"),
]
ALL = ALONE + WITH_COMPONENTS

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="there is no kubectl on the path: install it to have the manifests checked"
)


@cache
def rendered(overlay: str, *components: str) -> list[Object]:
    """The objects of an overlay with components, as a user's own overlay would have them."""
    if not components:
        return objects_of(K8S / "overlays" / overlay)
    with TemporaryDirectory() as folder:
        k8s = os.path.relpath(K8S, os.path.realpath(folder))  # kustomize takes no absolute paths
        made = {"resources": [f"{k8s}/overlays/{overlay}"], "components": [f"{k8s}/components/{c}" for c in components]}
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(made))
        return objects_of(Path(folder))


def objects_of(folder: Path) -> list[Object]:
    """The objects of a kustomization."""
    text = kustomize(folder)
    return [one for one in yaml.safe_load_all(text) if one]


def kustomize(folder: Path) -> str:
    """What ``kubectl kustomize`` prints; it warns of nothing."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def kinds(objects: Sequence[Object], *wanted: str) -> list[Object]:
    """Those of these kinds."""
    return [one for one in objects if one["kind"] in wanted]


def named(objects: Sequence[Object], kind: str, name: str) -> Object:
    """The only one of this kind and name."""
    (found,) = (one for one in kinds(objects, kind) if one["metadata"]["name"] == name)
    return found


def config(objects: Sequence[Object], name: str) -> Mapping[str, str]:
    """The data of a ConfigMap, by its name without the hash of its content."""
    found = [one for one in kinds(objects, "ConfigMap") if one["metadata"]["name"].rpartition("-")[0] == name]
    assert len(found) == 1, name
    data: Mapping[str, str] = found[0]["data"]
    return data


@dataclass(frozen=True)
class Pods:
    """All that one workload makes."""

    owner: Object
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.owner["metadata"]["name"])

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """Without those that only prepare."""
        found: Sequence[Mapping[str, Any]] = self.spec["containers"]
        return found

    @property
    def all_containers(self) -> Iterator[Mapping[str, Any]]:
        yield from self.spec.get("initContainers", [])
        yield from self.containers

    def ports(self) -> dict[str, int]:
        """The named ports of its containers."""
        return {port["name"]: port["containerPort"] for one in self.containers for port in one["ports"]}


def pods(objects: Sequence[Object]) -> list[Pods]:
    """The pods of every workload."""
    found = kinds(objects, "Deployment", "Job", "StatefulSet", "DaemonSet")
    return [Pods(one, one["spec"]["template"]["metadata"]["labels"], one["spec"]["template"]["spec"]) for one in found]


def environment(objects: Sequence[Object], container: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a container is started with: what is given by itself goes before what comes from a map."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {one["name"]: one["value"] for one in container.get("env", [])}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels alone are used here) takes these labels."""
    assert set(selector) <= {"matchLabels"}, f"no test knows {selector}"
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
