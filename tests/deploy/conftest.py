"""Locust against a server, as in the tests of runs."""

from __future__ import annotations

from tests.swarm.conftest import locust, made_models, python, serving

__all__ = ["locust", "made_models", "python", "serving"]
