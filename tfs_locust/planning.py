"""``tfs-locust plan``: what a server's settings make of a load, before there is either."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from tfs_locust.load.advice import lines, statements
from tfs_locust.load.plan import ASSUMED_COST, Demand, Setup, make_plan
from tfs_locust.load.plan_json import as_json
from tfs_locust.load.rows import parse_rows
from tfs_locust.load.simulation import BatchCost
from tfs_locust.tfserving.batching import BatchingParameters
from tfs_locust.tfserving.text_proto import TextProtoError

Value = TypeVar("Value")

_WIDEST = 120


def main(argv: Sequence[str]) -> int:
    """Returns 0, or 2 where a setting is wrong; then standard error has a line for each."""
    parser = _parser()
    options = parser.parse_args(list(argv))
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], Value], otherwise: Value) -> Value:
        text = getattr(options, name)
        if text is None:
            return otherwise
        try:
            return parse(text)
        except (ValueError, TextProtoError) as error:
            problems.append(f"--{name.replace('_', '-')} {text!r}: {error}")
            return otherwise

    parameters = read(
        "batching_parameters_file", _parameters, BatchingParameters() if options.enable_batching else None
    )
    setup = Setup(
        parameters,
        read("cpus", _count, len(os.sched_getaffinity(0))),
        read("grpc_max_threads", _count, None),
        read("rest_api_num_threads", _count, None),
    )
    rows = read("rows", parse_rows, parse_rows("1"))
    demand = Demand(read("users", _count, None), read("rate", _rate, None))
    cost = read("batch_ms", _cost, ASSUMED_COST)
    most_rows = read("max_rows", _count, None)
    if options.users is not None and options.rate is not None:
        problems.append("--users and --rate exclude each other: give one of them")
    if problems:
        for problem in problems:
            sys.stderr.write(f"{parser.prog}: {problem}\n")
        return 2
    plan = make_plan(setup, options.protocol, rows, demand, cost=cost, most_rows=most_rows)
    told = statements(plan)
    if options.json:
        print(json.dumps(as_json(plan, told), indent=2))
    else:
        chosen = f": {plan.rows}" if rows.choice else ""
        print(f"rows {rows}{chosen}, over {'gRPC' if plan.protocol == 'grpc' else 'REST'}, {setup.cpus} CPUs")
        print("\n".join(lines(told, min(shutil.get_terminal_size((100, 24)).columns, _WIDEST))))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfs-locust plan",
        description="Tell what a server's batching will make of a load: what fills its batches, what is refused, how "
        "much will be padding. The batches are simulated by the server's rules; nothing is sent.",
        epilog="Lines that begin with ! name something to change.",
    )
    parser.add_argument("--batching-parameters-file", metavar="FILE", help="the server's; without it batching is off")
    parser.add_argument("--enable-batching", action="store_true", help="without a file: the server's own defaults")
    parser.add_argument("--cpus", metavar="N", help="that the server may use (default: as many as here)")
    parser.add_argument("--grpc-max-threads", metavar="N", help="the server's (default: 4 for each CPU)")
    parser.add_argument("--rest-api-num-threads", metavar="N", help="the server's (default: 4 for each CPU)")
    parser.add_argument("--protocol", choices=("grpc", "rest"), default="grpc", help="default: %(default)s")
    parser.add_argument(
        "--rows", metavar="ROWS", help="of each request: 8, 1:0.7,8:0.3, trace:FILE, auto or worst (default: 1)"
    )
    parser.add_argument("--max-rows", metavar="N", help="the most that auto may choose")
    parser.add_argument(
        "--users", metavar="N", help="who each wait for an answer (default: as many as are served at once)"
    )
    parser.add_argument("--rate", metavar="N", help="requests by the second instead, whether answered or not")
    parser.add_argument(
        "--batch-ms", metavar="MS[+MS]", help="what a batch takes, and each of its rows besides (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="all numbers and sentences as JSON")
    return parser


def _parameters(path: str) -> BatchingParameters:
    parameters = BatchingParameters.read(path)
    if problems := parameters.problems():
        raise ValueError(f"the server does not start: {'; '.join(problems)}")
    return parameters


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,6}", text):
        raise ValueError("expected a whole number of at least 1, with 7 digits at most")
    return int(text)


_DECIMAL = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}")


def _rate(text: str) -> float:
    if not _DECIMAL.fullmatch(text) or not float(text):
        raise ValueError("expected requests by the second, above 0, as in 500")
    return float(text)


def _cost(text: str) -> BatchCost:
    fixed, _, per_row = text.partition("+")
    if not _DECIMAL.fullmatch(fixed) or not _DECIMAL.fullmatch(per_row or "0"):
        raise ValueError("expected milliseconds as in 10, or 5+0.1 for 5 ms and 0.1 ms for each row")
    return BatchCost(float(fixed) / 1e3, float(per_row or 0) / 1e3)
