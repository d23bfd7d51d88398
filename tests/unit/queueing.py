"""The queue M/D/1 in theory: requests come as a Poisson process, one server, each takes the same time.

Knows nothing of this project. Loads are shares (0.8: the server is busy 80 % of the time); times are in the unit of the
service time.
"""

from __future__ import annotations

import math


def waiting_time_cdf(load: float, time: float, service: float = 1.0) -> float:
    """P(W <= time): the share of requests that wait no longer for their service to begin.

    Erlang's and Crommelin's formula in the form of Franx ("A simple solution for the M/D/c waiting time distribution",
    Operations Research Letters 29, 2001), which for one server is

        P(W <= x) = exp(-l (k D - x)) * sum for j = 0 .. k - 1 of Q[k - 1 - j] (l (k D - x))**j / j!

    with the arrival rate l, (k - 1) D <= x < k D, and Q[m] the probability that at most m requests are waiting. All
    terms are positive, so nothing cancels; the older form alternates and is useless beyond some 20 service times.
    """
    if time < 0:
        return 0.0
    k = math.floor(time / service) + 1
    system = _in_system(load, k + 1)
    waiting, total = [], system[0]
    for m in range(k):  # at most m wait: at most m + 1 are in the system
        total += system[m + 1]
        waiting.append(total)
    mean = load * (k - time / service)
    term, result = math.exp(-mean), 0.0
    for j in range(k):
        result += waiting[k - 1 - j] * term
        term *= mean / (j + 1)
    return min(result, 1.0)


def response_time_quantile(load: float, quantile: float, service: float = 1.0) -> float:
    """The time from arrival to end that this share of requests does not exceed."""
    low, high = 0.0, service
    while waiting_time_cdf(load, high, service) < quantile:
        low, high = high, 2 * high
    while high - low > 1e-9 * service:
        middle = (low + high) / 2
        low, high = (middle, high) if waiting_time_cdf(load, middle, service) < quantile else (low, middle)
    # where more than this share does not wait at all
    return service if waiting_time_cdf(load, 0.0, service) >= quantile else service + high


def capacity(bound: float, quantile: float, service: float = 1.0) -> float:
    """The highest arrival rate at which this quantile of the response time is within the bound."""
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        inside = waiting_time_cdf(middle, bound - service, service) >= quantile
        low, high = (middle, high) if inside else (low, middle)
    return low / service


def _in_system(load: float, most: int) -> list[float]:
    """The probabilities that 0, 1 ... ``most`` requests are in the system.

    Ramaswami's recursion for M/G/1 ("A stable recursion for the steady state vector in Markov chains of M/G/1 type",
    Stochastic Models 4, 1988): sums of positive terms.
    """
    tail = _poisson_tails(load, most + 1)
    found = [1 - load]
    for i in range(1, most + 1):
        total = found[0] * tail[i] + sum(found[j] * tail[i + 1 - j] for j in range(1, i))
        found.append(total / math.exp(-load))
    return found


def _poisson_tails(mean: float, most: int) -> list[float]:
    """P(A >= k) for k = 0 .. ``most`` arrivals in one service time, summed from the small end."""
    terms = [math.exp(-mean)]
    for k in range(1, most + 40):
        terms.append(terms[-1] * mean / k)
    tails, total = [], 0.0
    for term in reversed(terms):
        total += term
        tails.append(total)
    return tails[::-1][: most + 1]
