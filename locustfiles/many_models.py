"""Many models on one server: some are asked for often and most seldom, and how late is the first answer of each?

locust -f locustfiles/many_models.py --host grpc://127.0.0.1:8500 --tfs-traffic "model_{0..49}/{1..12}; zipf(s=1.1)"

These are 600 targets: versions 1 to 12 of model_0 to model_49. "model_{0..49}/; uniform" is the newest version of each,
all as often; "resnet/:5,bert@stable:1" are two with weights. All must take the same inputs.
"""

from locust import events

from tfs_locust import GrpcPredictUser


class ManyModels(GrpcPredictUser):
    pass


@events.init_command_line_parser.add_listener
def _ten_models(parser, **_):
    parser.set_defaults(tfs_traffic="model_{0..9}/; zipf")
