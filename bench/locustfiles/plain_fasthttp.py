"""Locust's FastHttpUser, as users write it, with a body that is made once."""

import os
from pathlib import Path

from locust import FastHttpUser, constant_throughput, task

from bench.workload import REST_PATH

BODY = Path(os.environ["BENCH_BODY"]).read_text()


class PlainFastHttp(FastHttpUser):
    if "BENCH_PER_USER" in os.environ:
        wait_time = constant_throughput(float(os.environ["BENCH_PER_USER"]))

    @task
    def predict(self) -> None:
        self.client.post(REST_PATH + ":predict", data=BODY, headers={"Content-Type": "application/json"})
