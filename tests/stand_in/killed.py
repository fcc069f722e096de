"""Processes that are killed with SIGKILL at random moments, again and again, and then finish.

``python -m tests.stand_in.killed approvals|notifications FOLDER KILLS SEED [URL]``. Forked from one
process that has imported everything, so that a kill costs milliseconds. What was acknowledged
before a kill stands in ``FOLDER/acknowledged``; the tests compare.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agents.catalog import all_tools
from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification
from agents.memory import TargetMemory
from agents.ports import Desk
from orchestrator import approvals, asking
from orchestrator.approvals import APPROVAL_KINDS, fold_approvals
from orchestrator.journal import kinds
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.payloads import IncidentOpened
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.notifications.channels import NotificationChannels
from orchestrator.notifications.sender import Sender
from orchestrator.notifications.service import deliver_backlog, make_senders
from orchestrator.recorder import Recorder
from orchestrator.session import Session
from orchestrator.steps import act, new_step
from policies.ruling import Decision, RuleVerdict, Ruling
from simulations.rehearsal import session_of
from simulations.world import World
from tools.clock import SystemClock
from tools.documents import parse_document
from tools.http_webhook import HttpWebhook
from tools.managed_model import ManagedModel

Work = Callable[[], bool]
"""One round of work; False when nothing is left to do."""

MOST_S = 0.25
"""Long enough for some rounds of any worker, short enough to meet each moment of the first."""
STEPS_AFTER = 5
ROUNDS = 4
"""That one life of a writer writes: what is left undelivered in the end is waited for."""
TARGETS = ("default/a", "default/b")


def note(path: Path, line: str) -> None:
    """Append one line, whole, to a file that several processes write."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def killed(begin: Callable[[], Work], rng: random.Random) -> None:
    """One life: begins, works, and is killed at a random moment."""
    child = os.fork()
    if child == 0:
        try:
            work = begin()
            while True:
                work()
        finally:
            os._exit(70)  # an error: a kill leaves no time for this
    signal.sigtimedwait({signal.SIGCHLD}, rng.uniform(0.0, MOST_S))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"ended by itself with {os.waitstatus_to_exitcode(status)}"


class Effect:
    """A tool whose effect is a line in a file: looked for before it is made."""

    contract = Contract(
        name="promote",
        agent="deployer",
        purpose="Leave a line.",
        concern="model",
        undo="nothing to undo",
        deadline_s=3600.0,
    )

    def __init__(self, path: Path) -> None:
        self._path = path

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (self.contract.operation(requires=(), achieves={}, cost=Cost(minutes=1.0)),)

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        done = self._path.read_text().split() if self._path.exists() else []
        if call.key not in done:
            note(self._path, call.key)
        return Receipt(already=call.key in done, detail="the line is there")

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return Verification(holds=Holds.HOLDS, detail="the line is there")


RULING = Ruling(
    decision=Decision.REQUIRE_APPROVAL,
    verdicts=(
        RuleVerdict(
            policy="a", rule=0, result="violated", action="RequireApproval", message="a person"
        ),
    ),
)


class Approvals:
    """A controller that asks, uses and acts, and a person who answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        world = World(folder / "world")
        self._session = session_of(world)
        self._clock = world.clock
        SqliteJournal(folder / "mendloop.db").close()

    def controller(self) -> Work:
        journal = SqliteJournal(self._folder / "mendloop.db")
        tool = Effect(self._folder / "effects")
        session: Session = replace(
            self._session,
            recorder=Recorder(journal, self._clock, self._session.target),
            tools={"promote": tool},
        )
        (operation,) = tool.operations(session.model)

        def one() -> bool:
            done = journal.events(kinds=[kinds.STEP_OUTCOME])
            step = new_step(session, operation, incident="inc-1", number=1, attempt=len(done) + 1)
            found = asking.ask(session, step, RULING)
            if found.status in ("given", "used"):
                session.approval = asking.use_of(found, step)
                act(session, step)
            return len(done) < self.goal

        return one

    def person(self) -> Work:
        journal = SqliteJournal(self._folder / "mendloop.db")

        def one() -> bool:
            for asked in fold_approvals(journal.events(kinds=APPROVAL_KINDS)):
                if asked.status == "pending":
                    approvals.answer(journal, self._clock, asked.approval, by="kim", approve=True)
                    note(self._folder / "acknowledged", asked.approval)
            return True

        return one

    def run(self, kills: int, rng: random.Random) -> None:
        self.goal = 0
        for _ in range(kills):
            killed(rng.choice([self.controller, self.person]), rng)
        journal = SqliteJournal(self._folder / "mendloop.db")
        self.goal = len(journal.events(kinds=[kinds.STEP_OUTCOME])) + STEPS_AFTER
        journal.close()
        controller, person = self.controller(), self.person()
        while controller():
            person()


class Notifications:
    """Somebody who writes the journal, and a sender that delivers from it."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        SqliteJournal(folder / "mendloop.db").close()
        # Nothing stays open here: who opens the journal last looks through what the dead left.
        for sender in self._senders():
            sender.outbox.close()
            sender.journal.close()

    def _senders(self) -> list[Sender]:
        channel = {"name": "ops", "url": self._url, "timeout": "2s"}
        document = parse_document(
            {
                "apiVersion": "mendloop.dev/v1alpha1",
                "kind": "NotificationChannels",
                "metadata": {"name": "team"},
                "spec": {"channels": [channel]},
            },
            NotificationChannels,
            source="test",
        )
        return make_senders(
            document,
            JournalAddress(self._folder),
            webhook=HttpWebhook(),
            clock=SystemClock(),
            tools=all_tools(),
        )

    def writer(self) -> Work:
        journal = SqliteJournal(self._folder / "mendloop.db")
        left = iter(range(ROUNDS))

        def one() -> bool:
            if next(left, None) is None:
                signal.pause()
            for target in TARGETS:
                opened = IncidentOpened(trigger="performance", summary="s")
                event = journal.append(
                    kinds.INCIDENT_OPENED,
                    at=datetime.now(UTC),
                    actor="monitor",
                    payload=opened,
                    target=target,
                    incident="inc-1",
                )
                note(self._folder / "acknowledged", event.id)
            return True

        return one

    def sender(self) -> Work:
        (sender,) = self._senders()

        def one() -> bool:
            sender.step()
            return True

        return one

    def run(self, kills: int, rng: random.Random) -> None:
        for number in range(kills):
            killed(self.writer if number % 2 == 0 else self.sender, rng)
        (sender,) = self._senders()
        assert deliver_backlog(sender, wait=threading.Event(), limit_s=300.0)


def main() -> None:
    what, folder, kills, seed, *url = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    place = Path(folder)
    worker = Approvals(place) if what == "approvals" else Notifications(place, *url)
    worker.run(int(kills), random.Random(int(seed)))


if __name__ == "__main__":
    main()
