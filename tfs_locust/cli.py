"""``tfs-locust``: the commands beside Locust's own. Each is a function of its arguments that returns an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

Command = Callable[[Sequence[str]], int]

# name -> (module, function, what it does); a module is imported only when its command is called: some drag much behind
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("tfs_locust.demo", "main", "load a small model over gRPC and REST, on this machine alone"),
    "inspect": ("tfs_locust.inspection", "main", "print a served model's versions, signatures and example requests"),
    "plan": ("tfs_locust.planning", "main", "tell what a server's batching will make of a load"),
    "serve": ("tfs_locust.embedded.server", "main", "serve SavedModels, for demos and tests"),
    "warmup": ("tfs_locust.warmup", "main", "write a warm-up file for a served model, from any payloads"),
    "judge": ("tfs_locust.report.commands", "judge_command", "judge a report again, by other objectives"),
    "render": ("tfs_locust.report.commands", "render_command", "make a report's HTML and other forms again"),
    "compare": ("tfs_locust.report.commands", "compare_command", "tell whether one report is worse than another"),
}

_EPILOG = """\
To load a server, use Locust's own command:
  locust -f locustfiles/grpc_predict.py --host grpc://127.0.0.1:8500 --tfs-model my_model
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 for success, 2 for wrong usage, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="tfs-locust",
        description="A load generator for TensorFlow Serving, built on Locust.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tfs-locust {version('tfs-locust')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for name, (_, _, help_text) in _COMMANDS.items():
        commands.add_parser(name, help=help_text, add_help=False)
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = parser.parse_args(arguments[:1])  # what follows is for the command's own parser
    module, function, _ = _COMMANDS[chosen.command]
    run: Command = getattr(import_module(module), function)
    try:
        return run(arguments[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read our output wants no more of it, as in ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would fail as well
        return 1
