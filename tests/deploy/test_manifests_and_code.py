"""The manifests for Kubernetes agree with the code: options, ports, times, flags, the life of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import (
    ALONE,
    K8S,
    Chosen,
    Object,
    Pods,
    config,
    environment,
    named,
    needs_kubectl,
    pods,
    rendered,
)
from tests.swarm.processes import ROOT
from tfs_locust.embedded.flags import parse_flags
from tfs_locust.tfserving.batching import BatchingParameters

pytestmark = needs_kubectl
each_alone = pytest.mark.parametrize("chosen", ALONE, ids="+".join)


def _roles(objects: list[Object]) -> dict[str, Pods]:
    return {one.labels["app.kubernetes.io/component"]: one for one in pods(objects)}


def _accepted(objects: list[Object]) -> dict[str, dict[str, Any]]:
    """What Locust understands of each role's arguments and environment."""
    roles = {role: one.containers[0] for role, one in _roles(objects).items() if role != "model-server"}
    given = json.dumps([(one["args"], environment(objects, one)) for one in roles.values()])
    done = subprocess.run(
        [sys.executable, "-m", "tests.deploy.accepted"],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(roles, json.loads(done.stdout), strict=True))


@each_alone
def test_options_agree_with_the_code(chosen: Chosen) -> None:
    """Locust's parser and ours know every argument and variable, and what they say; ports are the services'."""
    objects = rendered(*chosen)
    accepted = _accepted(objects)
    assert {role: one["problems"] for role, one in accepted.items()} == {"master": [], "worker": []}
    master, worker = accepted["master"]["options"], accepted["worker"]["options"]
    assert (master["master"], master["worker"]) == (True, False)
    assert (worker["master"], worker["worker"]) == (False, True)
    assert master["enable_rebalancing"] is True
    service = named(objects, "Service", worker["master_host"])["spec"]
    assert service["ports"][0]["port"] == worker["master_port"] == master["master_bind_port"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert worker["exit_code_on_error"] == 0
    for role, options in (("master", master), ("worker", worker)):
        pod = _roles(objects)[role]
        assert options["tfs_metrics_address"] == "0.0.0.0"
        assert pod.ports()["metrics"] == int(options["tfs_metrics_port"])
        probes = {one: pod.containers[0][one]["httpGet"]["path"] for one in ("livenessProbe", "readinessProbe")}
        assert probes == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        folder, _, file = options["locustfile"].rpartition("/")
        assert folder in {mount["mountPath"] for mount in pod.containers[0]["volumeMounts"]}
        assert config(objects, "locustfiles")[file] == (ROOT / "locustfiles" / file).read_text()
    assert _roles(objects)["master"].ports()["web"] == master["web_port"]
    mounts = {mount["mountPath"]: mount for mount in _roles(objects)["master"].containers[0]["volumeMounts"]}
    assert not mounts[master["tfs_report"]].get("readOnly")


@each_alone
def test_time_to_drain(chosen: Chosen) -> None:
    """SIGTERM leaves time for requests in flight, for last reports, for a last scrape, and then some for the report."""
    from_ending_and_metrics = 5 + 15  # LAST_REPORT_WITHIN_S, LINGER_S
    objects = rendered(*chosen)
    options = _accepted(objects)["master"]["options"]
    drain_s = int(options["tfs_drain"].removesuffix("s"))
    assert drain_s >= int(options["tfs_timeout"].removesuffix("s"))
    for role in ("master", "worker"):
        spec = _roles(objects)[role].spec
        before_s = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert spec["terminationGracePeriodSeconds"] >= before_s + drain_s + from_ending_and_metrics + 15


def test_time_to_find_a_master() -> None:
    """Locust looks for it 61 times 5 s (2.47), and answers no probe before; the startup probe waits longer."""
    probe = _roles(rendered("pipeline"))["worker"].containers[0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > 61 * 5


@pytest.mark.parametrize(("overlay", "workers"), [("interactive", 10), ("pipeline", 10), ("local", 2)])
def test_as_many_workers_are_waited_for_as_there_are(overlay: str, workers: int) -> None:
    """The number stands in one place."""
    objects = rendered(overlay)
    spec = _roles(objects)["worker"].owner["spec"]
    assert spec.get("replicas", spec.get("parallelism")) == workers
    options = config(objects, "options")
    if overlay != "interactive":  # there somebody looks at the page before they start
        assert options["LOCUST_EXPECT_WORKERS"] == str(workers)
    if overlay != "local":
        assert int(options["LOCUST_USERS"]) >= 1000


def test_jobs() -> None:
    """The master's exit code is its Job's end; no worker is tried again, and one that fails takes no other with it."""
    roles = _roles(rendered("pipeline"))
    master, worker = roles["master"].owner, roles["worker"].owner
    assert (master["kind"], worker["kind"]) == ("Job", "Job")
    assert master["spec"]["backoffLimit"] == 0
    assert (worker["spec"]["completionMode"], worker["spec"]["backoffLimitPerIndex"]) == ("Indexed", 0)
    (rule,) = worker["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert worker["spec"]["completions"] == worker["spec"]["parallelism"]
    assert all(one["spec"]["template"]["spec"]["restartPolicy"] == "Never" for one in (master, worker))
    assert all(one["spec"]["activeDeadlineSeconds"] == 3600 for one in (master, worker))
    results = next(one for one in roles["master"].spec["volumes"] if one["name"] == "results")
    assert results["persistentVolumeClaim"]["claimName"] == "results"
    assert _accepted(rendered("pipeline"))["master"]["options"]["tfs_markdown"] is True


def test_model_servers() -> None:
    """Their flags are known, batches can be filled by their threads, and the name that is asked for is served."""
    for chosen in (("interactive", "tf-serving-target"), ("local",)):
        objects = rendered(*chosen)
        server = _roles(objects)["model-server"].containers[0]
        arguments = [one for one in server["args"] if one.startswith("--")]
        flags, problems = parse_flags(arguments)
        # the embedded server does not have the official one's health service, and says so
        assert not [one for one in problems if "--enable_grpc_healthcheck_service" not in one]
        assert (flags.port, flags.rest_api_port) == (8500, 8501)
        assert flags.model_name == config(objects, "options")["TFS_MODEL"]
        assert config(objects, "options")["LOCUST_HOST"] == f"grpc://tf-serving:{flags.port}"
        assert flags.enable_batching
        files = config(objects, "tf-serving")
        for path in (flags.batching_parameters_file, flags.monitoring_config_file):
            assert files[Path(path).name]
        batching = BatchingParameters.read(str(K8S / "components/tf-serving-target/common/batching.txt"))
        assert batching.problem() is None
        assert flags.grpc_max_threads >= 2 * batching.max_batch_size
    objects = rendered("local")
    assert named(objects, "Service", "tf-serving")["spec"]["clusterIP"] == "None"
    server = _roles(objects)["model-server"].containers[0]
    folder = next(one for one in server["args"] if one.startswith("--model_base_path=")).partition("=")[2]
    assert f"demo_model {folder}/1\n" in (ROOT / "docker" / "Dockerfile").read_text(), "the image has no such model"
    assert not [one for one in server["volumeMounts"] if folder.startswith(one["mountPath"])], "it would be hidden"


def test_limits_of_a_small_node() -> None:
    """Fractions of a core are held back at times: the limits of `local` let that pass, and its objective shows it."""
    options = _accepted(rendered("local"))["master"]["options"]
    limits = dict(one.strip().split("=") for one in options["tfs_limit"].split("|"))
    assert set(limits) == {"throttled", "send_lag", "loop_lag", "unsent"}
    assert all(limits[one] == "2s" for one in ("send_lag", "loop_lag"))
