"""Plays one fuzz case: moves of the world, controllers that come and go, then calm and rest."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from agents.catalog import all_tools
from agents.contract import Tool
from orchestrator.controller import Controller, Target
from orchestrator.in_memory import memory_checkpointer
from orchestrator.policy_files import builtin_policies
from policies.engine import PolicySet
from simulations.crashes import Killed
from simulations.faults import exposed
from simulations.fuzz.case import Doing, FuzzCase, Injection, Move
from simulations.fuzz.injector import Choice, Injector, Schedule
from simulations.fuzz.leases import FaultyLeases
from simulations.fuzz.moves import answer_all, make
from simulations.fuzz.rest import unrest
from simulations.fuzz.world import FuzzWorld
from simulations.world import LEASE_S
from tools.errors import MendloopError
from tools.values import Value, canonical_json

CALM_TICKS = 80
"""Ticks after the last fault within which everything has to come to rest."""
CALM_SECONDS = 14.0
CALM_EVERY = 3


CALMING: tuple[Doing, ...] = (
    "metrics-light",
    "labels-resume",
    "thaw-feed",
    "resume",
    "disk-free",
)


HARMLESS: frozenset[Doing] = frozenset(
    {"counters-restart", "edit-elsewhere", "sleep", "stand-by", "jump-clock", "pause", "resume"}
)
"""Moves that call for no change at all."""


class Played(Value):
    """What came of a case."""

    broken: tuple[str, ...]
    """Promises that did not hold; empty when all did."""
    injections: tuple[Injection, ...]
    """What went wrong in fact: the schedule that plays the same again."""
    digest: str
    """Of the journal's content: the same for the same case."""
    ticks: int
    effects: int
    incidents: int


def faulty_checkpointer(world: FuzzWorld) -> Any:
    """A new store of threads; each of its writes may fail before it and after it."""
    saver = memory_checkpointer()

    def exposing(verb: Callable[..., Any], call: str) -> Callable[..., Any]:
        @wraps(verb)
        def exposed_verb(*arguments: Any, **named: Any) -> Any:
            with exposed(world.fault, call):
                return verb(*arguments, **named)

        return exposed_verb

    for name in ("put", "put_writes", "delete_thread"):
        setattr(saver, name, exposing(getattr(saver, name), f"checkpoint.{name}"))
    return saver


