"""Makes things go wrong at a controller's calls: by a schedule, or by chance, which writes one.

Chance depends on the seed, the tick, the call and its number within the tick, and on nothing else:
the order in which threads come by does not matter, and what was drawn can be played again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from simulations.crashes import Killed
from simulations.fuzz.case import Happening, Injection, Move
from simulations.fuzz.moves import make
from simulations.fuzz.world import FuzzWorld
from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain

WRITES = (
    "traffic.patch",
    "workloads.start",
    "workloads.stop",
    "workloads.configure",
    "registry.set_alias",
    "registry.delete_alias",
    "pipelines.submit",
    "pipelines.cancel",
)
RECORDS = ("journal.append",)
CHECKPOINTS = ("checkpoint.put", "checkpoint.put_writes", "checkpoint.delete_thread")
READS = (
    "traffic.read",
    "traffic.applied",
    "workloads.read",
    "workloads.servers",
    "registry.by_alias",
    "registry.fetch",
    "registry.by_run",
    "pipelines.read",
    "metrics.read",
    "log.extent",
    "log.predictions",
    "log.cohort",
    "journal.events",
    "journal.last",
    "lease.acquire",
    "lease.is_held",
)

_WRITE_BEFORE: tuple[Happening, ...] = (
    "crash",
    "crash",
    "take-over",
    "take-over",
    "unavailable",
    "unavailable",
    "uncertain",
    "refused",
    "invalid",
    "duplicate",
    "delay",
    "pause",
)
_WRITE_AFTER: tuple[Happening, ...] = ("crash", "crash", "uncertain", "delay", "pause", "take-over")
POSSIBLE: dict[str, tuple[Happening, ...]] = {
    **{f"{call}:before": _WRITE_BEFORE for call in WRITES},
    **{f"{call}:after": _WRITE_AFTER for call in WRITES},
    "traffic.patch:before": (*_WRITE_BEFORE, "conflict", "conflict", "edit"),
    **{f"{call}:before": ("crash", "unavailable", "delay", "take-over") for call in RECORDS},
    **{f"{call}:after": ("crash", "delay", "take-over") for call in RECORDS},
    **{f"{call}:before": ("crash", "unavailable", "delay") for call in CHECKPOINTS},
    **{f"{call}:after": ("crash", "delay") for call in CHECKPOINTS},
    **{f"{call}:before": ("unavailable", "delay", "crash") for call in READS},
    **{f"{call}:after": ("delay", "take-over", "pause", "edit") for call in READS},
    "registry.fetch:before": ("unavailable", "refused", "invalid", "delay", "crash"),
}
"""What may go wrong where."""

_ERRORS: dict[str, Callable[[str], MendloopError]] = {
    "unavailable": Unavailable,
    "uncertain": Uncertain,
    "refused": Refused,
    "invalid": Invalid,
    "conflict": Conflict,
}


class Choice(Protocol):
    """Says what goes wrong at a point."""

    def __call__(self, tick: int, call: str, number: int) -> Injection | None: ...


class Schedule:
    """What a case document says."""

    def __init__(self, injections: Sequence[Injection]) -> None:
        self._at = {(i.tick, i.call, i.number): i for i in injections}

    def __call__(self, tick: int, call: str, number: int) -> Injection | None:
        """See Choice."""
        return self._at.get((tick, call, number))


class Chance:
    """Draws for each call whether something goes wrong, at a rate per kind of call."""

    def __init__(self, seed: int, rates: Mapping[str, float], *, until: int) -> None:
        """``rates``: of ``write``, ``record``, ``checkpoint`` and ``read``; 0 after tick
        ``until``."""
        self._seed = seed
        self._rates = rates
        self._until = until

    def __call__(self, tick: int, call: str, number: int) -> Injection | None:
        """See Choice."""
        possible = POSSIBLE.get(call)
        if possible is None or tick > self._until:
            return None
        luck = hashlib.blake2b(f"{self._seed} {tick} {call} {number}".encode(), digest_size=12)
        drawn = luck.digest()
        if int.from_bytes(drawn[:6], "big") / 2**48 >= self._rates[_kind(call)]:
            return None
        return Injection(
            tick=tick,
            call=call,
            number=number,
            happening=possible[int.from_bytes(drawn[6:8], "big") % len(possible)],
            seconds=(2.0, 5.0, 14.0, 20.0, 70.0)[drawn[8] % 5],
        )


class Injector:
    """A fault (see simulations/faults.py) that meets every call of every controller of a case."""

    def __init__(
        self,
        world: FuzzWorld,
        choose: Choice,
        stand_in: Callable[[float], None],
        *,
        most: int = 12,
    ) -> None:
        """``stand_in`` lets time pass and another controller take over; ``most``: injections."""
        self.tick = 0
        self.made: list[Injection] = []
        self.dead: set[str] = set()
        """Holders of controllers that were killed: they reach nothing any more."""
        self.is_over = False
        self.world = world
        self._choose = choose
        self._stand_in = stand_in
        self._most = most
        self._counts: Counter[str] = Counter()
        self._is_busy = False

    def begin(self, tick: int) -> None:
        """Count the calls of a tick from one."""
        self.tick = tick
        self._counts.clear()

    def __call__(self, call: str) -> None:
        world = self.world
        if world.acting in self.dead:
            raise Killed(f"{world.acting} is dead")
        if world.is_disk_full and call == "journal.append:before":
            raise Unavailable("the journal's disk is full")
        if self._is_busy or self.is_over:
            return
        self._counts[call] += 1
        found = self._choose(self.tick, call, self._counts[call])
        if found is None or len(self.made) >= self._most:
            return
        self.made.append(found)
        self._is_busy = True
        try:
            self._happen(found)
        finally:
            self._is_busy = False

    def _happen(self, found: Injection) -> None:
        world, port = self.world, found.call.partition(":")[0]
        match found.happening:
            case "crash":
                self.dead.add(world.acting)
                raise Killed(str(found.point))
            case "delay":
                world.clock.advance(timedelta(seconds=found.seconds))
            case "duplicate":
                world.twice = True
            case "pause":
                self._under_way(found)
                make(world, Move(tick=self.tick, do="pause", what="target"))
            case "edit":
                make(world, Move(tick=self.tick, do="edit-weights", amount=30))
            case "conflict":
                make(world, Move(tick=self.tick, do="edit-elsewhere"))
            case "take-over":
                self._under_way(found)
                self._stand_in(found.seconds)
            case _ if port.startswith("checkpoint."):
                raise sqlite3.OperationalError(f"simulated: {found.point}")
            case _:
                raise _ERRORS[found.happening](f"simulated: {found.point}")

    def _under_way(self, found: Injection) -> None:
        """What has left the controller already is not called back."""
        port, _, moment = found.call.partition(":")
        if moment == "before" and port in WRITES:
            self.world.auditor.in_flight = (self.world.acting, port)


def _kind(call: str) -> str:
    port = call.partition(":")[0]
    if port in WRITES:
        return "write"
    if port in RECORDS:
        return "record"
    return "checkpoint" if port in CHECKPOINTS else "read"
