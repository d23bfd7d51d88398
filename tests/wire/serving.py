"""How the embedded server is asked for a Predict, and what it has counted."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from typing import Any

from tests.embedded.conftest import RunningServer
from tests.wire.engines import LONG_S, Engine
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.control import GrpcControl, RestControl, resolve
from tfs_locust.tfserving.protos import PREDICT
from tfs_locust.tfserving.signature import Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.base import Transport, asking

Served = tuple[Engine, Transport[Any]]


def port_of(engine: Engine, server: RunningServer) -> int:
    """The port that speaks the engine's protocol."""
    return int((server.grpc_address if engine.protocol == "grpc" else server.rest_url).rsplit(":", 1)[1])


def signature_of(served: Served, target: Target) -> Signature:
    """As the server tells it."""
    engine, transport = served
    control = GrpcControl if engine.protocol == "grpc" else RestControl
    return resolve(control(asking(transport, LONG_S)), target)


def encoded(engine: Engine, target: Target, signature: Signature, inputs: codec.Inputs) -> tuple[str, bytes]:
    """Path and body of a Predict."""
    if engine.protocol == "grpc":
        return PREDICT, codec.encode_grpc(target, signature, inputs)
    return target.rest_path(":predict"), codec.encode_rest(target, signature, inputs)


def counts(server: RunningServer, name: str) -> dict[str, int]:
    """Labels -> number, of one of the server's own metrics."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(server.rest_url + "/monitoring/prometheus/metrics") as page:
        lines = page.read().decode().splitlines()
    found = (re.fullmatch(re.escape(name) + r"{(.*)} (\d+)", line) for line in lines)
    return {match[1]: int(match[2]) for match in found if match}


def request_counts(server: RunningServer, model: str) -> Counter[str]:
    """Status -> number of requests for ``model``, as the server counts them."""
    by_labels = counts(server, ":tensorflow:serving:request_count")
    return Counter(
        {labels.split('"')[3]: number for labels, number in by_labels.items() if labels.split('"')[1] == model}
    )
