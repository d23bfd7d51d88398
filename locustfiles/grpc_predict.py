"""Predict over gRPC, with payloads made from the model's own signature.

locust -f locustfiles/grpc_predict.py --host grpc://127.0.0.1:8500 --tfs-model my_model
"""

from tfs_locust import GrpcPredictUser


class GrpcPredict(GrpcPredictUser):
    pass
