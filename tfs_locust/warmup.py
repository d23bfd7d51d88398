"""``tfs-locust warmup``: writes the requests that TensorFlow Serving replays before it serves a version.

The file belongs into a SavedModel's version folder as ``assets.extra/tf_serving_warmup_requests``. With batching each
record warms only the batch size that its rows are executed with, and a record that fails keeps the version from loading
(tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc, g3doc/saved_model_warmup.md).
"""

from __future__ import annotations

import itertools
import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from configargparse import ArgumentParser

from tfs_locust.load.corpus import CorpusError, Payload
from tfs_locust.load.fitting import is_batch
from tfs_locust.load.prediction_log import log_record
from tfs_locust.load.sources import Source, open_source
from tfs_locust.load.tfrecord import write_records
from tfs_locust.measure.sample import Outcome
from tfs_locust.swarm.options import add_options
from tfs_locust.swarm.settings import Settings, read_settings
from tfs_locust.tfserving.batching import BatchingParameters
from tfs_locust.tfserving.codec import encode_grpc
from tfs_locust.tfserving.control import CallFailed, GrpcControl, RestControl, TargetError, resolve
from tfs_locust.tfserving.protos import PREDICT
from tfs_locust.tfserving.signature import DEFAULT_SIGNATURE, Signature
from tfs_locust.tfserving.target import Target
from tfs_locust.tfserving.text_proto import TextProtoError
from tfs_locust.transport.address import Address, parse_address
from tfs_locust.transport.base import Endpoint, Transport, asking
from tfs_locust.transport.grpc_library import GrpcLibrary
from tfs_locust.transport.rest_library import RestLibrary

Value = TypeVar("Value")

FILE_NAME = "tf_serving_warmup_requests"
MOST_RECORDS = 1000
"""A record more, and the server refuses to load the version."""
_OPTIONS = (
    *("model", "version", "version-label", "signature", "payload", "seed", "dim", "header"),
    *("tls-ca", "tls-cert", "tls-key"),
)
"""Of those of a run: the others mean nothing here, and are refused."""
_CONTROL_TIMEOUT_S = 10.0
_PREDICT_TIMEOUT_S = 60.0  # the first request of a size may take long: that is what warm-up is for


class _Problems(Exception):  # noqa: N818 - it reads as what there is
    """What keeps the file from being written, a sentence each."""


def main(argv: Sequence[str]) -> int:
    """Returns 0, or 2 where no file was written; says why on standard error."""
    parser = _parser()
    options = parser.parse_args(list(argv))
    try:
        for line in _write(options):
            print(line)
    except _Problems as found:
        for problem in found.args:
            sys.stderr.write(f"tfs-locust warmup: {problem}\n")
        return 2
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="tfs-locust warmup",
        description=f"Write a warm-up file for a served model, for VERSION/assets.extra/{FILE_NAME} in its folder.",
    )
    parser.add_argument("--host", "-H", required=True, metavar="URL", help="grpc://HOST:PORT or http://HOST:PORT")
    parser.add_argument("--out", required=True, metavar="FILE", help=f"the file to write, such as {FILE_NAME}")
    parser.add_argument("--rows", metavar="N[,N...]", help="sizes of requests; a record for each. Default: 1")
    parser.add_argument(
        "--batching-parameters-file", metavar="FILE", help="the server's; a record for each allowed batch size"
    )
    parser.add_argument("--records", metavar="N", help="records to write, the sizes in turn; at most 1000")
    add_options(parser, only=_OPTIONS)
    return parser


def _write(options: Namespace) -> list[str]:
    """Write the file; returns what to tell of it."""
    settings, problems = read_settings(options)
    out = Path(options.out)
    if (out.exists() and not out.is_file()) or not out.parent.is_dir():
        problems.append(
            f"--out {options.out}: expected a regular file in a folder that exists, such as .../{FILE_NAME}"
        )
    sizes = _read(problems, _sizes, options)
    records = _read(problems, _records, options)
    address = _read(problems, parse_address, options.host)
    if problems or address is None:
        raise _Problems(*problems)
    target = Target(
        settings.model or "default",  # tensorflow_model_server's own
        settings.version,
        settings.version_label,
        settings.signature or DEFAULT_SIGNATURE,
    )
    rows: Counter[int] = Counter()
    with closing(_transport(address, settings)) as transport:
        try:
            signature = _signature(transport, address, target)
            source = _source(settings.payload, signature, target, settings, sizes)
            payloads = _chosen(source, signature, sizes, records)
            if address.protocol == "grpc":
                payloads = _tried(transport, payloads)
            count = write_records(out, (log_record(payload.body) for payload in _counted(payloads, rows)))
        except CallFailed as failure:
            raise _Problems(f"no answer from {options.host}: {failure}") from failure
        except (TargetError, CorpusError) as error:
            raise _Problems(str(error)) from error
        except OSError as error:
            raise _Problems(f"--out {options.out}: cannot be written: {error.strerror}") from error
    each = ", ".join(f"{number} of {_in_rows(size)}" for size, number in sorted(rows.items()))
    tried = "each was answered" if address.protocol == "grpc" else "not tried out: give a grpc:// host for that"
    return [
        f"{out}: {count} record{'s' * (count > 1)} ({each}), {out.stat().st_size:,} bytes; {tried}",
        f"Put it into the model's folder as {target.model}/VERSION/assets.extra/{FILE_NAME}",
    ]


