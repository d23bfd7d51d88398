"""The leading side of the measurement: what workers reported, the verdict at the end, the files written of it."""

from __future__ import annotations

import logging
import os
import platform
import time
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfs_locust.judge.canary import Pair
from tfs_locust.judge.capacity import CapacityRun
from tfs_locust.judge.decide import Judged
from tfs_locust.judge.found import judge_search, search_so_far
from tfs_locust.judge.lifecycle import Lifecycle, look
from tfs_locust.judge.moments import Mark, Poll, remember
from tfs_locust.judge.series import Series
from tfs_locust.judge.slo import Objective
from tfs_locust.judge.verdict import Verdict, hopeless, judge, judge_all
from tfs_locust.measure.aggregate import Aggregate
from tfs_locust.measure.sample import Outcome
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.view import View
from tfs_locust.report import files
from tfs_locust.report.capacity import section as capacity_section
from tfs_locust.report.console import closing_table
from tfs_locust.report.lifecycle import section as lifecycle_section
from tfs_locust.report.markdown import summary
from tfs_locust.report.queries import Answered, series_of
from tfs_locust.report.report import Result, build
from tfs_locust.report.server import Watched, findings
from tfs_locust.report.server import sections as server_sections
from tfs_locust.swarm.server_queries import ask
from tfs_locust.swarm.settings import Settings

if TYPE_CHECKING:
    from tfs_locust.swarm.preparation import Servers

_PACKAGES = ("tfs-locust", "locust", "gevent", "grpcio", "geventhttpclient", "tensorflow-serving-api", "numpy")
_ANEW_NS = 5_000_000_000
"""How often the diagnosis of a run is made anew where no page tells when."""
_UNDER_WAY = "the run was still under way when this report of it was made"
_logger = logging.getLogger(__name__)


