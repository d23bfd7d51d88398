"""The container's first process: gives its arguments to Locust, or to ``tfs-locust`` where they begin with that.

It becomes the program instead of starting it, so that signals reach it as they are sent. The kernel keeps from a first
process every signal that it has no handler for: until Locust has set its own, a stop must end the process here.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as a shell tells of a process that a signal ended


def main(arguments: list[str]) -> int:
    """Run the program. Returns its exit code; 2 where it is neither of ours."""
    signal.signal(signal.SIGTERM, _stop)
    name = "locust" if not arguments or arguments[0].startswith("-") else arguments.pop(0)
    sys.argv = [name, *arguments]
    if name == "locust":
        from locust.main import main as locust

        return locust() or 0
    if name == "tfs-locust":
        from tfs_locust.cli import main as tfs_locust

        return tfs_locust()
    sys.stderr.write(
        f"{name}: this image runs Locust (arguments begin with a dash, or with locust) or tfs-locust (arguments begin "
        "with tfs-locust). Give one of these.\n"
    )
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
