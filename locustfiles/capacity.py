"""How many requests a second does the model carry inside its objectives?

locust -f locustfiles/capacity.py --host grpc://127.0.0.1:8500 --tfs-model my_model --headless --tfs-slo "p99<100ms"
"""

from locust import events

from tfs_locust import GrpcPredictUser


class Capacity(GrpcPredictUser):
    """Its arrival has no rate of its own: the search says how fast it goes."""

    arrival = "poisson"


@events.init_command_line_parser.add_listener
def _search(parser, **_):
    parser.set_defaults(tfs_find_capacity=True)