class Play:
    """One case under way."""

    def __init__(
        self,
        case: FuzzCase,
        folder: Path,
        *,
        choose: Choice | None = None,
        tools: dict[str, Tool] | None = None,
        policies: PolicySet | None = None,
    ) -> None:
        self.case = case
        self.spec = case.spec
        self.world = FuzzWorld(folder, case.spec.world)
        self.defects: list[str] = []
        self.controllers: dict[str, Controller] = {}
        self._window_hours = round(case.spec.world.window.total_seconds() / 3600)
        self._wanted = 1
        self._asleep_until = 0
        self._born = 0
        self._tools = tools or all_tools()
        self._policies = policies or _policies()
        self._saver = faulty_checkpointer(self.world)
        self._leases = FaultyLeases(self.world)
        choice = choose or Schedule(case.spec.injections)
        self.injector = Injector(self.world, choice, self._stand_in)
        self.world.fault = self.injector

    def run(self) -> Played:
        """From the quiet before to the rest after; stops at the first broken promise."""
        with self._listening():
            self.injector.is_over = True
            for _ in range(self.spec.quiet):
                self._tick(hours=self._window_hours, seconds=10.0)
            self.injector.is_over = False
            tick = 0
            while tick < self.spec.ticks and not self._is_broken():
                tick += 1
                self._noisy_tick(tick)
            calm = self._calm() if not self._is_broken() else 0
            self.world.auditor.check_record()
            if self.world.auditor.effects and self._is_healthy():
                said = f"promise 10: nothing was wrong, and {self.world.auditor.effects[0]}"
                self.world.auditor.broken.append(said)
        return Played(
            broken=tuple(dict.fromkeys([*self.world.auditor.broken, *self.defects])),
            injections=tuple(self.injector.made),
            digest=self.digest(),
            ticks=tick + calm,
            effects=len(self.world.auditor.effects),
            incidents=self.world.incidents,
        )

    def digest(self) -> str:
        """Of every event's content, with the folder of this run called by one name."""
        told = hashlib.sha256()
        for event in self.world.journal.events():
            line = canonical_json([event.at, event.kind, event.incident, event.payload])
            told.update(line.replace(str(self.world.folder), "").encode())
        return told.hexdigest()

    def _noisy_tick(self, tick: int) -> None:
        self.injector.begin(tick)
        for move in self.spec.moves:
            if move.tick == tick:
                self._make(move)
        is_awake = tick >= self._asleep_until
        hours = self.spec.hours if tick % self.spec.every == 0 else 0
        self._tick(hours=hours, seconds=self.spec.seconds, is_awake=is_awake)

    def _make(self, move: Move) -> None:
        make(self.world, move)
        if move.do == "sleep":
            self._asleep_until = move.tick + move.amount
        if move.do == "stand-by":
            self._wanted = 2

    def _calm(self) -> int:
        """Nothing goes wrong any more; how many ticks it took to come to rest."""
        self.injector.is_over = True
        for do in CALMING:
            make(self.world, Move(tick=1, do=do))
        for tick in range(1, CALM_TICKS + 1):
            if self.spec.answers != "nobody" and tick % CALM_EVERY == 1:
                make(self.world, Move(tick=1, do="hand-back"))
                answer_all(self.world, approve=self.spec.answers == "approve")
            hours = 0 if tick % CALM_EVERY else self._window_hours
            self._tick(hours=hours, seconds=CALM_SECONDS)
            reasons = unrest(self.world)
            if self._is_broken() or (not reasons and tick > 2):
                return tick
        reasons = unrest(self.world, in_full=True)
        self.world.auditor.broken += [f"no rest: {reason}" for reason in reasons]
        return CALM_TICKS

    def _tick(self, *, hours: int, seconds: float, is_awake: bool = True) -> None:
        self.world.step(hours=hours, seconds=seconds)
        if not is_awake:
            return
        while len(self.controllers) < self._wanted:
            if not self._start():
                return
        for holder in list(self.controllers):
            self._at_work(holder)

    def _start(self) -> bool:
        """Another controller; False when it died of it."""
        self._born += 1
        holder = f"controller-{self._born}"
        controller = Controller(
            [Target(model=self.world.document, desk=self.world.desk())],
            journal=self.world.watched_journal(),
            checkpointer=self._saver,
            leases=self._leases,
            policies=self._policies,
            tools=self._tools,
            kill_switch=self.world.kill_switch,
            holder=holder,
            new_id=self.world.new_incident,
        )
        with self._acting(holder):
            try:
                controller.start()
            except (Killed, MendloopError, sqlite3.OperationalError):
                return False  # its process ends, and is started again later
        self.controllers[holder] = controller
        return True

    def _at_work(self, holder: str) -> None:
        with self._acting(holder):
            try:
                self.controllers[holder].tick()
            except Killed:
                assert holder in self.injector.dead
        if holder in self.injector.dead:
            self.controllers.pop(holder, None)

    def _stand_in(self, seconds: float) -> None:
        """The one at work is held up while time passes and another one takes over."""
        before = self.world.acting
        self.world.acting = ""
        self.world.step(hours=0, seconds=LEASE_S + 1)
        others = [h for h in self.controllers if h != before]
        if not others and self._start():
            others = [h for h in self.controllers if h != before]
        for holder in others[:1]:
            for _ in range(1 + int(seconds) % 3):
                self._at_work(holder)
                self.world.step(hours=0, seconds=LEASE_S * 0.6)
        self.world.acting = before

    @contextmanager
    def _acting(self, holder: str) -> Iterator[None]:
        before, self.world.acting = self.world.acting, holder
        try:
            yield
        finally:
            self.world.acting = before

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Hear what the top of the controller's loop caught that is no error of ours."""
        kept = structlog.get_config()
        structlog.configure(processors=[self._hear])
        try:
            yield
        finally:
            structlog.configure(**kept)

    def _hear(self, _: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        if event["event"] == "target.broken":
            error = sys.exc_info()[1]
            if not isinstance(error, sqlite3.OperationalError):
                self.defects.append(f"defect: {error!r}")
        raise structlog.DropEvent

    def _is_healthy(self) -> bool:
        """Whether nothing happened that anything should be done about."""
        if self.spec.world.retrain_every is not None:
            return False
        moved = {move.do for move in self.spec.moves}
        return moved <= HARMLESS and all(i.happening != "edit" for i in self.injector.made)

    def _is_broken(self) -> bool:
        return bool(self.world.auditor.broken or self.defects)


@lru_cache(maxsize=1)
def _policies() -> PolicySet:
    return builtin_policies()


def play(case: FuzzCase, **parts: Any) -> Played:
    """Play a case in a folder of its own."""
    with TemporaryDirectory(prefix="mendloop-fuzz-") as folder:
        return Play(case, Path(folder), **parts).run()


def play_twice(case: FuzzCase, choose: Choice) -> tuple[Played, Played]:
    """By chance, then from the schedule that it made. In one folder: its path stands in events,
    and the names of later events follow from it."""
    with TemporaryDirectory(prefix="mendloop-fuzz-") as folder:
        place = Path(folder) / "world"
        first = Play(case, place, choose=choose).run()
        shutil.rmtree(place)
        spec = case.spec.model_copy(update={"injections": first.injections})
        again = case.model_copy(update={"spec": spec})
        return first, Play(again, place).run()
