"""``tfs-locust inspect``: what a server says of a model, and how a request to it looks on either interface."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from configargparse import ArgumentParser
from google.protobuf import text_format

from tfs_locust.load.corpus import CorpusError, input_shapes, synthetic_inputs
from tfs_locust.load.rows import Rows
from tfs_locust.swarm.blueprint import DEFAULT_MODEL
from tfs_locust.swarm.options import add_options
from tfs_locust.swarm.scenario import control_over
from tfs_locust.swarm.settings import Settings, read_settings
from tfs_locust.tfserving import codec
from tfs_locust.tfserving.control import CallFailed, Control, TargetError, resolve
from tfs_locust.tfserving.protos import PREDICT, predict_pb2
from tfs_locust.tfserving.signature import DEFAULT_SIGNATURE, Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.transport.address import Address, AddressError, parse_address
from tfs_locust.transport.base import Endpoint
from tfs_locust.transport.engine import WIRE, open_transport, refusal

_LONGEST_EXAMPLE = 2000


def main(argv: Sequence[str]) -> int:
    """Returns 0, or 2 where the server or the model cannot be asked; says why on standard error."""
    parser = ArgumentParser(
        prog="tfs-locust inspect",
        description="Print a served model's versions, states, signatures, and an example request for each interface.",
    )
    parser.add_argument("--host", "-H", required=True, help="grpc://HOST:PORT or http://HOST:PORT", metavar="URL")
    add_options(parser)
    options = parser.parse_args(list(argv))
    settings, problems = read_settings(options)
    try:
        address = parse_address(options.host)
        if refused := refusal(address, settings.engine or WIRE, settings.connections):
            problems.append(refused)
    except AddressError as error:
        problems.append(str(error))
    if problems:
        return _fail(problems)
    target = Target(
        settings.model or DEFAULT_MODEL,
        settings.version,
        settings.version_label,
        settings.signature or DEFAULT_SIGNATURE,
    )
    tls = settings.tls if address.secure else None
    endpoint = Endpoint(address.host, address.port, tls, tuple(settings.headers.items()))
    transport = open_transport(address, endpoint, settings.engine or WIRE, settings.connections)
    try:
        _print_model(control_over(transport, address), address, target, settings)
    except TargetError as error:
        return _fail([str(error)])
    except CallFailed as failure:
        return _fail([f"no answer from {options.host}: {failure}"])
    except (CorpusError, codec.CodecError) as error:
        return _fail([str(error)])
    finally:
        transport.close()
    return 0


def _fail(problems: list[str]) -> int:
    for problem in problems:
        sys.stderr.write(f"tfs-locust inspect: {problem}\n")
    return 2


def _print_model(control: Control, address: Address, target: Target, settings: Settings) -> None:
    chosen = resolve(control, target)
    print(f"model {target.model}")
    print("  versions, newest first:")
    for row in control.status(target.model):
        print(f"    {row}")
    metadata = control.metadata(target)
    print(f"  signatures of version {chosen.version}:")
    for name in control.signature_names(metadata):
        _print_signature(control.signature(metadata, name))
    shapes = input_shapes(chosen, _first(settings.rows), settings.dims)
    inputs = synthetic_inputs(chosen, shapes, np.random.default_rng([settings.seed, 0]))
    _print_examples(address, target, chosen, inputs)


def _first(rows: Rows | None) -> int:
    """The rows of an example; those that a plan has yet to choose are shown as one."""
    return next(rows.sequence()) if rows is not None and not rows.choice else 1


def _print_signature(signature: Signature) -> None:
    print(f"    {signature.name} ({signature.method})")
    for spec in signature.inputs:
        print(f"      in   {spec}")
    for spec in signature.outputs:
        print(f"      out  {spec}")


def _print_examples(address: Address, target: Target, signature: Signature, inputs: codec.Inputs) -> None:
    host = f"[{address.host}]" if ":" in address.host else address.host
    # only one of the two ports is known; the other is the usual one
    grpc_port, rest_port = (address.port, 8501) if address.protocol == "grpc" else (8500, address.port)
    scheme = "https" if address.secure else "http"
    request = predict_pb2.PredictRequest.FromString(codec.encode_grpc(target, signature, inputs))
    print(f"  example over gRPC: {PREDICT} at {host}:{grpc_port}, a tensorflow.serving.PredictRequest")
    print(_indented(text_format.MessageToString(request).rstrip()))
    print("  example over REST:")
    try:
        body = codec.encode_rest(target, signature, inputs).decode()
    except codec.CodecError as error:
        print(_indented(f"none: {error}"))
        return
    print(_indented(f"curl {scheme}://{host}:{rest_port}{address.prefix}{target.rest_path(':predict')} -d '{body}'"))


def _indented(text: str) -> str:
    if len(text) > _LONGEST_EXAMPLE:
        text = f"{text[:_LONGEST_EXAMPLE]}... ({len(text)} characters in all)"
    return "\n".join("    " + line for line in text.splitlines())
