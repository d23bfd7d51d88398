"""How requests arrive: what can be said, what is refused, and that a value says itself."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfs_locust.load.arrival import Arrival, ArrivalError, closed, constant, parse_arrival, poisson, trace
from tfs_locust.load.trace import Extent


def test_what_can_be_said(tmp_path: Path) -> None:
    """Texts and constructors give the same; a text is given back by str()."""
    file = tmp_path / "due.txt"
    file.write_text("0\n0.5\n")
    for text, arrival in (
        ("closed", closed()),
        ("constant", constant()),
        ("poisson", poisson()),
        ("constant:50", constant(rate=50)),
        ("poisson:0.1", poisson(rate=0.1)),
        (f"trace:{file}", trace(file)),
    ):
        assert parse_arrival(f" {text} ") == arrival
        assert str(arrival) == text
    assert (closed().is_open, constant().is_open, trace(file).is_open) == (False, True, True)
    assert trace(file) == Arrival("trace", None, str(file), Extent(2, 500_000_000))
    assert hash(poisson(3)) == hash(poisson(3.0))


@given(st.floats(1e-6, 1e9))
def test_a_rate_is_taken_to_the_millionth(rate: float) -> None:
    """And its text has all of it."""
    arrival = poisson(rate=rate)
    assert arrival.rate == pytest.approx(rate, abs=0.51e-6)
    assert parse_arrival(str(arrival)) == arrival


@pytest.mark.parametrize("text", ["", "open", "Poisson", "closed:5", "closed:", "constant:", "trace", "trace:", "50"])
def test_other_kinds(text: str) -> None:
    """Says what was given and all there is."""
    with pytest.raises(ArrivalError) as caught:
        parse_arrival(text)
    assert str(caught.value) == (
        f"{text!r}: expected closed, constant, poisson, constant:RATE or poisson:RATE with requests per second, "
        "or trace:FILE"
    )


def test_rates_that_are_none() -> None:
    """Neither words nor what is not above zero and finite."""
    with pytest.raises(ArrivalError, match=r"^'poisson:fast': 'fast' is no rate; expected closed, constant"):
        parse_arrival("poisson:fast")
    wrong: list[Any] = [0, -1.5, math.inf, math.nan, 2e9, 1e-7, "50", None]
    for rate in wrong[:-1]:
        with pytest.raises(ArrivalError, match=rf"^rate {rate!r}: expected requests per second"):
            constant(rate=rate)
    with pytest.raises(ArrivalError, match=r"^rate nan: expected requests per second, from 0 to 1000000000$"):
        parse_arrival("poisson:nan")


def test_traces_that_cannot_be_read(tmp_path: Path) -> None:
    """The file, and its lines."""
    with pytest.raises(ArrivalError, match=r"^trace '.*/nowhere': cannot be read: No such file or directory$"):
        parse_arrival(f"trace:{tmp_path / 'nowhere'}")
    (tmp_path / "due.csv").write_text("time,rows\n1,x\n0.5,x\n")
    with pytest.raises(ArrivalError, match=r"^trace '.*/due.csv': line 3: '0.5' is earlier than the time before it; "):
        trace(tmp_path / "due.csv")


@pytest.mark.parametrize("module", ["schedule", "profile_kinds"])
def test_stands_alone(module: str) -> None:
    """When requests are due is computed without Locust, gevent, gRPC and protobuf."""
    code = f"""
import sys, tfs_locust.load.{module}
print([name for name in ("locust", "gevent", "grpc", "google.protobuf") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
