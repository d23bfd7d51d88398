"""docker/compose.yaml as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.swarm.processes import ROOT

FILE = ROOT / "docker" / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+):?-([^}]*)\}")


def services() -> dict[str, dict[str, Any]]:
    """The services by name, variables at their defaults."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(_VARIABLE.sub(r"\2", FILE.read_text()))["services"]
    return found


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """Where folders and files of the checkout are in a service: path there -> path from docker/."""
    split = [volume.split(":") for volume in service.get("volumes", [])]
    return {target: source for source, target, *_ in split if source.startswith(".")}


def profile(name: str) -> dict[str, dict[str, Any]]:
    """The services that run with a profile."""
    return {key: one for key, one in services().items() if name in one.get("profiles", [name])}


def names(given: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the services are reached by: their names and aliases."""
    found = list(given)
    for service in given.values():
        networks = service.get("networks", {})
        found += [alias for network in networks.values() for alias in network.get("aliases", [])]
    return found
