"""A worker's samples, counted: one cell for each key and phase, a timeline, and how well the generator kept up.

Beside the counts it keeps a few moments exactly, see :mod:`tfs_locust.measure.tracks`.

Pure: all times are given. ``record`` is on the path of every request; it costs about a microsecond.
"""

from __future__ import annotations

from dataclasses import replace

from tfs_locust.measure.cell import DRAIN, RUN, WARMUP, Cell, CellKey
from tfs_locust.measure.coarse import FINE_S, put_together, step_of
from tfs_locust.measure.paired import Paired, PairedKey
from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.snapshot import Health, Snapshot
from tfs_locust.measure.stint import SILENCE_NS, StintKey
from tfs_locust.measure.timeline import Second
from tfs_locust.measure.tracks import Place, Tracks

_SECOND_NS = 1_000_000_000


class Tally:
    """What one worker process has measured since the run's start. Not locked: greenlets of one thread share it."""

    def __init__(
        self, worker: str, incarnation: int, *, origin_ns: int, warmup_ns: int = 0, fine_s: int = FINE_S
    ) -> None:
        """``origin_ns`` is the run's start on the clock of the samples; ``warmup_ns`` the length of the warm-up.
        ``fine_s`` is for how long the timeline keeps each second: a run of many hours may want less."""
        self.worker = worker
        self.incarnation = incarnation
        self.origin_ns = origin_ns
        self.warmup_ns = warmup_ns
        self.started = 0
        """Requests handed to a transport: whoever hands one over adds 1 here first, and records its sample later."""
        self.finished = 0
        self.offered = 0
        """Requests that schedules had due, sent or not."""
        self.offered_apart = 0
        """Of these, those of schedules that users have for themselves: nobody else counts them."""
        self.checked = 0
        """Answers that were decoded and compared with what is expected."""
        self.peers: dict[str, int] = {}
        """Answers by the address that gave them."""
        self.pairs: dict[PairedKey, Paired] = {}
        """What is compared pair by pair, after the warm-up."""
        self.health = Health()
        self.cells: dict[CellKey, Cell] = {}
        self.seconds: dict[int, Second] = {}
        self.tracks = Tracks()
        self._run_from_ns = origin_ns + warmup_ns
        self._load_ended_ns: int | None = None
        self._on_time = 0
        """Requests without any send lag, which are all of a closed loop: in the histogram they are put at once."""
        self._places: dict[tuple[Key, str], Place] = {}
        self._last_key: Key | None = None
        self._last_phase = ""
        self._last_place: Place
        self._fine_s = fine_s
        self._put_together_s = 0
        self._sequence = 0
        self._reported_cells: dict[CellKey, int] = {}
        self._reported_seconds: dict[int, tuple[int, int]] = {}
        self._reported_stints: dict[StintKey, int] = {}

    @property
    def run_from_ns(self) -> int:
        """When the warm-up is over."""
        return self._run_from_ns

    @property
    def in_flight(self) -> int:
        """Requests handed to a transport that have not ended."""
        return self.started - self.finished

    def start_load(self, at_ns: int) -> None:
        """Load begins at this time, later than the run, and the warm-up with it. Before any request is recorded."""
        self._run_from_ns = at_ns + self.warmup_ns

    def end_load(self, now_ns: int) -> None:
        """From now on no request is due; what still comes is the drain. The first call counts."""
        if self._load_ended_ns is None:
            self._load_ended_ns = now_ns

    def phase_of(self, due_ns: int, end_ns: int) -> str:
        """The phase that the run's clock gives a request."""
        if due_ns < self._run_from_ns:
            return WARMUP
        if self._load_ended_ns is not None and end_ns > self._load_ended_ns:
            return DRAIN
        return RUN

    def phase_of_second(self, first: Sample) -> str | None:
        """The phase of what follows ``first`` in a pair: the warm-up's, if that one is in it; None: its own."""
        return WARMUP if first.due_ns < self._run_from_ns else None

    def record(self, sample: Sample, phase: str | None = None, lag_ns: int | None = None) -> None:
        """Count one sample, in the phase given or else in the one its times say.

        ``lag_ns`` is how late the generator came to it; without it that is from due to sent. (An engine may have to
        wait between for the server, for a connection or a free stream: that is no lag of the generator's.)

        An :attr:`Outcome.UNSENT` sample is one that was never started: its ``sent_ns`` is its ``end_ns``, the time when
        it was given up.
        """
        key, due_ns, sent_ns, end_ns, rows, request_bytes, response_bytes = sample
        if phase is None:
            # as phase_of, without the cost of a call
            phase = (
                RUN if self._load_ended_ns is None and due_ns >= self._run_from_ns else self.phase_of(due_ns, end_ns)
            )
        if key is self._last_key and phase is self._last_phase:  # mostly so, and cheaper than to look it up
            place = self._last_place
        else:
            try:
                place = self._places[key, phase]
            except KeyError:
                cell = self.cells[CellKey(key, phase)] = Cell()
                place = self._places[key, phase] = self.tracks.place(key, cell)
            self._last_key, self._last_phase, self._last_place = key, phase, place
        cell, track = place.cell, place.track
        response_ns = end_ns - due_ns
        cell.count += 1
        cell.rows += rows
        cell.request_bytes += request_bytes
        cell.response_bytes += response_bytes
        cell.response.record(response_ns)
        cell.service.record(end_ns - sent_ns)

        at_ns = end_ns - self.origin_ns
        second = self.seconds.get(at_ns // _SECOND_NS)
        if second is None:
            second = self._second(at_ns)
        if track is not None:  # it ended well
            second.record_ok(response_ns, rows)
            second.answers[track.name] = second.answers.get(track.name, 0) + 1
            stint = track.stint
            if track.settled and 0 <= at_ns - stint.last_ns <= SILENCE_NS:  # without the cost of a call
                stint.answers += 1
                stint.last_ns = at_ns
            else:
                track.record(at_ns, response_ns)
            if self.tracks.failing and (place.flow.is_failing or self.tracks.all.is_failing):
                self.tracks.recover(place.flow, at_ns)
        else:
            second.record_failure()
            if key.outcome is Outcome.UNSENT:
                return
            self.tracks.fail(place, sent_ns - self.origin_ns, at_ns)
        self.finished += 1
        if phase != WARMUP:
            if lag_ns == 0:
                self._on_time += 1
            else:
                self.health.send_lag.record(sent_ns - due_ns if lag_ns is None else lag_ns)

    def record_pair(self, key: PairedKey, own: Sample, other: Sample) -> None:
        """Count two requests with the same inputs, each of them recorded already; no pair that began in the warm-up."""
        if min(own.due_ns, other.due_ns) < self._run_from_ns:
            return
        paired = self.pairs.get(key)
        if paired is None:
            paired = self.pairs[key] = Paired()
        paired.record(own, other)

    def record_users(self, now_ns: int, users: int) -> None:
        """How many users this worker runs at this time; to be called about once a second."""
        self._second(now_ns - self.origin_ns).users = users

    def _second(self, at_ns: int) -> Second:
        """The second of the timeline, or the step that it was put into."""
        number = at_ns // _SECOND_NS
        return self.seconds.setdefault(step_of(self.seconds, number), Second())

    def snapshot(self, now_ns: int, *, final: bool = False, changes_only: bool = False) -> Snapshot:
        """How things stand, with the next sequence number.

        ``changes_only`` leaves out the cells and seconds that are as the snapshot before told them: a live report's
        size then depends on what happened since, not on the run's length. The cells in it are the tally's own: put the
        snapshot on the wire before recording goes on.
        """
        self._sequence += 1
        self._put_together((now_ns - self.origin_ns) // _SECOND_NS)
        cells, seconds, stints = self.cells, self.seconds, self.tracks.stints()
        if changes_only and not final:
            # every record raises a count; users are set, so they are compared themselves
            cells = {key: cell for key, cell in cells.items() if cell.count != self._reported_cells.get(key)}
            seconds = {
                number: second
                for number, second in seconds.items()
                if (second.count, second.users) != self._reported_seconds.get(number)
            }
            stints = {key: stint for key, stint in stints.items() if stint.answers != self._reported_stints.get(key)}
        self._reported_stints.update((key, stint.answers) for key, stint in stints.items())
        self._reported_cells.update((key, cell.count) for key, cell in cells.items())
        self._reported_seconds.update((number, (second.count, second.users)) for number, second in seconds.items())
        return replace(self.look(now_ns), final=final, cells=cells, seconds=seconds, stints=stints)

    def _put_together(self, now_s: int) -> None:
        """Keep the timeline bounded; at most once in ten seconds there is something to do."""
        for number in put_together(self.seconds, self._put_together_s, now_s, self._fine_s):
            self._reported_seconds.pop(number, None)
        self._put_together_s = max(now_s, self._put_together_s)

    def look(self, now_ns: int) -> Snapshot:
        """How things stand, for this process's own use: what reports leave out or tell is not changed by it."""
        self.health.send_lag.record(0, self._on_time)
        self._on_time = 0
        ended_ns = now_ns if self._load_ended_ns is None else self._load_ended_ns
        return Snapshot(
            worker=self.worker,
            incarnation=self.incarnation,
            sequence=self._sequence,
            final=False,
            now_ns=now_ns - self.origin_ns,
            warmup_ns=self._run_from_ns - self.origin_ns if self.warmup_ns else 0,
            load_ns=max(0, ended_ns - self._run_from_ns),
            run_from_ns=self._run_from_ns - self.origin_ns,
            started=self.started,
            finished=self.finished,
            offered=self.offered,
            offered_apart=self.offered_apart,
            health=self.health.copy(),
            cells=self.cells,
            seconds=self.seconds,
            checked=self.checked,
            peers=self.peers,
            pairs=self.pairs,
            stints=self.tracks.stints(),
            spells=self.tracks.spells(),
        )


def unsent(key: Key, due_ns: int, now_ns: int, rows: int) -> Sample:
    """The sample of a request that was due and is given up without having been sent."""
    return Sample(key._replace(outcome=Outcome.UNSENT), due_ns, now_ns, now_ns, rows, 0, 0)