def _read(problems: list[str], read: Callable[[Any], Value], given: Any) -> Value | None:
    try:
        return read(given)
    except (ValueError, TextProtoError) as error:
        problems.append(str(error))
        return None


def _sizes(options: Namespace) -> tuple[int, ...] | None:
    """Rows of the requests; None: not given."""
    if options.rows is not None and options.batching_parameters_file is not None:
        raise ValueError("--rows and --batching-parameters-file exclude each other: give one of them")
    if options.rows is not None:
        if not re.fullmatch(r"\s*0*[1-9]\d{0,8}(\s*,\s*0*[1-9]\d{0,8})*\s*", options.rows):
            raise ValueError(f"--rows {options.rows!r}: expected whole numbers of at least 1, such as 1,2,4,8")
        return tuple(map(int, options.rows.split(",")))
    if options.batching_parameters_file is None:
        return None
    parameters = BatchingParameters.read(options.batching_parameters_file)
    if problems := parameters.problems():
        raise ValueError(f"{options.batching_parameters_file}: the server refuses this: {'; '.join(problems)}")
    # without allowed sizes a batch is executed at the size it has: the least and the largest stand for all
    allowed = parameters.allowed_batch_sizes or (1, parameters.largest_batch)
    return tuple(sorted({size for size in allowed if 1 <= size <= parameters.largest_batch}))


def _records(options: Namespace) -> int | None:
    if options.records is None:
        return None
    if not re.fullmatch(r"\d{1,9}", options.records) or not 1 <= int(options.records) <= MOST_RECORDS:
        raise ValueError(f"--records {options.records!r}: expected a whole number from 1 to {MOST_RECORDS}")
    return int(options.records)


def _transport(address: Address, settings: Settings) -> Transport[Any]:
    tls = settings.tls if address.secure else None
    endpoint = Endpoint(address.host, address.port, tls, tuple(settings.headers.items()))
    return GrpcLibrary(endpoint) if address.protocol == "grpc" else RestLibrary(endpoint)


def _signature(transport: Transport[Any], address: Address, target: Target) -> Signature:
    ask = asking(transport, _CONTROL_TIMEOUT_S)
    control = GrpcControl if address.protocol == "grpc" else RestControl
    return resolve(control(lambda path, body: ask(address.prefix + path, body)), target)


def _source(
    given: str | None, signature: Signature, target: Target, settings: Settings, sizes: tuple[int, ...] | None
) -> Source:
    return open_source(
        given,
        signature,
        itertools.cycle(sizes or (1,)),
        settings.seed,
        partial(encode_grpc, target, signature),  # the server's log holds gRPC's requests, whatever the host speaks
        dims=settings.dims,
        grpc_target=target,
    )


def _chosen(
    source: Source, signature: Signature, sizes: tuple[int, ...] | None, records: int | None
) -> Iterator[Payload]:
    """The payloads to write: one for each size, or those of a source whose requests have rows of their own."""
    if sizes is not None and (source.own_rows or not any(map(is_batch, signature.inputs))):
        raise CorpusError(f"{source.describe()}: requests have the rows that they have; leave out the sizes")
    if source.own_rows:
        one_pass = source.passes()
        yield from itertools.islice(one_pass, records or MOST_RECORDS)
        if records is None and next(one_pass, None) is not None:
            raise CorpusError(
                f"{source.describe()}: holds more than {MOST_RECORDS} requests, with which the server refuses to load "
                f"a version; give --records {MOST_RECORDS} for the first of them"
            )
    else:
        count = records or len(sizes or (1,))
        if count > MOST_RECORDS:
            raise CorpusError(f"{count} sizes make more records than the {MOST_RECORDS} that the server allows")
        yield from itertools.islice(source, count)


def _tried(transport: Transport[Any], payloads: Iterable[Payload]) -> Iterator[Payload]:
    """Send each once: a record that fails would keep the version from loading."""
    for number, payload in enumerate(payloads, 1):
        reply = transport.call(transport.prepare(PREDICT, payload.body), _PREDICT_TIMEOUT_S)
        if reply.outcome is not Outcome.OK:
            raise CorpusError(
                f"record {number} ({_in_rows(payload.rows)}) would fail and keep the version from loading: "
                f"{reply.outcome}: {reply.detail}"
            )
        yield payload


def _in_rows(size: int) -> str:
    return f"{size} row{'s' * (size != 1)}"


def _counted(payloads: Iterable[Payload], rows: Counter[int]) -> Iterator[Payload]:
    for payload in payloads:
        rows[payload.rows] += 1
        yield payload
