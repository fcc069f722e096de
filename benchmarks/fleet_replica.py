"""A controller in a process of its own, for benchmarks: ticks when told to, and says how long.

Journal, checkpoints and counters are asked over the network as in a cluster; registry, servers,
routes and the prediction log are simulated in the process and cost it time and memory too.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from agents.catalog import all_tools
from benchmarks.counters import BETWEEN_S
from orchestrator.controller import Controller
from orchestrator.durable import Durable, open_durable
from orchestrator.journal.settings import JournalSettings
from orchestrator.policy_files import builtin_policies
from simulations.healthy_fleet import HealthyFleet
from tools.clock import SystemClock
from tools.file_lease import FileLeases
from tools.managed_model import ManagedModel
from tools.prometheus import PrometheusMetrics, Watched

_ANSWER_S = 900.0


class Tick(NamedTuple):
    """What one tick took, and how it left the fleet."""

    seconds: float
    cpu_s: float
    """Of the process: what a tick takes where others leave it a core."""
    held: int
    """Targets that the controller has."""
    waiting: int
    """Targets whose new data waits for its turn."""


class Replica:
    """The process, seen from the one that measures."""

    def __init__(self, holder: str, folder: Path, models: int, journal: str, counters: str) -> None:
        """``folder`` has the keys and the leases that all share; it makes a home of its own."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, holder, folder, models, journal, counters), daemon=True
        )
        self._process.start()
        self.world_mb: float = self._answer()
        """What the process needed before there was a controller."""

    def tell(self, word: str) -> None:
        """One of ``tick``, ``window``, ``resident``; ``answer`` brings what came of it."""
        self._pipe.send(word)

    def ask(self, word: str) -> Any:
        """Tell, and wait for the answer."""
        self.tell(word)
        return self._answer()

    def tick(self) -> Tick:
        """Alone."""
        (found,) = tick_together([self])
        return found

    def answer(self) -> Any:
        """Of the oldest word that was told."""
        return self._answer()

    def end(self) -> None:
        """It leaves its leases to the others as a process that dies does."""
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        if not self._pipe.poll(_ANSWER_S):
            raise RuntimeError(f"the controller did not answer within {_ANSWER_S:.0f} s")
        return self._pipe.recv()


def tick_together(replicas: list[Replica]) -> list[Tick]:
    """All of them tick at the same time."""
    for each in replicas:
        each.tell("tick")
    return [each.answer() for each in replicas]


def _serve(
    pipe: Connection, holder: str, folder: Path, models: int, journal: str, counters: str
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    home = folder / holder
    (home / "keys").mkdir(parents=True)
    for key in (folder / "keys").iterdir():
        (home / "keys" / key.name).write_bytes(key.read_bytes())
        (home / "keys" / key.name).chmod(0o600)
    fleet = HealthyFleet(home, models)
    asked = _Moments()
    fleet.metrics = PrometheusMetrics(
        counters, {m.target: _watched(m) for m in fleet.models}, monotonic_s=asked
    )
    fleet.next_window()
    world_mb = _resident_mb()
    with open_durable(
        home, journal, at=SystemClock().now(), settings=JournalSettings.model_validate({})
    ) as durable:
        controller = _controller(fleet, durable, FileLeases(folder / "leases"), holder)
        pipe.send(world_mb)
        words: dict[str, Callable[[], Any]] = {
            "tick": lambda: _tick(controller, asked),
            "window": fleet.next_window,
            "resident": _resident_mb,
        }
        while True:
            pipe.send(words[pipe.recv()]())


def _controller(
    fleet: HealthyFleet, durable: Durable, leases: FileLeases, holder: str
) -> Controller:
    controller = Controller(
        fleet.targets(),
        journal=durable.journal,
        checkpointer=durable.checkpointer,
        leases=leases,
        policies=builtin_policies(),
        tools=all_tools(),
        kill_switch=durable.address.home / "STOP",
        holder=holder,
        clock=SystemClock(),
    )
    controller.start()
    return controller


class _Moments:
    """Every tick comes long enough after the last for its counters to be judged."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def _tick(controller: Controller, asked: _Moments) -> Tick:
    asked.at_s += BETWEEN_S
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    controller.tick()
    return Tick(
        seconds=time.perf_counter() - begin_s,
        cpu_s=time.process_time() - begin_cpu_s,
        held=controller.held,
        waiting=controller.waiting,
    )


def _watched(model: ManagedModel) -> Watched:
    return Watched(
        namespace=model.metadata.namespace, service=model.spec.serving.host, objective_ms=250
    )


def _resident_mb() -> float:
    """The most that the process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
