"""What the server's own count says of a run, beside the client's: the sections ``server`` and ``diagnosis``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tfs_locust.judge.batching import Batching, Client, queueing_share
from tfs_locust.judge.diagnosis import diagnose
from tfs_locust.load.advice import Statement
from tfs_locust.load.plan import Plan
from tfs_locust.load.plan_json import as_json
from tfs_locust.measure.cell import Cell
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.view import View
from tfs_locust.report import queries
from tfs_locust.report.queries import Answered
from tfs_locust.tfserving.page_history import PageHistory
from tfs_locust.tfserving.server_metrics import ServerWindow, summed

Section = dict[str, Any]
_SAME_ROWS = 0.02
"""How far the mean rows of a run may be from those of its mix: a run does not end with a whole turn of the pool."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of the servers of a run."""

    histories: Sequence[PageHistory] = ()
    looked_at_s: Sequence[float] = ()
    """Unix time of each look at the pages."""
    asked: bool = False
    """Whether somebody wants to hear of it: a page was named, or how the server batches."""
    plans: Mapping[str, tuple[Plan, tuple[Statement, ...]]] = field(default_factory=dict)
    """By scenario, with what there is to say of each."""
    batching: Batching | None = None
    answers: Sequence[Answered] = ()
    """What a Prometheus had of them."""
    rows: tuple[tuple[int, float], ...] = ()
    """The mix that was asked for, where all scenarios have the same: rows of a request and the share that has them."""
    late_s: float = 0.0
    """How much later than the warm-up's end the first look may have been."""
    apart_s: float = 0.0
    """Of a run that goes on: how far apart in time the last look and the client's count may be."""


def sections(view: View, watched: Watched, *, users: int, started_s: float, timeline: bool = True) -> Section:
    """``server`` and ``diagnosis``, for the report; ``started_s`` is the Unix time at which its timeline begins.

    Without the ``timeline``, which grows with the run, it costs the same at any time.
    """
    models = {key.key.model for key in view.judged()} - {""} or None
    client, ok = _client(view, watched, users)
    seen = [_seen(history, models, ok.count) for history in watched.histories]
    windows = [one for one in seen if one is not None]
    window = summed(windows, window_s=max(one.window_s for one in windows)) if windows else None
    client = replace(
        client, share_seen=_share_seen(watched, window, client), slack=client.slack + _missed(window, client)
    )
    findings = diagnose(window, watched.batching, client)
    return {
        "server": {
            "asked": watched.asked,
            "pages": [
                {
                    "url": one.url,
                    "state": one.state,
                    "reason": one.reason,
                    "looks": len(one.looks),
                    "guessed": one.guessed,
                    "used": counted is not None,
                    "server_predictions": counted and counted.predict_calls,
                }
                for one, counted in zip(watched.histories, seen, strict=True)
            ],
            "window_s": window and window.window_s,
            "batching": _batching(window, watched.batching, client),
            "requests": {
                "server": None if window is None else dict(window.requests),
                "server_predictions": window and window.predict_calls,
                "client": dict(client.outcomes),
                "outside": _outside(view, window, ok),
            },
            "loads": [] if window is None else _loads(window),
            "plans": [{"scenario": name, **as_json(plan, told)} for name, (plan, told) in watched.plans.items()],
            "timeline": _timeline(watched if timeline else replace(watched, looked_at_s=()), models, started_s),
            "queries": queries.section(watched.answers, started_s),
        },
        "diagnosis": [{"id": one.id, "sentence": one.sentence, "evidence": one.evidence} for one in findings],
    }


def _seen(history: PageHistory, models: Collection[str] | None, ok: int) -> ServerWindow | None:
    """What a page counted; None of one that was guessed and counted nothing of this run: it is another server's."""
    window = history.window(models)
    return None if window is not None and history.guessed and ok and window.predict_calls == 0 else window


def _share_seen(watched: Watched, window: ServerWindow | None, client: Client) -> float:
    """Of the run: less than all where a page's first or last look failed."""
    if window is None or not client.window_s or all(one.state != "partly" for one in watched.histories):
        return 1.0
    return min(window.window_s / client.window_s, 1.0)


def _missed(window: ServerWindow | None, client: Client) -> float:
    """About how many calls came before the first look, where that came late."""
    late_s = 0.0 if window is None else max(client.window_s - window.window_s, 0.0)
    return late_s * sum(client.outcomes.values()) / client.window_s if late_s else 0.0


def _outside(view: View, window: ServerWindow | None, ok: Cell) -> int | None:
    """Answers of ours after the warm-up that the servers' window does not hold, or holds too many (below 0)."""
    if window is None or not view.warmup_ns or window.predict_calls is None:
        return None
    return ok.count - window.predict_calls


def _client(view: View, watched: Watched, users: int) -> tuple[Client, Cell]:
    ok, everything = Cell(), Cell()
    outcomes: dict[str, int] = {}
    for key, cell in view.judged().items():
        outcome = key.key.outcome
        if outcome is not Outcome.UNSENT:
            outcomes[outcome.value] = outcomes.get(outcome.value, 0) + cell.count
            everything.merge(cell)
        if outcome is Outcome.OK:
            ok.merge(cell)
    slack = 0.0
    if view.warmup_ns:  # what was in flight at its end, and what came until the first look
        slack = users + watched.late_s * everything.count / max(view.load_ns / 1e9, 1.0)
    slack += watched.apart_s * everything.count / max(view.load_ns / 1e9, 1.0)
    client = Client(
        dict(sorted(outcomes.items())),
        window_s=view.load_ns / 1e9,
        users=None if view.offered else users or None,  # a schedule has as many in flight as it takes
        mean_service_time_s=ok.service.total_ns / ok.count / 1e9 if ok.count else None,
        service_s_total=everything.service.total_ns / 1e9,
        slack=slack,
        rows=watched.rows if _is_mix(watched.rows, everything) else (),
    )
    return client, ok


