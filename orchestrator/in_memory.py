"""Checkpoints in memory, for rehearsals that end with their process."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver


def memory_checkpointer() -> BaseCheckpointSaver[Any]:
    """A new, empty store of threads."""
    return InMemorySaver()
