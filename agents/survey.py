"""What one question tells of many targets: asked once per tick, then handed to each one's look.

A port that can answer for many says so (``FleetMetrics``, ``FleetLog``, ``FleetRegistry``); what
none answered, each look asks for itself. Whatever acts reads the world again by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agents.ports import Desk
from tools.errors import MendloopError
from tools.managed_model import ManagedModel
from tools.metrics import NoReading, Reading
from tools.prediction_log import LogExtent
from tools.registry import ModelVersion


@dataclass(frozen=True)
class Glance:
    """What is known of one target before it is looked at; None: its look asks."""

    reading: Reading | NoReading | None = None
    extent: LogExtent | None = None
    aliases: Mapping[str, ModelVersion] | None = None
    """Alias -> version."""


def survey(seats: Collection[tuple[ManagedModel, Desk]]) -> dict[str, Glance]:
    """Each target's glance. What cannot be had is left to each look, which says why."""
    readings = _asked("read_many", [(m.target, d.metrics) for m, d in seats])
    extents = _asked("extents", [(m.target, d.log) for m, d in seats])
    aliases = _asked("aliased", [(m.spec.model, d.registry) for m, d in seats])
    return {
        model.target: Glance(
            reading=readings.get(model.target),
            extent=extents.get(model.target),
            aliases=aliases.get(model.spec.model),
        )
        for model, _ in seats
    }


def _asked(verb: str, wanted: Collection[tuple[str, Any]]) -> dict[str, Any]:
    """One question to each port that knows the verb, about all names that go through it."""
    names: dict[Any, list[str]] = defaultdict(list)
    for name, port in wanted:
        names[port].append(name)
    found: dict[str, Any] = {}
    for port, through in names.items():
        ask = getattr(port, verb, None)
        if ask is not None:
            with suppress(MendloopError):
                found.update(ask(through))
    return found
