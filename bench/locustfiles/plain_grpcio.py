"""Locust with grpcio, as users write it: a stub, a call, and the request event fired by hand."""

import os
import time
from pathlib import Path

import grpc
import grpc.experimental.gevent
from locust import User, constant_throughput, task

from tfs_locust.tfserving.protos import PREDICT, predict_pb2

grpc.experimental.gevent.init_gevent()

CHANNEL = grpc.insecure_channel(os.environ["BENCH_HOST"])
STUB = CHANNEL.unary_unary(
    PREDICT,
    request_serializer=predict_pb2.PredictRequest.SerializeToString,
    response_deserializer=predict_pb2.PredictResponse.FromString,
)
REQUEST = predict_pb2.PredictRequest.FromString(Path(os.environ["BENCH_BODY"]).read_bytes())


class PlainGrpcio(User):
    if "BENCH_PER_USER" in os.environ:
        wait_time = constant_throughput(float(os.environ["BENCH_PER_USER"]))

    @task
    def predict(self) -> None:
        start = time.perf_counter()
        exception = response = None
        try:
            response = STUB(REQUEST, timeout=10)
        except grpc.RpcError as error:
            exception = error
        self.environment.events.request.fire(
            request_type="grpc",
            name="Predict",
            response_time=(time.perf_counter() - start) * 1000,
            response_length=response.ByteSize() if response else 0,
            response=response,
            context={},
            exception=exception,
        )
