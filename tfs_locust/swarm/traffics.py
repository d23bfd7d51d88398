"""How each user class's requests are divided among targets: what the class and the options say, and whether it goes
together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from tfs_locust.load.ramp import Ramp, RampError, parse_ramp
from tfs_locust.load.traffic import Split, Traffic, TrafficError, parse_traffic, splits
from tfs_locust.swarm.settings import Settings

if TYPE_CHECKING:
    from tfs_locust.swarm.blueprint import Blueprint
    from tfs_locust.swarm.users import PredictUser

Value = TypeVar("Value")


def traffic_of(
    user_class: type[PredictUser], settings: Settings, problems: list[str]
) -> tuple[Traffic | None, Ramp | None]:
    """The class's own traffic and ramp go first, then the options'; what is wrong is added to ``problems``."""
    name = user_class.__name__
    traffic, ramp, is_split = settings.traffic, settings.canary_ramp, True
    pinned = [one for one in ("version", "version_label") if getattr(user_class, one) is not None]
    if user_class.traffic is None and pinned:
        traffic = None
    elif user_class.traffic is not None and pinned:
        problems.append(f"{name}: `traffic` and `{pinned[0]}` exclude each other: set one of them")
    try:
        if user_class.traffic is not None:
            traffic = _read(user_class.traffic, Traffic, parse_traffic)
        if traffic is not None:
            targets = traffic.targets(user_class.model or settings.model or "", "")
            is_split = bool(traffic.auto_share or (len(targets) == 2 and splits(targets, traffic.weights)))
    except TrafficError as error:
        problems.append(f"{name}: `traffic`: {error}")
    except TypeError:
        problems.append(f"{name}: `traffic` is {user_class.traffic!r}: expected a text, such as '1:0.9,2:0.1'")
    try:
        if user_class.canary_ramp is not None:
            ramp = _read(user_class.canary_ramp, Ramp, parse_ramp)
            if traffic is None:
                problems.append(f"{name}: `canary_ramp`: there is no `traffic` whose share it could be")
    except RampError as error:
        problems.append(f"{name}: `canary_ramp`: {error}")
    except TypeError:
        problems.append(f"{name}: `canary_ramp` is {user_class.canary_ramp!r}: expected a text, such as '1%:30s,100%'")
    if traffic is not None and user_class.against is not None:
        problems.append(
            f"{name}: `traffic` and `against` exclude each other: pairs are sent to one target each; give the two "
            "classes a version or a label each, and leave traffic out"
        )
    if traffic is None:
        return None, None
    if ramp is not None and not is_split:
        problems.append(
            f"{name}: a canary's ramp is for traffic over two versions or labels of one model, which {traffic.text!r} "
            "is not"
        )
    return traffic, ramp


def _read(given: Any, kind: type[Value], parse: Callable[[str], Value]) -> Value:
    """Read already, or a text. Raises TypeError, and what ``parse`` raises."""
    if isinstance(given, kind):
        return given
    if not isinstance(given, str):
        raise TypeError
    return parse(given)


def split_of(plan: Blueprint) -> tuple[Split, ...]:
    """The pairs of a baseline and a canary in a plan's traffic, by places in it; none where ``auto`` is still open."""
    if plan.traffic is None:
        return ()
    targets = plan.traffic.targets(plan.target.model, plan.target.signature)
    return splits(targets, plan.traffic.weights)


def weights_at(plan: Blueprint, stage: int) -> tuple[int, ...]:
    """The weights of a plan's traffic in a stage of its ramp; its own where it has none."""
    traffic, found = plan.traffic, split_of(plan)
    if traffic is None or plan.ramp is None or not found:
        return () if traffic is None else traffic.weights
    share = plan.ramp.stages[stage].share
    weights = [0, 0]
    weights[found[0].canary] = share.numerator
    weights[found[0].baseline] = share.denominator - share.numerator
    return tuple(weights)


def baseline_only(plan: Blueprint) -> tuple[int, ...]:
    """The weights of a plan's traffic without its canaries: each baseline has what its canary had besides its own."""
    weights = list(() if plan.traffic is None else plan.traffic.weights)
    for one in split_of(plan):
        weights[one.baseline] += weights[one.canary]
        weights[one.canary] = 0
    return tuple(weights)


def problems_of_traffic(blueprints: Collection[Blueprint], settings: Settings) -> list[str]:
    """What no user class has any use for."""
    problems: list[str] = []
    if not blueprints:
        return problems
    if settings.traffic is not None and all(one.traffic is None for one in blueprints):
        problems.append(
            f"--tfs-traffic {settings.traffic.text}: no user class takes it, as each has a version or label of its own"
        )
    if settings.canary_ramp is not None and all(one.ramp is None for one in blueprints):
        problems.append(
            f"--tfs-canary-ramp {settings.canary_ramp.text}: no user class has two versions that it could be about; "
            "name them with --tfs-traffic, as 1:0.9,2:0.1 or auto"
        )
    elif settings.canary_rollback and not any(
        one.traffic is not None and (one.traffic.auto_share or split_of(one)) for one in blueprints
    ):
        problems.append(
            "--tfs-canary-rollback on: no user class has two versions of a model; name them with --tfs-traffic, as "
            "1:0.9,2:0.1 or auto"
        )
    return problems
