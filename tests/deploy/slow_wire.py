"""A wire that is slow and loses frames: two network interfaces, and each frame that enters one leaves the other later.

Started as a program; it says ``ready`` when both interfaces exist. They go when it ends.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import select
import struct
import time
from collections import deque

# from linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_LONGEST_FRAME = 65536
_AT_ONCE = 64  # frames from one side before the other is looked at


def _interface(name: str) -> int:
    """A new interface. What is sent through it is read from the descriptor, what is written there is received by it."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return descriptor


def carry(near: int, far: int, delay_s: float, loss: float, dice: random.Random) -> None:
    """For ever: every frame is lost with probability ``loss`` or arrives ``delay_s`` later, in order."""
    other = {near: far, far: near}
    under_way: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait_s = max(under_way[0][0] - time.monotonic(), 0) if under_way else None
        for entered in select.select([near, far], [], [], wait_s)[0]:
            for _ in range(_AT_ONCE):
                try:
                    frame = os.read(entered, _LONGEST_FRAME)
                except BlockingIOError:
                    break
                if dice.random() >= loss:
                    under_way.append((time.monotonic() + delay_s, other[entered], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, leaving, frame = under_way.popleft()
            try:
                os.write(leaving, frame)
            except OSError:  # that side is down, or its queue is full: a frame is lost, as on any wire
                continue


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("near")
    parser.add_argument("far")
    parser.add_argument("--delay-s", type=float, required=True)
    parser.add_argument("--loss", type=float, required=True)
    given = parser.parse_args()
    near, far = _interface(given.near), _interface(given.far)
    print("ready", flush=True)
    carry(near, far, given.delay_s, given.loss, random.Random(1))


if __name__ == "__main__":
    main()
