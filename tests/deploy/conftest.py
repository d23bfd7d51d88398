"""Locust against a server, as in the tests of runs; the image, and containers of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.containers import Container, why_not_run
from tests.deploy.image import Image, built, opened
from tests.swarm.conftest import locust, made_models, python, serving

__all__ = ["locust", "made_models", "python", "serving"]


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The default target, built from this checkout."""
    with opened(built()) as image:
        yield image


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Start containers with arguments, and what else a Container takes by keyword; they end with the test."""
    if reason := why_not_run():
        pytest.skip(reason)
    started: list[Container] = []

    def start(*arguments: str, **more: Any) -> Container:
        started.append(Container(more.pop("image", image.name), arguments, folder=tmp_path, **more))
        return started[-1]

    yield start
    for each in started:
        each.end()
