"""What one question tells of many targets: asked once per tick, then handed to each one's look.

A port that can answer for many says so (``FleetMetrics``, ``FleetLog``, ``FleetRegistry``); what
none answered, each look asks for itself. Whatever acts reads the world again by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agents.ports import Desk
from tools.errors import MendloopError
from tools.managed_model import ManagedModel
from tools.metrics import FleetMetrics, NoReading, Reading
from tools.prediction_log import FleetLog, LogExtent
from tools.registry import FleetRegistry, ModelVersion

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Glance:
    """What is known of one target before it is looked at; None: its look asks."""

    reading: Reading | NoReading | None = None
    extent: LogExtent | None = None
    aliases: Mapping[str, ModelVersion] | None = None
    """Alias -> version."""


def survey(seats: Collection[tuple[ManagedModel, Desk]]) -> dict[str, Glance]:
    """Each target's glance. What cannot be had is left to each look, which says why."""
    readings = _asked(
        [(m.target, d.metrics) for m, d in seats],
        lambda port, names: port.read_many(names) if isinstance(port, FleetMetrics) else {},
    )
    extents = _asked(
        [(m.target, d.log) for m, d in seats],
        lambda port, names: port.extents(names) if isinstance(port, FleetLog) else {},
    )
    aliases = _asked(
        [(m.spec.model, d.registry) for m, d in seats],
        lambda port, names: port.aliased(names) if isinstance(port, FleetRegistry) else {},
    )
    return {
        model.target: Glance(
            reading=readings.get(model.target),
            extent=extents.get(model.target),
            aliases=aliases.get(model.spec.model),
        )
        for model, _ in seats
    }


def _asked(
    wanted: Collection[tuple[str, Any]],
    ask: Callable[[Any, Collection[str]], Mapping[str, Answer]],
) -> dict[str, Answer]:
    """One question to each port, about all names that go through it."""
    ports: dict[int, Any] = {}
    names: dict[int, list[str]] = defaultdict(list)
    for name, port in wanted:
        ports[id(port)] = port
        names[id(port)].append(name)
    found: dict[str, Answer] = {}
    for number, port in ports.items():
        try:
            found.update(ask(port, names[number]))
        except MendloopError:
            continue
    return found
