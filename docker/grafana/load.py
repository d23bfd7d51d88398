"""The dashboard of a load test: what is asked for, what comes of it, and whether the generator can be believed."""

from __future__ import annotations

from panels import BLUE, GREEN, RED, YELLOW, Json, dashboard, heatmap, lines, mark, number, states, table, variable

_RUN = 'job=~"$job",instance=~"$instance"'
_MODEL = f'{_RUN},model=~"$model"'
_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99", "p99.9": "0.999"}
_KEY = "scenario, protocol, model, version"


def _of(name: str, within: str = _RUN) -> str:
    return f"tfs_locust_{name}{{{within}}}"


def _rate(name: str, within: str = _RUN) -> str:
    return f"rate({_of(name, within)}[$__rate_interval])"


def _quantiles(name: str, within: str) -> dict[str, str]:
    return {
        label: f"histogram_quantile({quantile}, sum by (le) ({_rate(name + '_bucket', within)}))"
        for label, quantile in _QUANTILES.items()
    }


_GOOD, _BAD = f'{_MODEL},outcome="ok"', f'{_MODEL},outcome!="ok"'
_NO_ERRORS = f"0 * sum ({_of('requests_total', _MODEL)})"

_THE_RUN = [
    number("Verdict", "Of the last run in the time shown: PASS, FAIL or INVALID, once it has ended.", "none",
           f"last_over_time({_of('verdict')}[$__range]) == 1",
           legend="{{state}}", names={"PASS": GREEN, "FAIL": RED, "INVALID": YELLOW}),
    number("Load", "How long load was sent after the warm-up.", "s", f"max({_of('load_seconds')})"),
    number("Requests", "Requests that ended or were given up unsent, after the warm-up: the report's totals.requests.",
           "short", f"sum({_of('requests_total', _MODEL)})"),
    number("Errors", "The part of these that did not end well, unsent ones among them.", "percentunit",
           f"(sum({_of('requests_total', _BAD)}) or {_NO_ERRORS}) / sum({_of('requests_total', _MODEL)})",
           above={0.001: RED}),
    number("Unsent", "Requests that were due by a schedule and that nobody sent.", "short",
           f"sum({_of('unsent_total')})", above={1: RED}),
    number("In flight", "Requests that were sent and have not ended.", "short", f"sum({_of('in_flight')})"),
    table("What was run", "Locustfile, target and versions of each run in the time shown.",
          [("", "none", f"last_over_time({_of('run_info')}[$__range])")], hidden=["__name__", "job"], height=4),
]  # fmt: skip

_OBJECTIVES = [
    states("Objectives", "Whether what was measured so far is within each objective, and whether that is sure.",
           {"{{objective}}": f"{_of('slo_met')} + 2 * {_of('slo_decided')}"},
           {0: ("beyond so far", YELLOW), 1: ("within so far", BLUE), 2: ("broken", RED), 3: ("kept", GREEN)}),
    lines("Error budget left", "The part left of the requests that may be beyond each objective's bound. Below 0 it is "
          "overspent.", "percentunit", {"{{objective}}": _of("slo_budget_remaining_ratio")}, width=12),
]  # fmt: skip
_OBJECTIVES[1]["fieldConfig"]["defaults"].pop("min")

_LOAD = [
    lines("Offered and ended", "Offered: due by schedules, the warm-up's included; 0 in a closed loop. Ended: all "
          "outcomes, after the warm-up. Where ended is below offered, the load is more than is carried.", "reqps",
          {"offered": f"sum({_rate('offered_total')})",
           "ended": f"sum({_rate('requests_total', _MODEL)})",
           "ended well": f"sum({_rate('requests_total', _GOOD)})",
           "unsent": f"sum({_rate('unsent_total')})",
           "of the warm-up": f"sum({_rate('warmup_requests_total', _MODEL)})"}),
    lines("Users", "Users that there are, by class, and how many there are to be.", "short",
          {"{{class}}": f"sum by (class) ({_of('users')})", "to be": f"sum({_of('target_users')})"}),
    lines("In flight over time", "Requests that were sent and have not ended. In an open loop they pile up when the "
          "server is too slow.", "short", {"{{instance}}": _of("in_flight")}),
    lines("Errors by outcome", "Why requests did not end well. docs/report.md says what each means.", "reqps",
          {"{{outcome}}": f"sum by (outcome) ({_rate('requests_total', _BAD)})"}, stacked=True),
    lines("Share of errors", "Of each scenario's requests to each model; the line is at 0.1 %.", "percentunit",
          {"{{scenario}} {{model}}": f"scenario_model:tfs_locust_errors:ratio_rate30s{{{_MODEL}}}"}, limit=0.001),
    lines("Rows that ended well", "Examples inferred: what batches are made of.", "rowsps",
          {"{{scenario}} {{model}}": f"scenario_model:tfs_locust_good_rows:rate30s{{{_MODEL}}}"}),
]  # fmt: skip

