"""The ``--tfs-*`` options: declared for Locust's parser and web form. What they mean is read in settings.py."""

from __future__ import annotations

from argparse import ArgumentParser as AnyParser
from argparse import Namespace, _AppendAction
from collections.abc import Collection
from typing import Any

from configargparse import ArgumentParser

from tfs_locust.swarm.settings import BETWEEN


class _Several(_AppendAction):
    """Keeps what is given several times as one text.

    Locust's web form shows a list with commas between and takes it apart at every comma, also at those within an item.
    An append action all the same: configargparse reads lists from the environment and files for no other.
    """

    def __call__(self, _parser: AnyParser, namespace: Namespace, values: Any, _option: str | None = None) -> None:
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, values if before is None else before + BETWEEN + values)


def add_options(parser: ArgumentParser, *, only: Collection[str] | None = None) -> None:
    """Declare the options, on Locust's parser; or on one of our own commands', ``only`` those that mean something to it
    (names without ``--tfs-``)."""
    group = parser.add_argument_group(
        "TensorFlow Serving",
        "What is asked of the model server, how, and what is expected. Class attributes of a user go before these. "
        "Where help shows items with | between them, the option may also be given several times.",
    )

    def add(name: str, help_text: str, *, secret: bool = False, in_page: bool = True, **more: Any) -> None:
        if only is not None and name not in only:
            return
        action = group.add_argument(
            f"--tfs-{name}", env_var="TFS_" + name.upper().replace("-", "_"), help=help_text, **more
        )
        # Locust's parser sets these for its web form, but only for options outside of groups
        action.include_in_web_ui = in_page
        action.is_secret = secret
        action.is_required = action.is_multiple = False

    # The web form shows these one below the other, in this order, and each text on one line. No text has a percent
    # sign: argparse wants it twice, and the form would show it twice.

    # what is asked
    add("model", "Name of the model on the server. Default: default", metavar="NAME")
    add("version", "Version number to ask for. Default: the server's newest", metavar="N")
    add("version-label", "Version label to ask for instead, such as stable or canary", metavar="LABEL")
    add("traffic", "Weights, as 1:0.9,2:0.1 or m_{0..9}/{1..3};zipf; or: auto. Default: none", metavar="WEIGHTS")
    add("canary-ramp", "Share of the lesser of two over time, as 0.01:30s,0.1:1m,1", metavar="STAGES")
    add("canary-rollback", "Give it up if surely worse: on or off. Default: on with a ramp", metavar="SWITCH")
    add("signature", "Signature to call. Default: serving_default", metavar="NAME")
    add("rows", "Rows in each request: 8, 1:0.7,8:0.3, trace:FILE, auto or worst. Default: 1", metavar="ROWS")
    add("payload", "What to send: synthetic, a .npz, .npy, .jsonl or PredictionLog file", metavar="SOURCE")
    add("payloads", "Distinct payloads, sent in turn. Default: 64; of a file: all", metavar="N")
    add("seed", "Seed of all that is random in payloads. Default: 0", metavar="N")
    add(
        "dim",
        "Sizes an input leaves open besides rows, as NAME=N,N | OTHER=N. Default: 1",
        action=_Several,
        metavar="NAME=N",
    )
    add(
        "header",
        "HTTP header or gRPC metadata, as NAME: VALUE | OTHER: VALUE",
        action=_Several,
        metavar="'NAME: VALUE'",
        secret=True,
    )
    add("check", "Share of answers that are decoded and checked. Default: 0.01", metavar="SHARE")

    # how it is sent, and when
    add("arrival", "closed; each user's constant:N or poisson:N; trace:FILE. Default: closed", metavar="HOW")
    add("rate", "Requests per second of the whole run, whatever the answers. Default: none", metavar="N")
    add("max-in-flight", "Of each user; beyond it requests are unsent. Default: 1000", metavar="N")
    add("shape", "Load over time: ramp, steps, spike, sine, soak or trace. Default: none", metavar="NAME")
    add(
        "shape-param",
        "As to=500 | duration=10m; unit=rate for requests per second",
        action=_Several,
        metavar="NAME=VALUE",
    )
    # not in the web page: whoever can open that could have commands run here
    add(
        "scenario",
        "Change the server: version_switch, rollback, restart, outage, command or chaos. Default: none",
        metavar="NAME",
        in_page=False,
    )
    add(
        "scenario-param",
        "As folder=/models/my_model | times=3 | every=20s",
        action=_Several,
        metavar="NAME=VALUE",
        in_page=False,
    )
    add(
        "allow-changes",
        "Without it nothing is done to the server but sending requests",
        action="store_true",
        in_page=False,
    )
    add("find-capacity", "Search the largest load inside the objectives: users, or the rate", action="store_true")
    add("resolution", "How finely capacity is searched. Default: 0.05", metavar="SHARE")
    add(
        "capacity-param",
        "As start=10 | max=2000 | time=10m | warmup=2s | window=2s",
        action=_Several,
        metavar="NAME=VALUE",
    )
    add("warmup", "Length of a warm-up that no objective sees, as 10s. Default: none", metavar="TIME")
    add("timeout", "Deadline of each request, as 10, 10s or 500ms. Default: 10s", metavar="TIME")
    add("drain", "How long requests in flight may take at the end. Default: --tfs-timeout", metavar="TIME")
    add("engine", "wire (fast) or library (grpcio, geventhttpclient). Default: wire", metavar="NAME")
    add("connections", "Connections per worker. Default: one per address; REST: as needed", metavar="N")

    # what is expected of it, and what is written
    add(
        "slo",
        "Objectives of the verdict, as p99<100ms | error_rate<0.001; or: default",
        action=_Several,
        metavar="OBJECTIVE",
    )
    add("confidence", "How sure a verdict on a quantile or a rate must be. Default: 0.95", metavar="SHARE")
    add(
        "limit",
        "INVALID beyond: send_lag=10ms | cpu=0.95 | unsent=0.001 and others",
        action=_Several,
        metavar="NAME=VALUE",
    )
    add("abort-on-fail", "End a run whose objectives are surely broken", action="store_true")
    add("report", "Folder to write the report to: JSON, HTML, JUnit, Markdown, percentiles", metavar="DIR")

    # what is known of the server
    add("batching-parameters-file", "The server's: advice at the start, and rows chosen by it", metavar="FILE")
    add("server-cpus", "CPUs that the server may use. Default: as many as here", metavar="N")
    add("grpc-max-threads", "The server's. Default: 4 for each of its CPUs", metavar="N")
    add("rest-api-num-threads", "The server's. Default: 4 for each of its CPUs", metavar="N")
    add("allow-too-large", "Send rows above max_batch_size, too", action="store_true")
    add(
        "server-metrics",
        "Metrics pages: auto, none, or URL | URL. Default: auto",
        action=_Several,
        metavar="URL",
    )
    add("status-interval", "How often models' versions are asked for, or off. Default: 500ms", metavar="TIME")
    add("prometheus", "Base URL of a Prometheus that scrapes the server", metavar="URL")
    add(
        "server-query",
        "Its series, as NAME=PROMQL | OTHER=PROMQL; objectives may name them",
        action=_Several,
        metavar="NAME=PROMQL",
    )

    # for grpcs and https
    add("tls-ca", "For grpcs, https: PEM file of trusted authorities. Default: the system's", metavar="FILE")
    add("tls-cert", "For grpcs, https: PEM file of the client's certificate", metavar="FILE")
    add("tls-key", "For grpcs, https: PEM file of the client's key", metavar="FILE")

    # of the process, not of a run: too late to be changed in the web form
    add("markdown", "Print the result at the end as Markdown, not as a table", action="store_true", in_page=False)
    add("metrics-port", "Port for Prometheus; 0: a free one; off. Default: 9646", metavar="PORT", in_page=False)
    add("metrics-address", "Address to serve metrics at. Default: 127.0.0.1", metavar="IP", in_page=False)
    add(
        "metrics-linger",
        "Wait at the end for a last scrape, at most so long. Default: 15s if scraped before",
        metavar="TIME",
        in_page=False,
    )
    add("pushgateway", "Push the metrics at the end to this Prometheus Pushgateway", metavar="URL", in_page=False)
