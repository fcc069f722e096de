"""The threads of incidents: each goes on as far as it can, and is forgotten in the end."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command

from orchestrator.graph import build_graph
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.nodes import MAX_STEPS, TIDYING_STEPS
from orchestrator.session import Session

RECURSION_LIMIT = 6 * (MAX_STEPS + TIDYING_STEPS)
"""Nodes that one thread may run through in one tick; a step takes five at most, so that an incident
that turns in a circle is ended by its own bound, in words, before this one breaks it off."""


class Threads:
    """Where each incident's work stands; the checkpointer keeps it."""

    def __init__(self, checkpointer: BaseCheckpointSaver[Any]) -> None:
        self._checkpointer = checkpointer
        self._graph = build_graph(checkpointer)

    def advance(self, session: Session, incident: IncidentSummary) -> None:
        """Run the incident's thread until it sleeps or ends."""
        config: RunnableConfig = {
            "configurable": {"thread_id": incident.id},
            "recursion_limit": RECURSION_LIMIT,
        }
        standing = self._graph.get_state(config)
        entry: Any = None  # cut off inside a node: that node runs again
        if not standing.values:
            entry = {"incident": incident.id, "goal": incident.goal}
        elif standing.interrupts:
            entry = Command(resume="tick")
        self._graph.invoke(entry, config, context=session, durability="sync")
        if not self._graph.get_state(config).next:
            self.forget(incident.id)

    def forget(self, incident: str) -> None:
        """The incident is over."""
        self._checkpointer.delete_thread(incident)

    def forget_ended(self, ended: Collection[str]) -> None:
        """Those of them that are still kept: whoever ended them died before it tidied up."""
        kept = {
            found.config["configurable"]["thread_id"] for found in self._checkpointer.list(None)
        }
        for incident in sorted(kept.intersection(ended)):
            self.forget(incident)
