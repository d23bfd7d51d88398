"""The server as a process: options in, ports open, models served, until it is told to end.

``tfs-locust serve`` and ``python -m tfs_locust.embedded.server`` run ``main``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import grpc

from tfs_locust.embedded.core import ServerCore
from tfs_locust.embedded.flags import Flags, parse_flags, usage
from tfs_locust.embedded.grpc_server import GrpcServer
from tfs_locust.embedded.lifecycle import Lifecycle, State
from tfs_locust.embedded.loading import VersionLoader
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.options import OptionsError, ServerOptions, Tls, read_model_config, read_options
from tfs_locust.embedded.outage import Outage
from tfs_locust.embedded.rest import RestServer
from tfs_locust.embedded.saved_model import TensorFlow
from tfs_locust.embedded.status import ServingError
from tfs_locust.tfserving.text_proto import TextProtoError

_log = logging.getLogger(__name__)

_BANNER = "tfs-locust serve: for demos and tests; this is not TensorFlow Serving"
_PATIENCE_S = 10
_ENDING = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns an exit code: 2 for wrong settings, 1 where the start fails."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for number in _ENDING:
        signal.signal(number, _exit_at_once)
    flags, _ = parse_flags(arguments)
    if flags.help:
        _say(usage())
        return 0
    if flags.version:
        _say(f"tfs-locust {version('tfs-locust')}, TensorFlow {version('tensorflow')}")
        return 0
    try:
        options = read_options(arguments)
    except OptionsError as error:
        for problem in error.problems:
            sys.stderr.write(f"tfs-locust serve: {problem}\n")
        return 2
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    _say(_BANNER)
    try:
        asyncio.run(_serve_until_told(options))
    except (ServingError, OSError) as error:
        code = f"{error.code.name}: " if isinstance(error, ServingError) else ""
        sys.stderr.write(f"tfs-locust serve: failed to start: {code}{error}\n")
        sys.stderr.flush()
        os._exit(1)  # see _exit_at_once
    return 0


async def _serve_until_told(options: ServerOptions) -> None:
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        # makes a signal wake the loop, which else may sleep on with the signal noted; then our handler again, because
        # the loop's own would wait for its turn
        loop.add_signal_handler(number, os._exit, 0)
        signal.signal(number, _exit_at_once)
    await serve(options)


async def serve(options: ServerOptions) -> None:
    """Load the models, open the ports, say so, and serve for ever. Raises ServingError, OSError."""
    flags = options.flags
    metrics = Metrics()
    parallelism = flags.tensorflow_session_parallelism
    tensorflow = TensorFlow(
        intra_op_threads=flags.tensorflow_intra_op_parallelism or parallelism,
        inter_op_threads=flags.tensorflow_inter_op_parallelism or parallelism,
    )
    lifecycle = Lifecycle(
        VersionLoader(tensorflow, options, metrics),
        poll_wait_s=flags.file_system_poll_wait_seconds,
        max_load_retries=flags.max_num_load_retries,
        load_retry_interval_s=flags.load_retry_interval_micros / 1e6,
    )
    core = ServerCore(
        lifecycle,
        metrics,
        allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        as_content=flags.enable_serialization_as_tensor_content,
    )
    await asyncio.to_thread(core.configure, options.model_config)
    # one version of each model is enough to start with, but those that load beside it come with it
    await asyncio.to_thread(lifecycle.wait_until_settled, _PATIENCE_S)
    if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
        threading.Thread(target=_follow_model_config, args=(core, flags), name="model_config", daemon=True).start()
    outage = None
    if flags.simulate_outage_ms:
        outage = Outage(flags.simulate_outage_ms / 1e3, _say)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, outage.begin)
    grpc_port, rest_port = await _open_ports(core, options, outage)
    # TensorFlow's modules are most of what there is; a collection that goes through them stalls every call for 0.1 s
    gc.collect()
    gc.freeze()
    _announce(options, lifecycle, grpc_port, rest_port)
    await asyncio.Event().wait()


async def _open_ports(core: ServerCore, options: ServerOptions, outage: Outage | None) -> tuple[int, int | None]:
    flags = options.flags
    grpc_server = GrpcServer(
        core,
        max_threads=flags.grpc_max_threads,
        channel_arguments=options.channel_arguments,
        credentials=None if options.tls is None else _credentials(options.tls),
        outage=outage,
    )
    grpc_port = await grpc_server.start(flags.host, flags.port)
    if flags.rest_api_port < 0:
        return grpc_port, None
    rest_server = RestServer(
        core,
        core.metrics,
        num_threads=flags.rest_api_num_threads,
        timeout_ms=flags.rest_api_timeout_in_ms,
        metrics_path=options.metrics_path,
        cors=flags.rest_api_enable_cors_support,
        outage=outage,
    )
    return grpc_port, await rest_server.start(flags.host, flags.rest_api_port)


def _announce(options: ServerOptions, lifecycle: Lifecycle, grpc_port: int, rest_port: int | None) -> None:
    """Say where the server is and what it serves, on stdout and in the ready file."""
    host = options.flags.host
    _say(f"gRPC: {host}:{grpc_port}")
    _say("REST: off" if rest_port is None else f"REST: http://{host}:{rest_port}")
    for model in options.model_config.model_config_list.config:
        states = lifecycle.states(model.name).items()
        available = sorted(version for version, state in states if state.state is State.AVAILABLE)
        _say(f"model {model.name}: versions {', '.join(map(str, available))} AVAILABLE")
    _say("ready")
    if options.flags.ready_file:
        _write_atomically(options.flags.ready_file, {"grpc": grpc_port, "rest": rest_port, "pid": os.getpid()})


def _write_atomically(path: str, content: dict[str, int | None]) -> None:
    """Whoever waits for the file never sees half of it."""
    with tempfile.NamedTemporaryFile("w", dir=Path(path).absolute().parent, delete=False) as file:
        json.dump(content, file)
    Path(file.name).rename(path)


def _follow_model_config(core: ServerCore, flags: Flags) -> None:
    """Read the model configuration again and again; a wrong one leaves the server as it is."""
    pause = threading.Event()
    while not pause.wait(flags.model_config_file_poll_wait_seconds):
        try:
            core.configure(read_model_config(flags))
        except (TextProtoError, ServingError) as error:
            _log.error("the model configuration was not reloaded: %s", error)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.server_key, tls.server_cert)],
        root_certificates=tls.custom_ca,
        require_client_auth=tls.client_verify,
    )


def _exit_at_once(_number: int, _frame: FrameType | None) -> None:
    """End as the real server does: at once, connections closed, calls in flight unanswered.

    An orderly end would wait for worker threads that may be inside TensorFlow, and tear it down beneath them.
    """
    os._exit(0)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
