"""What the bench reads of the clients' own reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers import IN_C, PLAIN, SETTLING_S, WIRE, Claim, Load, NoClaim, peers
from bench.workload import small

LOAD = Load(users=100, payload=small("grpc"), seconds=4)


def test_h2load_counts_what_succeeded(tmp_path: Path) -> None:
    """Over the time after its warm-up."""
    output = (
        "finished in 4.00s\nrequests: 310 total, 310 started, 305 done, 300 succeeded, 5 failed, 3 errored, 2 timeout"
    )
    assert IN_C["grpc"].claim(LOAD, tmp_path, output) == Claim(300, 10, 300 / (4 - SETTLING_S))


def test_wrk_counts_over_its_own_time(tmp_path: Path) -> None:
    """As our script has it write."""
    assert IN_C["rest"].claim(LOAD, tmp_path, "counted 1000 in 2000000 us, 3 failed") == Claim(1000, 3, 500)


def test_locust_counts_by_whole_seconds(tmp_path: Path) -> None:
    """Its rate leaves out the seconds in which it starts, and the last, which is cut."""
    seconds = {"100": 5, "101": 50, "102": 100, "103": 110, "104": 20}
    row = {"num_requests": 285, "num_failures": 5, "num_reqs_per_sec": seconds}
    (tmp_path / "stats.json").write_text(json.dumps([row]))
    assert PLAIN["grpc"].claim(LOAD, tmp_path, "") == Claim(280, 5, 105)


def test_ours_counts_the_warm_up_too(tmp_path: Path) -> None:
    """All that the server must have answered; the rate is of the time after."""
    result = {
        "totals": {"ok": 300, "failed": 1},
        "warmup": {"ok": 100, "failed": 2},
        "throughput": {"requests_per_s": 99.5},
    }
    (tmp_path / "report.json").write_text(json.dumps(result))
    assert WIRE["grpc"].claim(LOAD, tmp_path, "") == Claim(400, 3, 99.5)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_client_that_told_nothing(protocol: str, tmp_path: Path) -> None:
    """Its last words are the reason."""
    for peer in peers(protocol):
        with pytest.raises(NoClaim, match="cannot connect"):
            peer.claim(LOAD, tmp_path, "starting\ncannot connect\n\n")


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_all_are_given_the_same_load(protocol: str, tmp_path: Path) -> None:
    """Users, server and time are in every command."""
    for peer in peers(protocol):
        arguments = " ".join(peer.command(LOAD, 12345, tmp_path).arguments)
        assert "127.0.0.1:12345" in arguments, peer.name
        assert "100" in arguments, peer.name
