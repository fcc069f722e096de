"""Kills one of two controllers again and again: how long its targets are nobody's, and no effect
twice.

Two processes with the real controller share a journal in PostgreSQL and Leases behind an API server
(the tests' stand-in, over HTTP). Each acts on its targets all the time: intent, a patch of one
object in the cluster, outcome. One is killed with SIGKILL, at any instruction; a new one follows.
Targets: every target has another owner within the lease time + 2 s, and no step took effect twice.

Run it as ``python -m benchmarks.takeover [--kills 50] [--quick] [--json]``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from agents.catalog import all_tools
from agents.contract import Call, Contract, Cost, Operation, Receipt, Undo, Verification
from agents.memory import TargetMemory
from agents.ports import Desk
from orchestrator.controller import Controller
from orchestrator.in_memory import memory_checkpointer
from orchestrator.journal import kinds
from orchestrator.journal.payloads import LeaseAcquired, StepIntended, StepOutcome
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.policy_files import builtin_policies
from orchestrator.session import Session
from orchestrator.steps import act, new_step
from simulations.healthy_fleet import HealthyFleet
from tests.stand_in.kubernetes_api import api_server
from tests.stand_in.postgres import missing_reason, running_postgres
from tools.clock import SystemClock
from tools.errors import MendloopError
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_errors import NotFound
from tools.kubernetes_kinds import CONFIG_MAP
from tools.kubernetes_lease import KubernetesLeases
from tools.postgres import Database

LEASE_S = 3.0
LIMIT_S = LEASE_S + 2.0
MODELS = 8
NAMESPACE = "mendloop"
_PATIENCE_S = 300.0
"""A process on a busy machine may take long to begin."""


class Mark:
    """A tool whose effect can be counted: it adds its key to an object of the target."""

    contract = Contract(
        name="mark",
        agent="deployer",
        purpose="leave a mark",
        concern="model",
        undo=Undo.NOTHING,
        deadline_s=60.0,
        changes_production=False,
    )
    operation = contract.operation(requires=(), achieves={}, cost=Cost(minutes=0.0))

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def operations(self, model: Any) -> tuple[Operation, ...]:
        """Nothing that a plan would take."""
        return ()

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        """Looks at the world first, as every tool does."""
        name = call.model.metadata.name
        standing = self._api.read(CONFIG_MAP, NAMESPACE, name)
        if call.key in standing.get("data", {}):
            return Receipt(already=True, detail="it is there")
        marked = {**standing.get("data", {}), call.key: str(call.token)}
        self._api.replace(CONFIG_MAP, {**standing, "data": marked})
        return Receipt(detail="marked")

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        """Never asked here."""
        raise NotImplementedError


def control(holder: str, database: str, url: str, folder: Path) -> None:
    """One controller: ticks, and takes a step on each of its targets."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    fleet = HealthyFleet(folder, MODELS)
    api = KubernetesApi.at(url)
    leases = KubernetesLeases(
        api, SystemClock(), namespace=NAMESPACE, ttl_s=LEASE_S, margin_s=LEASE_S / 5, poll_s=0.2
    )
    mark = Mark(api)
    controller = Controller(
        fleet.targets(),
        journal=PostgresJournal(Database(database)),
        checkpointer=memory_checkpointer(),
        leases=leases,
        policies=builtin_policies(),
        tools={**all_tools(), "mark": mark},
        kill_switch=folder / "STOP",
        holder=holder,
    )
    controller.start()
    with leases.renewed(holder):
        while True:
            controller.tick()
            for target in fleet.targets():
                session = controller._own.standing(target.model.target)
                if session is not None:
                    with suppress(MendloopError):
                        _step(session, mark.operation)


def _step(session: Session, operation: Operation) -> None:
    """The step that was begun last, if nobody knows what came of it; else the next one."""
    journal, target = session.recorder.journal, session.target
    incident = f"marks-{session.model.metadata.name}"
    begun = journal.last(kinds.STEP_INTENDED, target=target)
    number = 1
    if begun is not None:
        answered = journal.last(kinds.STEP_OUTCOME, target=target)
        number = begun.read(StepIntended).step
        if answered is not None and answered.read(StepOutcome).key == begun.payload["key"]:
            number += 1
    act(session, new_step(session, operation, incident=incident, number=number, attempt=number))


