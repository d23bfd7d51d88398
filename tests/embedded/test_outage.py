"""An outage begins when it is told to, ends by itself, and says when it did."""

from __future__ import annotations

import asyncio
import re
import time

from tfs_locust.embedded.outage import Outage


def test_an_outage() -> None:
    """Both moments are said, in Unix time; a signal in the middle of one begins no other, one after it does."""
    said: list[str] = []

    async def outages() -> None:
        ended = asyncio.Event()

        def say(text: str) -> None:
            said.append(text)
            if "ended" in text:
                ended.set()

        outage = Outage(0.05, say)
        for _ in range(2):
            ended.clear()
            assert not outage.is_on
            outage.begin()
            outage.begin()
            assert outage.is_on
            await asyncio.wait_for(ended.wait(), 20)

    before_s = time.time()
    asyncio.run(outages())
    after_s = time.time()
    assert [line.rpartition(" ")[0] for line in said] == ["outage: began", "outage: ended"] * 2
    moments = [float(re.sub(r".* ", "", line)) for line in said]
    assert [before_s - 1e-3, *moments, after_s + 1e-3] == sorted([before_s - 1e-3, *moments, after_s + 1e-3])
    assert all(ended_s - began_s >= 0.049 for began_s, ended_s in zip(moments[::2], moments[1::2], strict=True))
