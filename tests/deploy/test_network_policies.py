"""Every edge that is needed is let through, and no other: worked out for every pair of pods and every port."""

from __future__ import annotations

from itertools import product

import pytest

from tests.deploy.edges import Peer, let_through
from tests.deploy.manifests import ALL, kinds, needs_kubectl, pods, rendered

LOCUST, WEB, METRICS, GRPC, REST, DNS = 5557, 8089, 9646, 8500, 8501, 53
PORTS = [("TCP", port) for port in (LOCUST, WEB, METRICS, GRPC, REST, DNS, 22, 80, 443, 6443)] + [("UDP", DNS)]

OUTSIDE = [
    Peer("dns", {"k8s-app": "kube-dns"}, "kube-system"),
    Peer("prometheus", {"app.kubernetes.io/name": "prometheus"}, "monitoring"),
    Peer("ingress", {"app.kubernetes.io/component": "controller"}, "ingress-nginx"),
    Peer("neighbour", {"app.kubernetes.io/name": "something"}),
    Peer("stranger", {"app.kubernetes.io/name": "tfs-locust", "app.kubernetes.io/component": "worker"}, "elsewhere"),
    Peer("other dns", {"k8s-app": "kube-dns"}, "elsewhere"),
]

NEEDED = {
    ("worker", "master", "TCP", LOCUST),
    *((role, "model-server", "TCP", port) for role in ("master", "worker") for port in (GRPC, REST)),
    *((role, "dns", protocol, DNS) for role in ("master", "worker") for protocol in ("TCP", "UDP")),
}
BY_COMPONENT = {
    "prometheus-operator": {
        ("prometheus", "master", "TCP", METRICS),
        ("prometheus", "worker", "TCP", METRICS),
        ("prometheus", "model-server", "TCP", REST),
    },
    "ingress": {("ingress", "master", "TCP", WEB)},
}


@needs_kubectl
@pytest.mark.parametrize("chosen", ALL, ids="+".join)
def test_edges(chosen: tuple[str, ...]) -> None:
    """Among our pods, the cluster's DNS, Prometheus, an ingress controller and strangers, here and elsewhere."""
    objects = rendered(*chosen)
    policies = kinds(objects, "NetworkPolicy")
    ours = [Peer(one.labels["app.kubernetes.io/component"], one.labels) for one in pods(objects)]
    has_target = any(one.name == "model-server" for one in ours)
    if not has_target:  # it may be there all the same, with policies of its own
        ours.append(Peer("model-server", {"app.kubernetes.io/component": "model-server"}))
    everyone = ours + OUTSIDE
    found = {
        (source.name, to.name, protocol, port)
        for source, to, (protocol, port) in product(everyone, everyone, PORTS)
        if source != to and {source.name, to.name} & {"master", "worker", "model-server"}
        if let_through(policies, source, to, protocol, port)
    }
    if not has_target:  # what it lets in and out, nobody here has said
        found = {edge for edge in found if {edge[0], edge[1]} & {"master", "worker"}}
    needed = NEEDED.union(*(BY_COMPONENT.get(component, ()) for component in chosen[1:]))
    if not has_target:
        needed = {edge for edge in needed if edge[0] != "prometheus" or edge[1] != "model-server"}
    assert found == needed


def test_of_two_pods_of_one_kind() -> None:
    """Workers do not reach each other, by whatever port."""
    policies = kinds(rendered("interactive"), "NetworkPolicy")
    worker = next(one for one in pods(rendered("interactive")) if one.name == "locust-worker")
    one, other = Peer("one", worker.labels), Peer("other", worker.labels)
    assert not [port for port in PORTS if let_through(policies, one, other, *port)]


def _policy(selector: dict[str, str], **spec: object) -> dict[str, object]:
    return {"spec": {"podSelector": {"matchLabels": selector}, **spec}}


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], True),
        ([_policy({"app": "b"}, policyTypes=["Ingress"])], False),
        ([_policy({"app": "a"}, policyTypes=["Ingress"])], True),
        ([_policy({"app": "a"}, policyTypes=["Egress"])], False),
        ([_policy({}, policyTypes=["Egress"], egress=[{}])], True),
        ([_policy({"app": "b"}, policyTypes=["Ingress"], ingress=[{"ports": [{"port": 1}]}])], True),
        ([_policy({"app": "b"}, policyTypes=["Ingress"], ingress=[{"ports": [{"port": 2}]}])], False),
        (
            [_policy({"app": "b"}, policyTypes=["Ingress"], ingress=[{"ports": [{"port": 1, "protocol": "UDP"}]}])],
            False,
        ),
        ([_policy({"app": "b"}, policyTypes=["Ingress"], ingress=[{"from": [{"namespaceSelector": {}}]}])], True),
        ([_policy({"app": "b"}, policyTypes=["Ingress"], ingress=[{"from": [{"ipBlock": {"cidr": "::/0"}}]}])], False),
    ],
)
def test_the_evaluator(policies: list[dict[str, object]], expected: bool) -> None:
    """Open without policies; closed by being selected; opened by any rule, for its peers and ports alone."""
    assert let_through(policies, Peer("a", {"app": "a"}), Peer("b", {"app": "b"}), "TCP", 1) is expected
