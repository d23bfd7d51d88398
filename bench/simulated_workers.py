"""Many workers in one process: Locust's protocol, spoken over a connection each, with reports as our workers make them.

Started by bench/workers.py: ``python -m bench.simulated_workers PORT WORKERS RATE SECONDS``. What they measure is made
up beforehand, RATE requests a second each for SECONDS, by the package's own tally; all share a few such scripts. When
the master has sent all of them home it prints, as JSON, how many requests they told of, and how long the master took to
answer heartbeats.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import gevent
import zmq.green as zmq
from locust import __version__
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import HEARTBEAT_INTERVAL, WORKER_REPORT_INTERVAL
from locust.stats import setup_distributed_stats_event_listeners

from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.tally import Tally
from tfs_locust.swarm.ending import DRAIN
from tfs_locust.swarm.locust_stats import LocustStats
from tfs_locust.swarm.recording import FINAL, REPORT

_SCRIPTS = 4
_BEATS_PER_S = 50  # of a worker's event loop, see swarm/vitals.py
# stand for each worker's own, which are as long: a script is put on the wire once
_ID, _RUN = "worker-?????", "?" * 32
_KEY = Key("Calm", "grpc", "m", "1", Outcome.OK)


@dataclass(frozen=True, slots=True)
class Script:
    """What a worker says in a run, ready for the wire."""

    idle: bytes
    """A report outside of runs."""
    live: tuple[bytes, ...]
    """One every three seconds."""
    final: bytes
    requests: int


def script(rate: int, seconds: int, dice: random.Random) -> Script:
    """Of a closed loop, with lognormal service times around 5 ms."""
    environment = Environment()
    setup_distributed_stats_event_listeners(environment.events, environment.stats)
    tally = Tally(_ID, 1, origin_ns=0)
    levelled = LocustStats(environment, tally, {_KEY.scenario: "m:predict"})
    levelled.alone()  # Locust is told of all by it

    def stats(users: int, **ours: Any) -> bytes:
        data: dict[str, Any] = {}
        levelled.stop()
        environment.events.report_to_master.fire(client_id=_ID, data=data)
        counted = {"user_classes_count": {"Calm": users}, "user_count": users}
        return bytes(Message("stats", {**data, **ours, **counted}, _ID).serialize())

    def told(**how: Any) -> dict[str, Any]:
        return {"run": _RUN, "snapshot": tally.snapshot(second * 1_000_000_000, **how).to_wire()}

    idle, live = stats(0), []
    for second in range(1, seconds + 1):
        for _ in range(rate):
            sent_ns = int((second - 1 + dice.random()) * 1e9)
            tally.started += 1
            tally.record(Sample(_KEY, sent_ns, sent_ns, sent_ns + int(dice.lognormvariate(15.5, 0.5)), 1, 60, 100))
        for _ in range(_BEATS_PER_S):
            tally.health.loop_lag.record(int(dice.expovariate(1 / 200_000)))
        tally.record_users(second * 1_000_000_000 - 1, 2)
        if second % WORKER_REPORT_INTERVAL == 0:
            live.append(stats(2, **{REPORT: told(changes_only=True)}))
    final = bytes(Message(FINAL, told(final=True), _ID).serialize())
    return Script(idle, tuple(live), final, tally.finished)


class Worker:
    """One of them: a connection, and what it has to say."""

    def __init__(self, context: Any, port: int, number: int, says: Script) -> None:
        self._id = f"worker-{number:05}"
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, self._id.encode())
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._says = says
        self._live: deque[bytes] = deque()
        self._run = _RUN
        self._state = "ready"
        self._beaten_s: deque[float] = deque()
        self.answered_s: list[float] = []
        """How long each heartbeat waited for its answer."""
        self.requests = 0

    def work(self) -> None:
        """Until the master says quit."""
        self._send("client_ready", __version__)
        beating = gevent.spawn_later(random.random() * HEARTBEAT_INTERVAL, self._beat)
        reporting = gevent.spawn_later(random.random() * WORKER_REPORT_INTERVAL, self._report)
        while (message := Message.unserialize(self._socket.recv())).type != "quit":
            self._hear(message)
        gevent.killall([beating, reporting])
        self._send("quit")
        self._socket.close()

    def _hear(self, message: Message) -> None:
        if message.type == "heartbeat":
            self.answered_s.append(time.perf_counter() - self._beaten_s.popleft())
        elif message.type == "spawn":
            users = message.data["user_classes_count"]
            self._send("spawning")
            if self._state != "running":
                self._run, self._state = message.data["parsed_options"]["tfs_run_id"], "running"
                self._live.extend(self._says.live)
            self._send("spawning_complete", {"user_classes_count": users, "user_count": sum(users.values())})
        elif message.type == DRAIN:
            self._say(self._says.final)
            self._live.clear()
            self.requests, self._state = self._says.requests, "stopped"
        elif message.type == "stop":
            self._send("client_stopped")
            self._send("client_ready", __version__)

    def _send(self, kind: str, data: Any = None) -> None:
        self._socket.send(Message(kind, data, self._id).serialize())

    def _say(self, words: bytes) -> None:
        self._socket.send(words.replace(_ID.encode(), self._id.encode()).replace(_RUN.encode(), self._run.encode()))

    def _beat(self) -> None:
        while True:
            self._beaten_s.append(time.perf_counter())
            self._send("heartbeat", {"state": self._state, "current_cpu_usage": 0, "current_memory_usage": 0})
            gevent.sleep(HEARTBEAT_INTERVAL)

    def _report(self) -> None:
        while True:
            self._say(self._live.popleft() if self._live else self._says.idle)
            gevent.sleep(WORKER_REPORT_INTERVAL)


def main(port: int, count: int, rate: int, seconds: int) -> None:
    """Let all of them work."""
    dice = random.Random(1)
    scripts = [script(rate, seconds, dice) for _ in range(_SCRIPTS)]
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 2 * count + 16)
    workers = [Worker(context, port, number, scripts[number % _SCRIPTS]) for number in range(count)]
    gevent.joinall([gevent.spawn(worker.work) for worker in workers], raise_error=True)
    answered_s = sorted(one for worker in workers for one in worker.answered_s)
    requests = sum(worker.requests for worker in workers)
    p99_s, longest_s = answered_s[len(answered_s) * 99 // 100], answered_s[-1]
    print(json.dumps({"requests": requests, "answered_p99_s": p99_s, "answered_longest_s": longest_s}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
