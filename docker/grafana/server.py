"""The dashboard of TensorFlow Serving, by its own metrics page. Its times are microseconds; here all are seconds."""

from __future__ import annotations

from panels import BLUE, RED, Json, dashboard, heatmap, lines, mark, number, table, variable

_SERVER = 'job=~"$job",instance=~"$instance"'
_MODEL = f'{_SERVER},model_name=~"$model_name"'
_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}
_EVERY = "[$__rate_interval]"


def _serving(name: str, within: str = _MODEL) -> str:
    return f":tensorflow:serving:{name}{{{within}}}"


def _batching(name: str, more: str = "") -> str:
    return _serving(f"batching_session:{name}", _SERVER + more)


def _tensorflow(name: str, more: str = "") -> str:
    return f":tensorflow:{name}{{{_SERVER}{more}}}"


def _rate(series: str) -> str:
    return f"rate({series}{_EVERY})"


def _quantiles(buckets: str) -> dict[str, str]:
    return {
        label: f"histogram_quantile({quantile}, sum by (le) ({_rate(buckets)})) / 1e6"
        for label, quantile in _QUANTILES.items()
    }


_GOOD = f'{_MODEL},status="OK"'
_ANSWERS = f'{_MODEL},API!=""'  # without status and metadata requests

_NOW = [
    number("Requests a second", "Of all models and outcomes; over REST status and metadata requests as well.", "reqps",
           f"sum({_rate(_serving('request_count'))})"),
    number("Errors", "The part of the requests that failed. Calls that gRPC refuses for lack of threads are not "
           "counted by the server.", "percentunit",
           f"1 - sum({_rate(_serving('request_count', _GOOD))})"
           f" / sum({_rate(_serving('request_count'))})", above={0.001: RED}),
    number("p99", "Of the latency, of answers that were good. Buckets grow by 1.8, so this is no closer than that.",
           "s", _quantiles(_serving("request_latency_bucket", _ANSWERS))["p99"]),
    number("Requests in a batch", "On average, of all models.", "none",
           f"sum({_rate(_batching('queuing_latency_count'))}) / sum({_rate(_batching('processed_batch_size_count'))})"),
    number("Padding", "Part of the rows executed that was padding.", "percentunit",
           f"sum({_rate(_batching('padding_size_sum'))}) / sum({_rate(_batching('processed_batch_size_sum'))})"),
    number("Servers", "Whose page can be scraped.", "none",
           f"count(count by (job, instance) ({_tensorflow('cc:saved_model:load_attempt_count')}))"),
]  # fmt: skip

_REQUESTS = [
    lines("Requests by model and status", "As the server counts them.", "reqps",
          {"{{model_name}} {{status}}": f"sum by (model_name, status) ({_rate(_serving('request_count'))})"}),
    lines("Share of errors", "Of each model's requests; the line is at 0.1 %.", "percentunit",
          {"{{model_name}}": f"model:tf_serving_errors:ratio_rate30s{{{_MODEL}}}"}, limit=0.001),
    lines("Good answers by interface", "Predict and others, by gRPC or REST.", "reqps",
          {"{{entrypoint}} {{API}}":
           f"sum by (entrypoint, API) ({_rate(_serving('request_latency_count', _ANSWERS))})"}, stacked=True),
    lines("Latency", "In the server's handler, of answers that were good: without the network, and without the wait "
          "for a thread.", "s", _quantiles(_serving("request_latency_bucket", _ANSWERS))),
    lines("p99 by model", "Of the latency, over 30 s.", "s",
          {"{{model_name}}": f"model:tf_serving_request_latency_seconds:p99_rate30s{{{_MODEL}}}"}),
    lines("Runtime latency", "Of a call of the session, with its wait for a batch. The rest of the latency is reading "
          "and writing tensors.", "s", _quantiles(_serving("runtime_latency_bucket"))),
    heatmap("Latencies", "How many good answers took how long. A value at a bound is in the bucket above.", "µs",
            f"sum by (le) (increase({_serving('request_latency_bucket', _ANSWERS)}{_EVERY}))", width=24),
]  # fmt: skip

