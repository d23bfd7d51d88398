"""What the log says of a user class whose requests are ready."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tfs_locust.swarm.blueprint import Blueprint
from tfs_locust.swarm.scenario import Ready, Scenario

_logger = logging.getLogger(__name__)


def announce(plan: Blueprint, scenario: Scenario) -> None:
    """Say what a user class's requests are, now that they are there."""
    pairing = scenario.pairing
    if pairing is None or plan.against is None:
        _say_one(plan, scenario, scenario.stock.held)
        return
    _logger.info("%s: each payload is sent as %s sends it as well, to be compared", plan.name, plan.against.name)
    for place, (one, its) in enumerate(((plan, scenario), (plan.against, pairing.other))):
        _say_one(one, its, [pair[place] for pair in scenario.stock.held])


def _say_one(plan: Blueprint, scenario: Scenario, held: Sequence[Ready]) -> None:
    least, most = min(rows for _, rows, _ in held), max(rows for _, rows, _ in held)
    _logger.info(
        "%s: %s over %s to %s by the engine %s, %d payloads of %s rows, %.1f kB in all%s (%s)",
        plan.name,
        scenario.request_name,
        scenario.protocol,
        plan.endpoint.authority,
        plan.engine,
        len(held),
        least if least == most else f"{least} to {most}",
        sum(size for _, _, size in held) / 1000,
        "" if scenario.stock.whole else ", and more as these are sent",
        scenario.source,
    )
    for name in scenario.assumed:
        _logger.warning(
            "%s: input %r leaves inner dimensions open; they are taken as 1. Give them with --tfs-dim %s=N",
            plan.name,
            name,
            name,
        )
