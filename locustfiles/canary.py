"""A canary: a tenth of the requests goes to the newest version, the others to the one before. Is it worse?

locust -f locustfiles/canary.py --host grpc://127.0.0.1:8500 --tfs-model my_model --tfs-slo "canary: p99_ratio<1.1"

Other versions, labels or shares: --tfs-traffic stable:0.95,canary:0.05. A share that grows as long as nothing speaks
against it: --tfs-canary-ramp 1%:30s,10%:1m,50%:1m,100%
"""

from locust import events

from tfs_locust import GrpcPredictUser


class Canary(GrpcPredictUser):
    pass


@events.init_command_line_parser.add_listener
def _two_newest(parser, **_):
    parser.set_defaults(tfs_traffic="auto")
