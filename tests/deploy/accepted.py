"""Reads command lines and environments as Locust and our commands would; in a process of its own.

From standard input a list of [arguments, environment]; to standard output for each what is wrong with it, and what was
understood. Locust's import replaces half of Python's library, hence the process.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from configargparse import ArgumentParser
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments

from tfs_locust.swarm.options import add_options
from tfs_locust.swarm.settings import read_settings


def main() -> None:
    """Read them all."""
    parser = get_empty_argument_parser(add_help=False, default_config_files=[])
    setup_parser_arguments(parser)
    add_options(parser)
    json.dump([_read(parser, *given) for given in json.load(sys.stdin)], sys.stdout)


def _read(parser: ArgumentParser, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    known = {action.env_var for action in parser._actions if getattr(action, "env_var", None)}
    problems = [f"no option has the variable {name}" for name in environment if name not in known]
    options, unknown = parser.parse_known_args(arguments, env_vars=environment)
    problems += [f"no option is called {argument}" for argument in unknown]
    problems += read_settings(options)[1]
    return {
        "problems": problems,
        "options": {k: v for k, v in vars(options).items() if isinstance(v, (str, int, bool))},
    }


if __name__ == "__main__":
    main()
