"""Does a new version of the model take over in time, without a failed request?

locust -f locustfiles/version_switch.py --host grpc://127.0.0.1:8500 --tfs-model my_model --headless -u 20 -t 60s \
    --tfs-allow-changes --tfs-scenario-param folder=/models/my_model

``folder`` is the model's base path as this machine sees it. A copy of the newest version in it becomes a new version,
or of ``source=FOLDER``, one that you have prepared; it is taken out again when the run ends.
"""

from locust import events

from tfs_locust import GrpcPredictUser


class VersionSwitch(GrpcPredictUser):
    slo = "switch_time<10s | switch_success>=99.5% | availability>=99.9%"


@events.init_command_line_parser.add_listener
def _scenario(parser, **_):
    parser.set_defaults(tfs_scenario="version_switch")