class Pair:
    """Two live controllers, one of which is about to die."""

    def __init__(self, database: str, url: str, folder: Path) -> None:
        self._of = (database, url)
        self._folder = folder
        self._born = 0
        self.journal = PostgresJournal(Database(database))
        self.live: dict[str, SpawnProcess] = {}

    def begin(self) -> None:
        """One more process."""
        self._born += 1
        holder = f"controller-{self._born}"
        folder = self._folder / holder
        folder.mkdir()
        process = multiprocessing.get_context("spawn").Process(
            target=control, args=(holder, *self._of, folder), daemon=True
        )
        process.start()
        self.live[holder] = process

    def owners(self, after: int = 0) -> dict[str, str]:
        """Target -> its newest owner."""
        taken = self.journal.events(kinds=[kinds.LEASE_ACQUIRED], after=after)
        return {event.target: event.read(LeaseAcquired).holder for event in taken}

    def settle(self) -> None:
        """Until both have equal shares."""
        names = set(self.live)
        _await(lambda: Counter(self.owners().values()) == dict.fromkeys(names, MODELS // 2))

    def kill(self, holder: str) -> float:
        """Seconds until the last of its targets was another's."""
        head = self.journal.head().seq
        lost = {target for target, owner in self.owners().items() if owner == holder}
        pid = self.live.pop(holder).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        began_s = time.monotonic()
        _await(lambda: lost <= {t for t, h in self.owners(head).items() if h != holder})
        return time.monotonic() - began_s


def measure(kills: int, seed: int) -> dict[str, Any]:
    """The figures of one run."""
    chance = random.Random(seed)
    with (
        running_postgres() as server,
        api_server() as (url, _),
        tempfile.TemporaryDirectory() as folder,
    ):
        pair = Pair(server.url(server.make_database()), url, Path(folder))
        api = KubernetesApi.at(url)
        for number in range(MODELS):
            _make(api, f"parcels-{number}")
        gaps = []
        try:
            pair.begin()
            for _ in range(kills):
                pair.begin()
                pair.settle()
                time.sleep(chance.uniform(0.0, LEASE_S / 3))  # at any time since its renewal
                gaps.append(pair.kill(next(iter(pair.live))))
        finally:
            for process in pair.live.values():
                process.kill()
        found = _effects(pair.journal, api)
    return {
        "kills": kills,
        "lease_s": LEASE_S,
        "limit_s": LIMIT_S,
        "takeover_median_s": statistics.median(gaps),
        "takeover_max_s": max(gaps),
        **found,
        "holds": max(gaps) <= LIMIT_S and not found["twice"] and not found["unrecorded"],
    }


def _effects(journal: PostgresJournal, api: KubernetesApi) -> dict[str, int]:
    """What the cluster has, against what the journal says."""
    intents: Counter[str] = Counter()
    applied: Counter[str] = Counter()
    for event in journal.events(kinds=[kinds.STEP_INTENDED, kinds.STEP_OUTCOME]):
        if event.kind == kinds.STEP_INTENDED:
            intents[event.payload["key"]] += 1
        elif event.payload["result"] == "applied":
            applied[event.payload["key"]] += 1
    marks = Counter(
        key
        for number in range(MODELS)
        for key in api.read(CONFIG_MAP, NAMESPACE, f"parcels-{number}").get("data", {})
    )
    return {
        "steps": len(marks),
        "twice": sum(n > 1 for n in (*applied.values(), *intents.values())),
        "unrecorded": sum(key not in intents for key in marks),
    }


def _make(api: KubernetesApi, name: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {},
    }
    with suppress(NotFound):
        api.create(CONFIG_MAP, body)


def _await(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not reached within {_PATIENCE_S:g} s")
        time.sleep(0.05)


def main() -> None:
    """Print the table or the JSON; exit code 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="4 kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if missing_reason():
        print(f"skipped: {missing_reason()}")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    found = measure(4 if options.quick else options.kills, options.seed)
    if options.json:
        print(json.dumps(found))
    else:
        table = Table(title=f"{found['kills']} kills; a lease lasts {LEASE_S:g} s")
        for column in ("what", "measured", "limit"):
            table.add_column(column)
        table.add_row("takeover, median", f"{found['takeover_median_s']:.2f} s", "")
        table.add_row("takeover, worst", f"{found['takeover_max_s']:.2f} s", f"{LIMIT_S:g} s")
        table.add_row(f"of {found['steps']} steps, effects twice", str(found["twice"]), "0")
        table.add_row("effects that nobody intended", str(found["unrecorded"]), "0")
        Console().print(table)
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