_TIMES = [
    lines("Response time", "From when a request was due until its end: what a caller who keeps to the schedule waits. "
          "Of the requests that ended well.", "s", _quantiles("response_time_seconds", _GOOD)),
    lines("Service time", "From when a request was sent until its end: what the server and the wire take. Far below "
          "the response time, requests wait before they are sent.", "s", _quantiles("service_time_seconds", _GOOD)),
    lines("p99 by scenario and model", "Of the response time, over 30 s, as alerts see it.", "s",
          {"{{scenario}} {{model}}": f"scenario_model:tfs_locust_response_time_seconds:p99_rate30s{{{_MODEL}}}"}),
    heatmap("Response times", "How many requests ended well after how long. Two bands are two kinds of requests, or of "
            "waiting.", "s", f"sum by (le) (increase({_of('response_time_seconds_bucket', _GOOD)}[$__rate_interval]))",
            width=16),
    lines("Bytes", "Bodies of requests and answers.", "binBps",
          {"sent": f"sum({_rate('request_bytes_total', _MODEL)})",
           "received": f"sum({_rate('response_bytes_total', _MODEL)})"}),
]  # fmt: skip

_MODELS = [
    table("Models and versions", "Requests in the time shown by the model and version that answered, and response "
          "times of those that ended well. Where no answer tells the version it is the one asked for, or empty.", [
              ("Requests", "short", f"sum by ({_KEY}) (increase({_of('requests_total', _MODEL)}[$__range]))"),
              ("Errors", "short", f"sum by ({_KEY}) (increase({_of('requests_total', _BAD)}[$__range]))"),
              ("Rows", "short", f"sum by ({_KEY}) (increase({_of('rows_total', _GOOD)}[$__range]))"),
              *((label, "s", f"histogram_quantile({quantile}, sum by ({_KEY}, le) "
                             f"(increase({_of('response_time_seconds_bucket', _GOOD)}[$__range])))")
                for label, quantile in _QUANTILES.items()),
          ]),
]  # fmt: skip

_GENERATOR = [
    lines("Workers", "Processes that send load, by state. What late and lost ones measured is not all here.", "short",
          {"{{state}}": f"sum by (state) ({_of('workers')})"}),
    lines("Send lag", "How late requests were sent. With a p99 above 10 ms it is the generator that is measured.", "s",
          _quantiles("send_lag_seconds", _RUN), limit=0.01),
    lines("Loop lag", "How late heartbeats of the workers' event loops were: code that blocks, or too little CPU.", "s",
          _quantiles("loop_lag_seconds", _RUN), limit=0.1),
    lines("CPU of each worker", "Part of one core. At 95 % the generator is the limit: add workers.", "percentunit",
          {"{{instance}}": "tfs_locust_worker_cpu_ratio", "most": _of("cpu_ratio")}, limit=0.95),
    lines("Held back", "Part of the time in which the cgroup of a worker (its CPU limit) lets it not run.",
          "percentunit", {"{{instance}}": "tfs_locust_worker_throttled_ratio", "most": _of("throttled_ratio")},
          limit=0.01),
    lines("Requests of each worker", "Each has its share. Together they are the whole run.", "reqps",
          {"{{instance}}": "sum by (instance) (rate(tfs_locust_worker_requests_total[$__rate_interval]))"},
          stacked=True),
    lines("Memory of each process", "Resident. A worker that grows without end will be killed.", "bytes",
          {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"tfs_locust.*"}'}),
    lines("Answers checked", "Answers that were decoded and compared with what is expected.", "reqps",
          {"{{instance}}": _rate("checked_total")}),
]  # fmt: skip

_BATCHING = [
    lines("Batch fill", "Rows in a batch by the largest batch, since the run began: 1 is full. By the server's page; "
          "needs --tfs-batching-parameters-file.", "percentunit", {"{{instance}}": _of("batch_fill_ratio")}, width=12),
    lines("Padding", "Part of the executed rows that was padding, since the run began.", "percentunit",
          {"{{instance}}": _of("batch_padding_ratio")}, width=12),
]  # fmt: skip


def load_test() -> Json:
    """``dashboards/tfs_locust.json``."""
    return dashboard(
        "tfs-locust",
        "TF Serving load test",
        "A run of tfs_locust, live. Its numbers are those of the report. Needs the recording rules of "
        "docker/prometheus/rules.",
        [
            variable("job", "Job", "tfs_locust_run_info"),
            variable("instance", "Master", 'tfs_locust_run_info{job=~"$job"}'),
            variable("model", "Model", f"tfs_locust_requests_total{{{_RUN}}}"),
        ],
        {
            "Run": _THE_RUN,
            "Objectives": _OBJECTIVES,
            "Load": _LOAD,
            "Times": _TIMES,
            "Models": _MODELS,
            "Generator": _GENERATOR,
            "Batching": _BATCHING,
        },
        [
            mark("A run began", BLUE, _of("run_start_timestamp_seconds")),
            mark("A run ended", GREEN, _of("run_end_timestamp_seconds")),
        ],
    )
