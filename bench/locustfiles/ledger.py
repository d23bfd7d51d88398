"""Users that call at their leisure, BENCH_PER_USER times a second each, and a master that keeps a ledger of itself.

Four times a second it writes a line of JSON to the file BENCH_LEDGER: what it has used and read so far, how late its
event loop was, and how many workers it would have given up. It gives none up: a hundred that all start at once on two
cores are silent for longer than Locust waits, which says nothing of a master. Workers write nothing.
"""

import inspect
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
import grpc.experimental
import numpy.random
from locust import constant_throughput, events, runners
from locust.rpc.protocol import Message
from locust.runners import MasterRunner

from tfs_locust import GrpcPredictUser

_LINE_S = 0.25
_BEAT_S = 0.02
_GIVEN_UP_AFTER = runners.HEARTBEAT_LIVENESS  # heartbeats that did not come, one a second
# workers are forked from one process: what each would load at its start is there then, or a hundred at a time would be
# too busy to send heartbeats
PRELOADED = (grpc.experimental, numpy.random, inspect.stack())


class Calm(GrpcPredictUser):
    wait_time = constant_throughput(float(os.environ["BENCH_PER_USER"]))


class Ledger:
    """What a master has used since it began."""

    def __init__(self, runner: Any, file: Path) -> None:
        self._runner = runner
        self._file = file.open("w")
        self._messages: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._late_s = 0.0
        unserialize: Any = Message.unserialize

        def count(data: bytes) -> Any:
            message = unserialize(data)
            self._messages[message.type] += 1
            self._bytes[message.type] += len(data)
            return message

        Message.unserialize = count  # type: ignore[method-assign]

    def beat(self) -> None:
        """Look how late the event loop is."""
        while True:
            due_s = time.perf_counter() + _BEAT_S
            gevent.sleep(_BEAT_S)
            self._late_s = max(self._late_s, time.perf_counter() - due_s)

    def keep(self) -> None:
        """Write a line now and then."""
        while True:
            self.write()
            gevent.sleep(_LINE_S)

    def write(self, **_: Any) -> None:
        """Write a line, with the latest that the loop was since the last."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        line = {
            "at_s": time.monotonic(),
            "cpu_s": time.process_time(),
            "state": self._runner.state,
            "users": self._runner.user_count,
            "silent": sum(
                runners.HEARTBEAT_LIVENESS - client.heartbeat > _GIVEN_UP_AFTER for client in self._runner.clients.all
            ),
            "late_s": self._late_s,
            "memory_kb": int(status["VmRSS"].split()[0]),
            "peak_kb": int(status["VmHWM"].split()[0]),
            "messages": self._messages,
            "bytes": self._bytes,
        }
        self._late_s = 0.0
        print(json.dumps(line), file=self._file, flush=True)


def begin(environment: Any, runner: Any, **_: Any) -> None:
    """Begin the ledger, on a master."""
    if isinstance(runner, MasterRunner):
        runners.HEARTBEAT_LIVENESS = 1_000
        ledger = Ledger(runner, Path(os.environ["BENCH_LEDGER"]))
        gevent.spawn(ledger.beat)
        gevent.spawn(ledger.keep)
        environment.events.quit.add_listener(ledger.write)


events.init.add_listener(begin)
