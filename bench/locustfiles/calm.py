"""Users of ours that call at their leisure: BENCH_PER_USER times a second each."""

import os

from locust import constant_throughput

from tfs_locust import GrpcPredictUser, RestPredictUser


class CalmGrpc(GrpcPredictUser):
    wait_time = constant_throughput(float(os.environ["BENCH_PER_USER"]))


class CalmRest(RestPredictUser):
    wait_time = constant_throughput(float(os.environ["BENCH_PER_USER"]))
