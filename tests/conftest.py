"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# a machine that is busy with other tests is no fault of an example
settings.register_profile("any-pace", deadline=None)
settings.load_profile("any-pace")
