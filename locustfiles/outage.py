"""How long until the model is served again when its server goes down and comes back?

locust -f locustfiles/outage.py --host grpc://127.0.0.1:8500 --tfs-model my_model --headless -u 20 -t 60s \
    --tfs-allow-changes --tfs-scenario-param "command=docker stop tfs" --tfs-scenario-param "undo=docker start tfs"

``command`` is run five seconds after the start, ``undo`` ten seconds later (``for=10s``). Any shell commands will do,
as ``docker pause`` and ``docker unpause``, or ``kubectl scale`` to nothing and back.
"""

from locust import events

from tfs_locust import GrpcPredictUser


class Outage(GrpcPredictUser):
    slo = "recovery_time<30s"


@events.init_command_line_parser.add_listener
def _scenario(parser, **_):
    parser.set_defaults(tfs_scenario="outage")