def _is_mix(rows: tuple[tuple[int, float], ...], everything: Cell) -> bool:
    """Whether the requests had the rows that were asked for: a task of the user's own may send what it likes."""
    asked = sum(number * share for number, share in rows)
    return bool(everything.count) and abs(everything.rows / everything.count - asked) <= _SAME_ROWS * asked


def _batching(window: ServerWindow | None, batching: Batching | None, client: Client) -> Section:
    mean = None if window is None else window.mean_rows_per_batch
    return {
        "mean_rows_per_batch": mean,
        "fill_ratio": None if mean is None or batching is None else mean / batching.largest_batch,
        "padding_ratio": window and window.padding_ratio,
        "requests_per_batch": window and window.requests_per_batch,
        "queueing_share": queueing_share(window, batching, client),
        "executed_batches": window and window.executed_batches,
        "executed_rows": window and window.executed_rows,
        "padding_rows": window and window.padding_rows,
        "queueing_s_total": window and window.queueing_s_total,
        "uncertain": [] if window is None else sorted(window.uncertain),
    }


def _loads(window: ServerWindow) -> list[Section]:
    return [
        {
            "path": one.path,
            "version": one.version,
            "attempts": one.attempts,
            "failures": one.failures,
            "load_s": one.load_s,
        }
        for one in window.loads
    ]


def _timeline(watched: Watched, models: Collection[str] | None, started_s: float) -> Section:
    """Columns of equal length, an entry for each stretch between two looks."""
    times = watched.looked_at_s
    parts: list[ServerWindow | None] = []
    for index in range(len(times) - 1):
        seen = [one for one in (history.part(index, models) for history in watched.histories) if one is not None]
        part = seen[0] if len(seen) == 1 else summed(seen, window_s=times[index + 1] - times[index]) if seen else None
        parts.append(part)
    return {
        "from_s": [round(at_s - started_s, 3) for at_s in times[:-1]],
        "to_s": [round(at_s - started_s, 3) for at_s in times[1:]],
        "predictions": [part and part.predict_calls for part in parts],
        "mean_rows_per_batch": [part and part.mean_rows_per_batch for part in parts],
        "requests_per_batch": [part and part.requests_per_batch for part in parts],
        "padding_ratio": [part and part.padding_ratio for part in parts],
    }


def plots(result: Section) -> Section:
    """What the page draws: each stretch between two looks is a level from its beginning to its end."""
    timeline = result.get("server", {}).get("timeline", {"from_s": [], "to_s": []})
    edges = [at_s for stretch in zip(timeline["from_s"], timeline["to_s"], strict=True) for at_s in stretch]

    def levels(name: str, factor: float = 1) -> list[float | None]:
        return [None if value is None else value * factor for value in timeline.get(name, ()) for _ in range(2)]

    return {
        "second": edges,
        "rows_per_batch": levels("mean_rows_per_batch"),
        "padding_percent": levels("padding_ratio", 100),
        "queries": [
            {"name": one["name"], "second": one["second"], "value": one["value"]}
            for one in result.get("server", {}).get("queries", ())
        ],
    }


def lines(result: Section) -> list[str]:
    """The server in a few lines, for people: what batching did, and what should be changed."""
    server = result.get("server")
    if server is None:
        return []
    told = []
    batching = server["batching"]
    doubtful = any(one["id"] == "no-data" for one in result.get("diagnosis", ()))
    if batching["mean_rows_per_batch"] is not None and (server["asked"] or not doubtful):
        told.append(f"server: {_in_words(batching)}")
    if (outside := server["requests"].get("outside")) and not doubtful:
        more = "more than we counted after it" if outside < 0 else "less than we counted after it"
        told.append(f"server: its window, from about the end of the warm-up on, holds {abs(outside):,} answers {more}")
    told += [one["reason"] for one in server["queries"] if one["reason"]]
    told += [
        f"metrics page {page['url']}: {page['state']}: {why(page)}"
        for page in server["pages"]
        if server["asked"] and page["state"] != "read"
    ]
    return told + [f"! {one['id']}: {one['sentence']}" for one in findings(result)]


def why(page: Section) -> str:
    """Why a page could not be used, without its URL, which the reason may begin with; empty if it could."""
    return str(page["reason"]).removeprefix(f"{page['url']}: ")


def findings(result: Section) -> list[Section]:
    """The diagnosis for people: that nothing is known where nobody asked is left to ``report.json``."""
    asked = result.get("server", {}).get("asked")
    return [one for one in result.get("diagnosis", ()) if asked or one["id"] != "no-data"]


def _in_words(batching: Section) -> str:
    uncertain = batching["uncertain"]

    def doubt(*fields: str) -> str:
        return " (uncertain)" if any(field in uncertain for field in fields) else ""

    rows = doubt("executed_rows", "padding_rows")
    parts = [f"{batching['mean_rows_per_batch']:.3g} rows in a batch{rows}"]
    if batching["fill_ratio"] is not None:
        parts[0] += f" ({batching['fill_ratio']:.0%} full)"
    if batching["requests_per_batch"] is not None:
        parts.append(f"{batching['requests_per_batch']:.3g} requests together")
    if batching["padding_ratio"] is not None:
        parts.append(f"padding {batching['padding_ratio']:.1%}{rows}")
    if batching["queueing_share"] is not None:
        parts.append(f"queueing {batching['queueing_share']:.1%} of the service time")
    return ", ".join(parts)
