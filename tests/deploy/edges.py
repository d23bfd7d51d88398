"""Which connections NetworkPolicies let through, worked out from their rules as Kubernetes defines them.

A pod that no policy selects for a direction is open in it. One that is selected is closed but for what any rule of any
policy that selects it allows. A connection needs both: its source's egress, and its destination's ingress.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.manifests import Object, matches

Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """A pod, somewhere."""

    name: str
    labels: Mapping[str, str]
    namespace: str = "here"
    """Its namespace's name, and with it the label that Kubernetes gives to each."""


def let_through(policies: Sequence[Object], source: Peer, to: Peer, protocol: str, port: int) -> bool:
    """Whether a connection can be made."""
    return _allowed(policies, "Egress", source, to, protocol, port) and _allowed(
        policies, "Ingress", to, source, protocol, port
    )


def _allowed(policies: Sequence[Object], direction: str, subject: Peer, other: Peer, protocol: str, port: int) -> bool:
    if subject.namespace != "here":
        return True  # others' namespaces are open as far as we know
    chosen = [
        one["spec"]
        for one in policies
        if direction in _types(one["spec"]) and matches(one["spec"]["podSelector"], subject.labels)
    ]
    rules = (rule for one in chosen for rule in one.get(direction.lower(), []))
    return not chosen or any(_rule_takes(rule, direction, other, protocol, port) for rule in rules)


def _types(spec: Rule) -> Sequence[str]:
    given: Sequence[str] = spec["policyTypes"]  # left out, it would depend on what rules there are
    return given


def _rule_takes(rule: Rule, direction: str, other: Peer, protocol: str, port: int) -> bool:
    sides = rule.get("from" if direction == "Ingress" else "to", [])
    ports = rule.get("ports", [])
    here = not ports or any((one.get("protocol", "TCP"), one["port"]) == (protocol, port) for one in ports)
    return here and (not sides or any(_is_peer(side, other) for side in sides))


def _is_peer(side: Rule, other: Peer) -> bool:
    if "ipBlock" in side:
        return False  # no pod here has an address that is known beforehand
    if "namespaceSelector" in side:
        of_namespace = {"kubernetes.io/metadata.name": other.namespace}
        if not matches(side["namespaceSelector"], of_namespace):
            return False
    elif other.namespace != "here":
        return False
    return matches(side.get("podSelector", {}), other.labels)
