"""What all tests share: on a machine that others use too, a slow example proves nothing."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

pytest_plugins = ["tests.stand_in.postgres"]