_BATCHES = [
    lines("Queueing", "How long requests waited for their batch, of all models.", "s",
          _quantiles(_batching("queuing_latency_bucket"))),
    lines("Requests and rows in a batch", "On average. Rows are those executed, with padding.", "none",
          {"requests": f"avg(instance:tf_serving_requests_per_batch:mean30s{{{_SERVER}}})",
           "rows": f"sum({_rate(_batching('processed_batch_size_sum'))})"
                   f" / sum({_rate(_batching('processed_batch_size_count'))})"}),
    lines("Padding of executed rows", "Add a size near the usual one to allowed_batch_sizes, or fill the batches.",
          "percentunit", {"{{instance}}": f"instance:tf_serving_padding:ratio_rate30s{{{_SERVER}}}"}),
    lines("Batches by executed size", "Of which size, with padding, how many a second.", "ops",
          {"{{execution_batch_size}} rows":
           f"sum by (execution_batch_size) ({_rate(_batching('padding_size_count'))})"}, stacked=True),
    heatmap("Rows in a batch", "How many batches of which size, with padding. A value at a bound is in the bucket "
            "above: a full batch of 32 below 64.", "short",
            f"sum by (le) (increase({_batching('processed_batch_size_bucket')}{_EVERY}))"),
    heatmap("Rows in a request", "How many input tensors of how many rows came: a request with three inputs counts "
            "three times.", "short", f"sum by (le) (increase({_batching('input_batch_size_bucket')}{_EVERY}))"),
]  # fmt: skip

_EXECUTION = [
    lines("Graph runs", "Runs of a session: batches where there is batching, else requests.", "ops",
          {"{{instance}}": _rate(_tensorflow("core:graph_runs"))}, width=12),
    lines("Time of a graph run", "Mean. What one batch costs.", "s",
          {"{{instance}}": f"{_rate(_tensorflow('core:graph_run_time_usecs'))}"
                           f" / {_rate(_tensorflow('core:graph_runs'))} / 1e6"}, width=12),
]  # fmt: skip

_PATH = "instance, model_path"
_ATTEMPTS = _tensorflow("cc:saved_model:load_attempt_count")
_FAILED = _tensorflow("cc:saved_model:load_attempt_count", ',status="fail"')
_LOADS = [
    table("Loads", "Versions that were loaded since the server started, and how long that took in all.", [
        ("Attempts", "short", f"sum by ({_PATH}) ({_ATTEMPTS})"),
        ("Failed", "short", f"sum by ({_PATH}) ({_FAILED})"),
        ("Time", "s", f"sum by ({_PATH}) ({_tensorflow('cc:saved_model:load_latency')}) / 1e6"),
    ], width=12),
    lines("Loads over time", "A step is a version switch, or a failure.", "short",
          {"{{status}} {{model_path}}":
           f"sum by (model_path, status) ({_ATTEMPTS})"}, width=12),
]  # fmt: skip


def model_server() -> Json:
    """``dashboards/tf_serving.json``."""
    return dashboard(
        "tf-serving",
        "TensorFlow Serving",
        "The model server by its own page, /monitoring/prometheus/metrics on its REST port. The page tells nothing "
        "of CPU and memory. Batch sizes are told from TensorFlow Serving 2.10 on.",
        [
            variable("job", "Job", ":tensorflow:cc:saved_model:load_attempt_count"),
            variable("instance", "Server", ':tensorflow:cc:saved_model:load_attempt_count{job=~"$job"}'),
            variable("model_name", "Model", f":tensorflow:serving:request_count{{{_SERVER}}}"),
        ],
        {
            "Now": _NOW,
            "Requests": _REQUESTS,
            "Batching": _BATCHES,
            "Execution": _EXECUTION,
            "Models": _LOADS,
        },
        [mark("A run began", BLUE, "tfs_locust_run_start_timestamp_seconds")],
    )
