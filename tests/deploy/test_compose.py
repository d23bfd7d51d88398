"""The Compose file is valid, and agrees with the code, the image and the files that it mounts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import FILE, mounts, names, profile, services
from tests.swarm.processes import ROOT
from tfs_locust.embedded.flags import parse_flags
from tfs_locust.tfserving.batching import BatchingParameters

DOCKER = ROOT / "docker"
PROFILES = ("demo", "tfserving")
SERVERS = {"demo": "demo-server", "tfserving": "tf-serving"}
OURS = ("master", "worker", "demo-server")


def test_schema() -> None:
    """The file is what the Compose specification's schema allows."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", PROFILES)
def test_one_server_in_each_profile(name: str) -> None:
    """It is known as tf-serving, which is what is loaded and scraped, and no two services have one name."""
    found = names(profile(name))
    assert sorted(set(found)) == sorted(found)
    assert {"tf-serving", "master", "worker", "prometheus", "grafana"} <= set(found)


@pytest.mark.parametrize("name", PROFILES)
def test_who_is_scraped_is_there(name: str) -> None:
    """Hosts in Prometheus' configuration, and Grafana's data source, are services, at the ports of the code."""
    config = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    hosts = {
        (host, 9646)
        for job in config["scrape_configs"]
        for dns in job.get("dns_sd_configs", [])
        for host in dns["names"]
    }
    for job in config["scrape_configs"]:
        for static in job.get("static_configs", []):
            hosts |= {(host, int(port)) for host, _, port in (target.partition(":") for target in static["targets"])}
    assert hosts == {("master", 9646), ("worker", 9646), ("tf-serving", 8501)}
    (source,) = yaml.safe_load((DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert {host for host, _ in hosts} | {"prometheus"} <= set(names(profile(name)))


def test_what_is_mounted_exists() -> None:
    """Each path of the checkout is there; the folder of models is the user's to give."""
    for name, service in services().items():
        missing = {source for source in mounts(service).values() if not (DOCKER / source).exists()}
        assert missing <= ({"./models"} if name == "tf-serving" else set()), name


def test_what_is_named_is_mounted() -> None:
    """Files in commands and settings lie in a mounted folder; dashboards where Grafana's provider looks for them."""
    for name, service in services().items():
        given = [*service.get("command", []), *map(str, service.get("environment", {}).values())]
        for path in re.findall(r"(/(?:config|locustfiles)/\S+)", " ".join(given)):
            folder = mounts(service)[str(Path(path).parent)]
            assert (DOCKER / folder / Path(path).name).is_file(), (name, path)
    provider = (DOCKER / "grafana" / "provisioning" / "dashboards" / "tfs_locust.yml").read_text()
    (folder,) = re.findall(r"path: (\S+)", provider)
    assert mounts(services()["grafana"])[folder] == "./grafana/dashboards"


@pytest.mark.parametrize("name", ["master", "worker"])
def test_settings_are_options(name: str) -> None:
    """Every environment variable is an option's, every argument Locust understands."""
    code = (
        "import sys; from tfs_locust import GrpcPredictUser; from locust.argument_parser import get_parser; "
        "parser = get_parser(); parser.parse_args(sys.argv[1:]); "
        "print(*(action.env_var for action in parser._actions if getattr(action, 'env_var', None)))"
    )
    service = services()[name]
    command = [sys.executable, "-c", code, *service["command"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert set(service["environment"]) <= set(done.stdout.split())


@pytest.mark.parametrize("server", SERVERS.values())
def test_flags_are_the_servers(server: str) -> None:
    """TensorFlow Serving's flags by its names; both servers are set up alike."""
    flags = [argument for argument in services()[server]["command"] if argument.startswith("--")]
    assert parse_flags(flags)[1] == []
    shared = {"enable_batching", "batching_parameters_file", "monitoring_config_file", "grpc_max_threads"}
    alike = {flag for flag in flags if flag[2:].partition("=")[0] in shared}
    assert alike <= set(services()[SERVERS["demo"]]["command"])
    assert len(alike) == len(shared)


def test_batching_parameters() -> None:
    """The server would take the file: the last allowed size is the largest batch."""
    parameters = BatchingParameters.read(str(DOCKER / "tf-serving" / "batching.config"))
    assert parameters.allowed_batch_sizes[-1] == parameters.max_batch_size


def test_metrics_path_is_the_one_scraped() -> None:
    """What the server shows is asked for where it shows it."""
    (path,) = re.findall(r'path: "(\S+)"', (DOCKER / "tf-serving" / "monitoring.config").read_text())
    assert f"metrics_path: {path}\n" in (DOCKER / "prometheus" / "prometheus.yml").read_text()


def test_everything_is_hardened() -> None:
    """No service has a capability or may gain one; ours cannot write their root, and each has a health check."""
    for name, service in services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        if name in OURS:
            assert service["read_only"], name
            assert service["healthcheck"]["test"][:2] == ["CMD", "python"], name
            assert service["stop_grace_period"] == "60s", name


def test_open_ports_are_this_machines() -> None:
    """What is published is published on loopback, and is a port of the image or of a known tool."""
    published: dict[str, Any] = {name: one["ports"] for name, one in services().items() if "ports" in one}
    assert published == {
        "master": ["127.0.0.1:8089:8089"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    exposed = re.findall(r"^EXPOSE (.*)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert exposed == ["5557 8089 9646"]


def test_targets_are_the_dockerfiles() -> None:
    """The demo's server is built from the target with TensorFlow; the last target is the one without."""
    stages = re.findall(r"^FROM .* AS (\w+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert stages[-1] == "runtime"
    assert services()["demo-server"]["build"]["target"] in stages
    assert {services()[name]["build"].get("target") for name in ("master", "worker")} == {None}
