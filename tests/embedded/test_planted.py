"""The flags that plant something: what they mean for which version, and every mistake in them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tfs_locust.embedded.flags import Flags
from tfs_locust.embedded.planted import Cold, Delay, Errors, Planted, planted_at, read_planted
from tfs_locust.embedded.status import Code


def test_nothing_is_planted() -> None:
    """Unless somebody asks for it."""
    assert read_planted(Flags()) == (Planted({}, {}, {}, {}, 0), [])


def test_all_of_it() -> None:
    """Times are milliseconds; a share is a number or per cent; errors without a status are INTERNAL."""
    flags = Flags(
        simulate_delay_ms="m=20,n=5+0.5",
        simulate_load_ms="m/2=3000",
        simulate_cold_ms="m/2=50x20",
        simulate_errors="m/2=2%,n=0.001:UNAVAILABLE,o=1",
        simulate_seed=7,
    )
    assert read_planted(flags) == (
        Planted(
            delays={"m": Delay(0.02, 0), "n": Delay(0.005, 0.0005)},
            loads_s={"m/2": 3.0},
            colds={"m/2": Cold(0.05, 20)},
            errors={
                "m/2": Errors(Fraction(1, 50), Code.INTERNAL),
                "n": Errors(Fraction(1, 1000), Code.UNAVAILABLE),
                "o": Errors(Fraction(1), Code.INTERNAL),
            },
            seed=7,
        ),
        [],
    )


def test_what_is_said_of_a_version_goes_first() -> None:
    """Then what is said of its model; of others nothing."""
    said = {"m": "any", "m/2": "second", "m/20": "twentieth"}
    assert [planted_at(said, "m", version, None) for version in (1, 2, 20)] == ["any", "second", "twentieth"]
    assert planted_at(said, "n", 2, "nothing") == "nothing"


@pytest.mark.parametrize(
    ("flag", "form", "wrong"),
    [
        ("simulate_delay_ms", "MS[+MS_PER_ROW]", ["m", "m=", "m=-1", "m=1+", "=5", "m=1e3"]),
        ("simulate_load_ms", "MS", ["m", "m=3s", "m=nan"]),
        ("simulate_cold_ms", "MSxEXECUTIONS", ["m=50", "m=50x", "m=x20", "m=50x0.5"]),
        ("simulate_errors", "SHARE[:STATUS]", ["m=0", "m=101%", "m=2%:OK", "m=2%:internal", "m=2%:", "m=:INTERNAL"]),
    ],
)
def test_mistakes(flag: str, form: str, wrong: list[str]) -> None:
    """Each is named, and what would be right; what is right beside it holds."""
    _, problems = read_planted(Flags(**{flag: ",".join(wrong)}))
    assert problems == [f"--{flag}: {one!r} is not MODEL={form} or MODEL/VERSION={form}" for one in wrong]


def test_a_negative_outage() -> None:
    """There is none."""
    assert read_planted(Flags(simulate_outage_ms=-1))[1] == ["--simulate_outage_ms: must not be negative; was -1"]
