"""Fixtures of the simulation tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Play


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """An ordinary play, its promises checked when it is over."""
    begun = Play.begin(tmp_path)
    yield begun
    begun.check()
