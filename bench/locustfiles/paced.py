"""Users of ours that share one schedule: BENCH_REQUESTS, evenly, BENCH_RATE a second, each due when the schedule says.

The schedule ends before the run does, so that no burst of requests that are cut short is in the figures.
"""

import os
import time

import gevent
from locust import task
from locust.exception import StopUser

from tfs_locust import GrpcPredictUser

INTERVAL_NS = 1_000_000_000 / float(os.environ["BENCH_RATE"])
NUMBERS = iter(range(int(os.environ["BENCH_REQUESTS"])))
START_NS = time.perf_counter_ns()


class Paced(GrpcPredictUser):
    @task
    def send_the_next(self) -> None:
        global START_NS
        number = next(NUMBERS, None)
        if number is None:
            raise StopUser
        if number == 0:
            START_NS = time.perf_counter_ns()
        due_ns = START_NS + int(number * INTERVAL_NS)
        wait_ns = due_ns - time.perf_counter_ns()
        if wait_ns > 0:
            gevent.sleep(wait_ns / 1e9)
        self.predict(due_ns=due_ns)
