"""What was done is taken back once, the newest first, whatever fails."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.change.change import ChangeError
from tfs_locust.change.command import Command
from tfs_locust.change.ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Noted(Command):
    """Notes when it is taken back, and may fail then."""

    undone: list[str]
    fails: bool = False

    def undo(self) -> None:
        self.undone.append(self.command)
        if self.fails:
            raise ChangeError("it is stuck")


def _change(name: str, undone: list[str], *, fails: bool = False) -> _Noted:
    return _Noted("command", name, f"un{name}", 1.0, undone, fails)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12), st.data())
def test_each_change_is_taken_back_once(made: list[tuple[bool, bool]], data: st.DataObject) -> None:
    """Some early, the rest at the end in reverse order; failures keep nobody from the next, and are told with a way."""
    undone: list[str] = []
    ledger, open_ = Ledger(), []
    changes = [_change(str(number), undone, fails=fails) for number, (fails, _) in enumerate(made)]
    early = []
    for change, (_, take_one_back) in zip(changes, made, strict=True):
        ledger.enter(change)
        open_.append(change)
        if take_one_back:
            chosen = data.draw(st.sampled_from(open_))
            open_.remove(chosen)
            early.append(chosen.command)
            if chosen.fails:
                with pytest.raises(ChangeError, match="it is stuck"):
                    ledger.take_back(chosen)
            else:
                ledger.take_back(chosen)
            ledger.take_back(chosen)
    said: list[str] = []
    ledger.take_all_back(said.append)
    ledger.take_all_back(said.append)
    assert undone == [*early, *(change.command for change in reversed(open_))]
    assert said == [f"run 'un{change.command}'" for change in reversed(open_)]
    assert len(ledger) == 0
    fail = {change.command for change in changes if change.fails}
    assert ledger.not_put_back == [
        f"could not run 'un{name}': it is stuck; by hand: run 'un{name}'" for name in undone if name in fail
    ]
