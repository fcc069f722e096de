"""What the simulation tests share: a checkpointer with faults, a world, and a new controller."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from langgraph.checkpoint.sqlite import SqliteSaver

from orchestrator.controller import Controller
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.journal.stored import StoredJournal
from simulations.faults import Fault, exposed, no_fault
from simulations.rehearsal import controller_of, incidents_of, run_until
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
        return controller_of(self.world, self.saver(fault), holder=f"controller-{self._count}")

    def saver(self, fault: Fault) -> WatchedSaver:
        """The checkpointer of all; ``fault`` meets it and the world from now on."""
        self.world.fault = fault
        return WatchedSaver(self._checkpoints, fault)

    def _keep_defects(self, _: Any, level: str, event: MutableMapping[str, Any]) -> Any:
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


@dataclass
class Play:
    """A world and the controller at work in it."""

    world: World
    stage: Stage
    controller: Controller

    @classmethod
    def begin(cls, folder: Path, *, quiet_ticks: int = 6, **world: Any) -> Play:
        """Some quiet windows first, so that there is a trusted past to compare with."""
        made = World(folder, **world)
        stage = Stage(made)
        play = cls(made, stage, stage.controller(no_fault))
        play.tick(quiet_ticks)
        return play

    def tick(self, ticks: int = 1, *, hours: int = 6) -> None:
        for _ in range(ticks):
            self.world.step(hours=hours)
            self.controller.tick()

    def until(self, reached: Callable[[World], bool], *, ticks: int = 60, hours: int = 6) -> int:
        return run_until(self.world, self.controller, reached, ticks=ticks, hours=hours)

    def until_closed(self, *, ticks: int = 60, hours: int = 6) -> list[IncidentSummary]:
        self.until(lambda world: bool(closed(world)), ticks=ticks, hours=hours)
        return closed(self.world)

    def tools(self) -> list[str]:
        """Every tool that acted, in order, over all incidents."""
        return [a.tool for i in incidents_of(self.world) for a in i.actions]

    def check(self) -> None:
        """The promises that hold in every story."""
        self.world.ledger.check_end()
        assert self.world.ledger.broken == []
        assert self.stage.defects == []
        assert self.world.users.failed.get("", 0) == 0


def quick_world(folder: Path, *, journal: StoredJournal | None = None, **spec: Any) -> World:
    """A world whose releases are decided within a day of event time."""
    quick = {
        "rollout": {"probation": "6h"},
        "label": {"delay": "1h"},
        "evidence": {"window": "6h"},
    }
    merged: dict[str, Any] = {
        name: {**quick.get(name, {}), **spec.get(name, {})} for name in {*quick, *spec}
    }
    return World(folder, rows_per_hour=80, journal=journal, **merged)
