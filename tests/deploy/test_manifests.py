"""The manifests for Kubernetes: valid, whole, restricted, and made from what is there already."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.manifests import (
    ALL,
    ALONE,
    K8S,
    WITH_COMPONENTS,
    Chosen,
    environment,
    kinds,
    kustomize,
    matches,
    named,
    needs_kubectl,
    objects_of,
    pods,
    rendered,
)
from tests.swarm.processes import ROOT

pytestmark = needs_kubectl
KUBERNETES = ("1.34", "1.35", "1.36")
OPERATORS_KINDS = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
each = pytest.mark.parametrize("chosen", ALL, ids="+".join)
each_alone = pytest.mark.parametrize("chosen", ALONE, ids="+".join)


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@each
def test_schema(chosen: Chosen, kubernetes: str) -> None:
    """Every object has the fields that this Kubernetes knows, and no other."""
    for one in rendered(*chosen):
        if one["kind"] in OPERATORS_KINDS:
            assert one["apiVersion"] == "monitoring.coreos.com/v1"
        else:
            kubernetes_validate.validate(one, kubernetes, strict=True)


@each
def test_names_are_there_once_and_in_no_namespace(chosen: Chosen) -> None:
    """Whatever namespace they are applied to takes them."""
    objects = rendered(*chosen)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    assert not [one for one in objects if "namespace" in one["metadata"]]


@each
def test_containers_are_restricted(chosen: Chosen) -> None:
    """As the Pod Security level `restricted` has it, and further: nothing can be written to the image."""
    for one in pods(rendered(*chosen)):
        security = one.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 10000 < security["runAsGroup"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert one.spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(one.spec)
        for container in one.all_containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, container["name"]
        kinds_of_volumes = {kind for volume in one.spec["volumes"] for kind in volume if kind != "name"}
        assert kinds_of_volumes <= {"configMap", "emptyDir", "persistentVolumeClaim"}


@each
def test_namespace_level(chosen: Chosen) -> None:
    """The namespace that goes with them enforces that level; no service's variables are taken for options."""
    labels = yaml.safe_load((K8S / "namespace.yaml").read_text())["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert all(one.spec["enableServiceLinks"] is False for one in pods(rendered(*chosen)))


@each
def test_containers_have_resources_and_probes(chosen: Chosen) -> None:
    """What is asked for is the limit, also of memory and disk; all three probes are there, at ports that are."""
    for one in pods(rendered(*chosen)):
        for container in one.all_containers:
            resources = container["resources"]
            assert resources["requests"] == resources["limits"]
            assert set(resources["limits"]) == {"cpu", "memory", "ephemeral-storage"}
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert ":" in container["image"], "an image without a tag is pulled again and again"
        for container in one.containers:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                (handler,) = (
                    container[probe][way] for way in ("httpGet", "tcpSocket", "grpc") if way in container[probe]
                )
                assert handler["port"] in {*one.ports(), *one.ports().values()}, probe
        for volume in one.spec["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume["name"]


@each_alone
def test_cpu_of_whole_cores(chosen: Chosen) -> None:
    """So that a static CPU manager gives each process its own; but for `local`, where there may be two for all, half of
    them taken: one pod more, as a rollout makes, has room as well."""
    cpus = [one.containers[0]["resources"]["limits"]["cpu"] for one in pods(rendered(*chosen))]
    if chosen == ("local",):
        thousandths = [int(cpu.removesuffix("m")) for cpu in cpus]
        replicas = [one.owner["spec"]["replicas"] for one in pods(rendered(*chosen))]
        assert sum(n * cpu for n, cpu in zip(replicas, thousandths, strict=True)) + max(thousandths) <= 1000
    else:
        assert all(cpu.isdigit() for cpu in cpus)


@each
def test_services_select_pods(chosen: Chosen) -> None:
    """Each selects one kind of pods, and its ports are theirs."""
    objects = rendered(*chosen)
    for service in kinds(objects, "Service"):
        chosen_pods = [
            one for one in pods(objects) if matches({"matchLabels": service["spec"]["selector"]}, one.labels)
        ]
        assert len(chosen_pods) == 1, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert chosen_pods[0].ports()[port["targetPort"]] == port["port"]


@each
def test_what_is_referred_to_is_there(chosen: Chosen) -> None:
    """ConfigMaps, keys, claims, service accounts, services and what is scaled; every volume is mounted."""
    objects = rendered(*chosen)
    names = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for one in pods(objects):
        if "serviceAccountName" in one.spec:
            account = named(objects, "ServiceAccount", one.spec["serviceAccountName"])
            assert account["automountServiceAccountToken"] is False
        volumes = {volume["name"]: volume for volume in one.spec["volumes"]}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
        mounted = {mount["name"] for container in one.all_containers for mount in container["volumeMounts"]}
        assert mounted == set(volumes)
        for container in one.all_containers:
            environment(objects, container)  # finds every map that it names
    for scaler in kinds(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names
        assert "replicas" not in named(objects, target["kind"], target["name"])["spec"], "it would be set back"
    for ingress in kinds(objects, "Ingress"):
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        ports = named(objects, "Service", backend["name"])["spec"]["ports"]
        assert (backend["port"]["name"], 8089) in {(port["name"], port["port"]) for port in ports}


@each
def test_disruption_budgets_and_policies_select_pods(chosen: Chosen) -> None:
    """Each pod has one budget, and each selector pods. `pipeline` lets none go before the run's end."""
    objects = rendered(*chosen)
    for one in pods(objects):
        budgets = [
            budget["spec"]
            for budget in kinds(objects, "PodDisruptionBudget")
            if matches(budget["spec"]["selector"], one.labels)
        ]
        if one.owner["kind"] == "Job":
            (budget,) = budgets
            assert budget["minAvailable"] == one.owner["spec"].get("parallelism", 1)
            assert "maxUnavailable" not in budget
        elif one.labels["app.kubernetes.io/name"] != "tfs-locust-embedded":  # it has only one, and cannot be moved
            (budget,) = budgets
            assert budget["maxUnavailable"] == 1
    for selecting in kinds(objects, "PodDisruptionBudget", "NetworkPolicy"):
        selector = selecting["spec"].get("selector") or selecting["spec"]["podSelector"]
        if "model-server" not in selector["matchLabels"].values() or "tf-serving-target" in chosen:
            assert any(matches(selector, one.labels) for one in pods(objects)), selecting["metadata"]["name"]


def test_images() -> None:
    """Two images of this version and the server's, each by one name, so that `kustomize edit set image` finds them."""
    ours = version("tfs-locust")
    found = {one["image"] for chosen in ALL for pod in pods(rendered(*chosen)) for one in pod.all_containers}
    assert found == {f"tfs-locust:{ours}", f"tfs-locust-embedded:{ours}", "tensorflow/serving:2.19.1"}


def test_rules_and_dashboards_are_those_of_docker(tmp_path: Path) -> None:
    """The operator's rules are Prometheus's; the dashboards are the files."""
    folder = K8S / "components" / "prometheus-operator"
    subprocess.run([sys.executable, folder / "build.py", tmp_path / "rules.yaml"], check=True, timeout=60)
    assert (folder / "rules.yaml").read_text() == (tmp_path / "rules.yaml").read_text(), "run its build.py"
    objects = rendered(*ALL[-1])
    for file in (ROOT / "docker" / "prometheus" / "rules").glob("*.yml"):
        rule = named(objects, "PrometheusRule", file.stem.replace("_", "-"))
        assert rule["spec"] == yaml.safe_load(file.read_text())
    boards = named(objects, "ConfigMap", "tfs-locust-dashboards")
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    files = (ROOT / "docker" / "grafana" / "dashboards").glob("*.json")
    assert boards["data"] == {file.name: file.read_text() for file in files}


@pytest.mark.parametrize("chosen", WITH_COMPONENTS, ids="+".join)
def test_monitors_find_ports(chosen: Chosen) -> None:
    """What is scraped has that port, by the names of jobs that Prometheus's own configuration has."""
    objects = rendered(*chosen)
    jobs = set()
    for monitor in kinds(objects, "PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        jobs.add(endpoint["relabelings"][0]["replacement"])
        found = [one for one in pods(objects) if matches(monitor["spec"]["selector"], one.labels)]
        assert all(endpoint["port"] in one.ports() for one in found)
    for monitor in kinds(objects, "ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        jobs.add(endpoint["relabelings"][0]["replacement"])
        (service,) = (
            one
            for one in kinds(objects, "Service")
            if matches(monitor["spec"]["selector"], one["metadata"].get("labels", {}))
        )
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    scraped = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert jobs == {one["job_name"] for one in scraped}


def test_every_folder_is_a_kustomization() -> None:
    """Each can be rendered by itself, but components, which need something to go with."""
    for file in K8S.rglob("kustomization.yaml"):
        if yaml.safe_load(file.read_text())["kind"] == "Kustomization":
            assert objects_of(file.parent)
    assert kustomize(ROOT / "docker" / "grafana")
    named_components = {name for chosen in ALL for name in chosen[1:]}
    assert named_components == {folder.name for folder in (K8S / "components").iterdir()}
