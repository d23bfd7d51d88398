"""Samples and durations for tests, made by hand and by hypothesis."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tfs_locust.measure.sample import Key, Outcome, Sample
from tfs_locust.measure.snapshot import Snapshot
from tfs_locust.measure.tally import Tally

MS = 1_000_000
SECOND = 1_000_000_000

# evenly over the magnitudes, not over the numbers: half of all numbers up to an hour are above half an hour
durations = st.one_of(
    st.integers(1_000, 3_600 * SECOND),
    st.integers(1, 9_999).flatmap(lambda n: st.integers(0, 8).map(lambda k: max(1_000, n * 10**k))),
    st.floats(3, 12.55).map(lambda power: int(10**power)),
)


def sample(
    response_ns: int,
    *,
    outcome: Outcome = Outcome.OK,
    due_ns: int = 0,
    lag_ns: int = 0,
    rows: int = 1,
    protocol: str = "grpc",
    model: str = "resnet",
    version: str = "1",
    scenario: str = "ResNet",
) -> Sample:
    """One sample that answered ``response_ns`` after it was due, and was sent ``lag_ns`` late."""
    key = Key(scenario, protocol, model, version, outcome)
    return Sample(key, due_ns, due_ns + lag_ns, due_ns + response_ns, rows, 100, 50)


keys = st.builds(
    Key,
    st.sampled_from(["A", "B"]),
    st.sampled_from(["grpc", "rest"]),
    st.sampled_from(["m", "n"]),
    st.sampled_from(["", "1", "2"]),
    st.sampled_from([Outcome.OK, Outcome.OK, Outcome.UNAVAILABLE, Outcome.UNSENT]),
)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Any sample of a run of ten seconds."""
    due_ns = draw(st.integers(0, 10 * SECOND))
    lag_ns = draw(st.integers(0, SECOND))
    service_ns = draw(durations)
    key = draw(keys)
    if key.outcome is Outcome.UNSENT:
        service_ns = 0
    sent_ns = due_ns + lag_ns
    return Sample(key, due_ns, sent_ns, sent_ns + service_ns, draw(st.integers(1, 64)), 100, 50)


def told(tally: Tally, now_ns: int = 0, *, final: bool = False, changes_only: bool = True) -> Snapshot:
    """A snapshot as it comes off the wire."""
    return Snapshot.from_wire(
        json.loads(json.dumps(tally.snapshot(now_ns, final=final, changes_only=changes_only).to_wire()))
    )