class Judgement:
    """One run, as the leading process knows it."""

    def __init__(self, run_id: str, settings: Settings, objectives: tuple[Objective, ...]) -> None:
        self.run_id = run_id
        self.objectives = objectives
        self.aggregate = Aggregate()
        self.aborted = ""
        self.hopeless = False
        """It was ended because objectives are surely broken."""
        self.not_put_back: list[str] = []
        """What the run has changed and could not take back, with what is to be done by hand."""
        self.search: CapacityRun | None = None
        """Where capacity was searched, once that is over."""
        self.result: Result | None = None
        self.verdict: Verdict | None = None
        self.servers: Servers | None = None
        self.load_ended_s: float | None = None
        """Unix time at which users were told to stop."""
        self.warm_at_s: float | None = None
        """When the warm-up of the last worker is over, by ``time.perf_counter``. None: no worker has said."""
        self.first_warm_at_s: float | None = None
        """The same, as it was first known: workers that come later do not put it off."""
        self.refused = False
        """It was ended because a process could not start it, or go on."""
        self.unwritten = False
        """A report was asked for and could not be written."""
        self.marks: list[Mark] = []
        """What was done to the server."""
        self.polls: list[Poll] = []
        """What it said of its versions."""
        self.pairs: list[Pair] | None = None
        """Versions to compare. None: of each model the two that served side by side."""
        self.steered: set[str] = set()
        """Models whose versions the client chooses."""
        self._began_ns = time.perf_counter_ns()
        self.zero_ns: int | None = None
        """When the first of the clocks began that answers are measured by, as near as reports tell; on our own."""
        self._settings = settings
        self.ended_s: float | None = None
        """Unix time at which the result was there."""
        self._started = datetime.now(timezone.utc)
        self._last_view: View | None = None
        """What the result was made of: what is heard later does not change it any more."""
        self._sections: tuple[int, dict[str, Any]] | None = None
        """With the number of looks at the servers' pages they were made of."""

    @property
    def started_s(self) -> float:
        """Unix time at which the run began."""
        return self._started.timestamp()

    def accept(self, report: dict[str, Any]) -> None:
        """Take a report; one of an earlier run is put aside."""
        if report.get("run") == self.run_id:
            snapshot = Snapshot.from_wire(report["snapshot"])
            self.aggregate.accept(snapshot, time.monotonic_ns())
            zero_ns = time.perf_counter_ns() - snapshot.now_ns  # a report that is late is so by its way here
            self.zero_ns = zero_ns if self.zero_ns is None else min(zero_ns, self.zero_ns)
            warm_at_s = time.perf_counter() + (snapshot.warmup_ns - snapshot.now_ns) / 1e9
            self.warm_at_s = max(self.warm_at_s or warm_at_s, warm_at_s)
            self.first_warm_at_s = self.first_warm_at_s or warm_at_s

    def mark(
        self, kind: str, text: str = "", *, model: str = "", version: str = "", timeout_s: float | None = None
    ) -> None:
        """Something is done to the server, now."""
        self.marks.append(Mark(time.perf_counter_ns() - self._began_ns, kind, text, model, version, timeout_s))

    def heard_of(self, model: str, states: dict[str, str], errors: dict[str, str]) -> None:
        """The server has said, just now, which state each version of a model is in, and what went wrong."""
        remember(self.polls, Poll(time.perf_counter_ns() - self._began_ns, model, states, errors))

    def lifecycle(self, view: View) -> Lifecycle:
        """What became of versions and outages, of a view with its timeline."""
        confidence = self._settings.confidence
        # a worker's clock begins with its run, which on a busy machine is seconds after ours
        ahead_ns = 0 if self.zero_ns is None else max(0, self.zero_ns - self._began_ns)
        return look(
            view,
            marks=[replace(one, at_ns=one.at_ns - ahead_ns) for one in self.marks],
            polls=[replace(one, at_ns=one.at_ns - ahead_ns) for one in self.polls],
            objectives=self.objectives,
            pairs=self.pairs,
            steered=self.steered,
            confidence=confidence,
        )

    def waiting_for(self) -> list[str]:
        """Workers whose last report is not in and may still come."""
        return [] if self._last_view is not None else self.aggregate.waiting_for()

    def view(self, *, timeline: bool = True) -> View:
        """How things stand, or stood when the result was made."""
        if self._last_view is not None:
            return self._last_view
        return self.aggregate.view(time.monotonic_ns(), timeline=timeline)

    def surely_broken(self, view: View) -> list[str]:
        """Objectives that the run has broken whatever comes."""
        return [one.objective.expression for one in hopeless(view, self.objectives, self._settings.confidence)]

    def objectives_so_far(self, view: View) -> tuple[Judged, ...]:
        """What is known of each objective; none in a search, which judges its levels and not the run."""
        if self._settings.find_capacity:
            return ()
        return judge_all(view, self.objectives, self._settings.confidence)

    @property
    def searches(self) -> bool:
        """Whether capacity is searched."""
        return self._settings.find_capacity

    def so_far(self, view: View, *, aborted: str = "", lifecycle: Lifecycle | None = None) -> Verdict:
        """The verdict if the run ended now and all in flight were told."""
        confidence, limits = self._settings.confidence, self._settings.limits
        if self.searches:
            return search_so_far(view, confidence=confidence, limits=limits, aborted=aborted)
        later = {query.name: Series(reason="asked for when the run has ended") for query in self._settings.queries}
        return judge(
            view,
            self.objectives,
            confidence=confidence,
            limits=limits,
            aborted=aborted,
            series=later,
            lifecycle=lifecycle,
            ended=False,
        )

    def sections(self, view: View, *, users: int) -> dict[str, Any]:
        """What the servers' pages say of the run so far, without a timeline; made anew with each look at them."""
        if self.result is not None:
            return self.result
        if self.servers is None:
            return {}
        watched = self._watched_so_far(self.servers)
        looks = len(watched.looked_at_s) if watched.histories else view.load_ns // _ANEW_NS
        if self._sections is None or looks != self._sections[0]:
            made = server_sections(view, watched, users=users, started_s=self.started_s, timeline=False)
            self._sections = looks, made
        return self._sections[1]

    def _watched_so_far(self, servers: Servers) -> Watched:
        watched = servers.watched()
        if not watched.looked_at_s:
            return watched
        # twice, for the load may have grown meanwhile; and workers tell of theirs later
        return replace(watched, apart_s=2 * (time.time() - watched.looked_at_s[-1] + watched.late_s))

    def result_so_far(self, options: dict[str, Any], hosts: list[str], users: int) -> Result:
        """The result. Of a run that goes on, what there is of it: never a PASS or FAIL, and its end is None."""
        if self.result is not None:
            return self.result
        view = self.view()
        lifecycle = self.lifecycle(view)
        verdict = self.so_far(view, aborted=_UNDER_WAY, lifecycle=lifecycle)
        manifest = {**self._manifest(options, hosts, users), "ended": None}
        watched = Watched() if self.servers is None else self._watched_so_far(self.servers)
        sections = server_sections(view, watched, users=users, started_s=self.started_s)
        return build(view, verdict, manifest, {"lifecycle": lifecycle_section(view, lifecycle), **sections})

    def failures(self) -> int:
        """Requests that did not end well, the warm-up's among them."""
        return self.view().select(lambda key: key.key.outcome is not Outcome.OK).count

    def conclude(self, options: dict[str, Any], hosts: list[str], users: int) -> Result:
        """Judge, once; write the report where one is asked for."""
        if self.result is None:
            # from here on nothing is shown that is not in the report, whoever still reports
            view = self._last_view = self.view()
            watched = Watched() if self.servers is None else self.servers.watched()
            watched = replace(watched, answers=self._ask(view))
            lifecycle = self.lifecycle(view)
            sections = {
                "lifecycle": lifecycle_section(view, lifecycle),
                **server_sections(view, watched, users=users, started_s=self.started_s),
            }
            self.verdict = self._judge(view, sections, lifecycle)
            self.ended_s = time.time()
            self.result = build(view, self.verdict, self._manifest(options, hosts, users), sections)
            for finding in findings(self.result):
                _logger.warning("%s: %s", finding["id"], finding["sentence"])
            if self._settings.report is not None:
                self._write(self._settings.report, self.result)
        return self.result

    def _judge(self, view: View, sections: dict[str, Any], lifecycle: Lifecycle) -> Verdict:
        confidence, limits = self._settings.confidence, self._settings.limits
        if self.search is not None and self.search.answer is not None:
            answer = self.search.answer
            sections["capacity"] = capacity_section(answer, self.search.search.chosen)
            return judge_search(view, answer, confidence=confidence, limits=limits, aborted=self.aborted)
        return judge(
            view,
            self.objectives,
            confidence=confidence,
            limits=limits,
            aborted=self.aborted,
            series=series_of(sections),
            lifecycle=lifecycle,
        )

    def _ask(self, view: View) -> list[Answered]:
        """What a Prometheus has of the servers, over the time in which load was on."""
        if self._settings.prometheus is None or not self._settings.queries:
            return []
        end_s = self.load_ended_s or time.time()
        start_s = end_s - view.load_ns / 1e9
        return ask(self._settings.prometheus, self._settings.queries, start_s=start_s, end_s=end_s)

    def _write(self, folder: Path, result: Result) -> None:
        try:
            files.write(folder, result)
        except OSError as error:  # it could be written to before the run
            self.unwritten = True
            _logger.error("the report was not written to %s: %s", folder, error)  # noqa: TRY400 - it is no bug
        else:
            _logger.info("report written to %s", folder)

    def table(self) -> str:
        """What the console ends with."""
        if self.result is None:
            return ""
        faults = [f"NOT PUT BACK: {one}: exit code 3\n" for one in self.not_put_back]
        faults += ["the report could not be written: exit code 3\n"] * self.unwritten
        return (summary if self._settings.markdown else closing_table)(self.result) + "".join(faults)

    def _manifest(self, options: dict[str, Any], hosts: list[str], users: int) -> dict[str, Any]:
        return {
            "title": "TensorFlow Serving load test",
            "started": self._started.isoformat(timespec="seconds"),
            "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "hosts": hosts,
            "users": users,
            "options": options,
            "seed": self._settings.seed,
            "versions": {"python": platform.python_version(), **{name: version_of(name) for name in _PACKAGES}},
            "machine": {"name": platform.node(), "system": platform.platform(), "cores": os.cpu_count()},
        }


def version_of(package: str) -> str:
    """``?`` where it is not installed but run from its folder."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"
