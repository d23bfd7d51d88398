"""gRPC against REST: every payload is sent over both, one after the other, and the report compares them pair by pair.

TFS_GRPC_HOST=grpc://127.0.0.1:8500 TFS_REST_HOST=http://127.0.0.1:8501 \
    locust -f locustfiles/protocols.py --tfs-model my_model

The two variables say where the server's interfaces are; shown are their defaults. ``--host`` is one address, and
refused here. Workers take both from the master.
"""

import os

from tfs_locust import GrpcPredictUser, RestPredictUser


class Rest(RestPredictUser):
    abstract = True  # it has no users of its own
    host = os.environ.get("TFS_REST_HOST", "http://127.0.0.1:8501")


class Grpc(GrpcPredictUser):
    host = os.environ.get("TFS_GRPC_HOST", "grpc://127.0.0.1:8500")
    against = Rest
