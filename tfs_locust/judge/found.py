"""The verdict on a run that searched for capacity: it is that on the search, if all that was measured is there."""

from __future__ import annotations

from dataclasses import replace

from tfs_locust.judge.answer import Answer
from tfs_locust.judge.verdict import Limits, State, Verdict, judge
from tfs_locust.measure.view import View

_NO_LIMITS = Limits(send_lag_s=None, loop_lag_s=None, cpu_share=None, throttled_share=None, unsent_share=None)
"""Each level was held against the limits by itself, and beyond capacity none need be kept."""


def search_so_far(view: View, *, confidence: float, limits: Limits, aborted: str = "") -> Verdict:
    """What speaks against a search that goes on; what it found it tells at its end."""
    whole = judge(view, (), confidence=confidence, limits=_NO_LIMITS, aborted=aborted, ended=False)
    return replace(whole, limits=limits)


def judge_search(view: View, answer: Answer, *, confidence: float, limits: Limits, aborted: str = "") -> Verdict:
    """PASS where the capacity was found and confirmed, FAIL where no load keeps to the objectives, else INVALID."""
    whole = judge(view, (), confidence=confidence, limits=_NO_LIMITS, aborted=aborted)
    state = State.INVALID if whole.reasons else answer.state
    told = () if state is State.PASS else (f"capacity: {answer.sentence}",)
    return Verdict(state, (*whole.reasons, *told), (), confidence, limits, aborted)
