"""The theory that measurements are held against is itself held against a simulation."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from tests.unit.queueing import capacity, response_time_quantile, waiting_time_cdf


def waits(load: float, requests: int = 2_000_000) -> np.ndarray:
    """Waiting times of M/D/1 by Lindley's recursion, in service times; the first tenth is left out."""
    arrivals = np.cumsum(np.random.default_rng(7).exponential(1 / load, requests))
    work = np.arange(requests, dtype=float)
    begins = np.maximum.accumulate(arrivals - work) + work
    return (begins - arrivals)[requests // 10 :]


@pytest.mark.parametrize("load", [0.5, 0.8, 0.95])
def test_theory_and_simulation_agree(load: float) -> None:
    """p50 and p99 of the response time within 4 %, and the distribution at many points within 0.01."""
    simulated = waits(load)
    for quantile in (0.5, 0.99):
        theory = response_time_quantile(load, quantile)
        assert theory == pytest.approx(1 + float(np.quantile(simulated, quantile)), rel=0.04)
    for time in (0.0, 0.3, 1.0, 2.5, 7.9, 20.0):
        assert waiting_time_cdf(load, time) == pytest.approx(float(np.mean(simulated <= time + 1e-9)), abs=0.01)


def by_erlang(load: float, time: float) -> float:
    """The older, alternating form, with digits enough for its cancellation."""
    with localcontext() as context:
        context.prec = 120
        rho, t = Decimal(load), Decimal(time)
        terms = (
            (rho * (t - k)).exp() * (-rho * (t - k)) ** k / math.factorial(k) if k else (rho * t).exp()
            for k in range(math.floor(time) + 1)
        )
        return float((1 - rho) * sum(terms))


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8, 0.95, 0.99])
def test_the_stable_form_is_the_exact_one(load: float) -> None:
    """Erlang's formula, evaluated with 120 digits, gives the same, also where doubles would long have failed it."""
    for time in (0.0, 0.25, 1.0, 3.75, 20.5, 60.25):
        assert waiting_time_cdf(load, time) == pytest.approx(by_erlang(load, time), rel=1e-9)


def test_the_mean_wait() -> None:
    """Pollaczek and Khinchin: load / (2 (1 - load)) service times."""
    for load in (0.3, 0.8):
        step = 0.01
        mean = sum(1 - waiting_time_cdf(load, (i + 0.5) * step) for i in range(6_000)) * step
        assert mean == pytest.approx(load / (2 * (1 - load)), rel=0.005)


def test_capacity_is_the_inverse() -> None:
    """At the capacity the quantile is the bound."""
    rate = capacity(0.1, 0.99, service=0.001)
    assert math.isclose(response_time_quantile(rate * 0.001, 0.99, service=0.001), 0.1, rel_tol=0.01)
