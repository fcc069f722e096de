"""What the simulation tests share: a checkpointer with faults, a world, and a new controller."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

import structlog
from langgraph.checkpoint.sqlite import SqliteSaver

from orchestrator.controller import Controller
from orchestrator.journal.incidents import IncidentSummary
from simulations.faults import Fault, exposed
from simulations.rehearsal import controller_of, incidents_of
from simulations.world import World


class WatchedSaver(SqliteSaver):
    """LangGraph's SQLite checkpointer; each of its writes may fail before it and after it."""

    def __init__(self, connection: sqlite3.Connection, fault: Fault) -> None:
        super().__init__(connection)
        self._fault = fault

    def put(self, *arguments: Any, **named: Any) -> Any:
        with exposed(self._fault, "checkpoint.put"):
            return super().put(*arguments, **named)

    def put_writes(self, *arguments: Any, **named: Any) -> None:
        with exposed(self._fault, "checkpoint.put_writes"):
            super().put_writes(*arguments, **named)

    def delete_thread(self, thread_id: str) -> None:
        with exposed(self._fault, "checkpoint.delete_thread"):
            super().delete_thread(thread_id)


class Stage:
    """A world, and the controllers that come and go in it over the same stores."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._checkpoints = sqlite3.connect(":memory:", check_same_thread=False)
        self._count = 0
        self.defects: list[str] = []
        """What the top of the controller's loop caught that is no error of ours."""
        structlog.configure(processors=[self._keep_defects])

    def controller(self, fault: Fault) -> Controller:
        """A new controller; ``fault`` meets each of its calls, its checkpoints included."""
        self._count += 1
        self.world.fault = fault
        saver = WatchedSaver(self._checkpoints, fault)
        return controller_of(self.world, saver, holder=f"controller-{self._count}")

    def _keep_defects(self, _: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] == "target.broken":
            self.defects.append(repr(sys.exc_info()[1]))
        raise structlog.DropEvent

    def threads(self) -> int:
        """Threads whose checkpoints are still kept."""
        rows = self._checkpoints.execute("SELECT count(DISTINCT thread_id) FROM checkpoints")
        return int(rows.fetchone()[0])


def acted(world: World, tool: str) -> bool:
    """Whether the tool acted in any incident, and its promise held."""
    return any(
        a.tool == tool and a.verdict == "holds" for i in incidents_of(world) for a in i.actions
    )


def closed(world: World) -> list[IncidentSummary]:
    """All incidents, once there are some and none is under way."""
    found = incidents_of(world)
    return found if all(i.status in ("resolved", "escalated") for i in found) else []


def quick_world(folder: Path, *, seed: int = 0, **spec: dict[str, Any]) -> World:
    """A world whose releases are decided within a day of event time."""
    quick = {
        "rollout": {"probation": "6h"},
        "label": {"delay": "1h"},
        "evidence": {"window": "6h"},
    }
    merged = {name: {**quick.get(name, {}), **spec.get(name, {})} for name in {*quick, *spec}}
    return World(folder, seed=seed, rows_per_hour=80, **merged)
