"""Steps: intent, act and outcome under one key, taken up again wherever a controller died."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import CHALLENGER
from agents.memory import TargetMemory
from agents.ports import Desk
from orchestrator.journal import kinds
from orchestrator.journal.incidents import duplicated_effects
from orchestrator.session import Session
from orchestrator.steps import Acted, StepRecord, act, check, is_answered, new_step
from simulations.rehearsal import session_of
from simulations.world import LEASE_S, World
from tools.errors import MendloopError, Refused, Unavailable, Uncertain
from tools.managed_model import ManagedModel

WATCHED = Contract(
    name="deploy_challenger",
    agent="deployer",
    purpose="To be watched.",
    concern="model",
    undo="nothing to undo",
    deadline_s=60.0,
)


@dataclass
class Spy:
    """A tool that counts how often it is applied, and fails as told."""

    errors: list[MendloopError] = field(default_factory=list)
    applied: int = 0
    found: Holds = Holds.UNKNOWN
    contract: Contract = WATCHED

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(CHALLENGER, "registered"),),
                achieves={CHALLENGER: "ready"},
                cost=Cost(minutes=1),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        if self.errors:
            raise self.errors.pop(0)
        self.applied += 1
        return Receipt(detail="done")

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return Verification(holds=self.found, detail="looked")


@dataclass
class Bench:
    """A session with the spy among its tools, and one step of it."""

    world: World
    session: Session
    spy: Spy
    step: StepRecord

    def kinds(self) -> list[str]:
        return [e.kind for e in self.world.journal.events(incident="inc-1")]

    def results(self) -> list[str]:
        outcomes = self.world.journal.events(kinds=[kinds.STEP_OUTCOME])
        return [e.payload["result"] for e in outcomes]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    world = World(tmp_path)
    session, spy = session_of(world), Spy()
    session.tools = {**session.tools, spy.contract.name: spy}
    operation = spy.operations(world.document)[0]
    step = new_step(session, operation, incident="inc-1", number=1, attempt=1)
    return Bench(world, session, spy, step)


def test_a_key_says_what_the_action_is_and_not_where_it_stands(bench: Bench) -> None:
    """Tool, target, arguments, incident and attempt; the number in the plan is not among them."""
    operation = bench.step.operation
    same = new_step(bench.session, operation, incident="inc-1", number=9, attempt=1)
    others = [
        new_step(bench.session, operation, incident="inc-2", number=1, attempt=1),
        new_step(bench.session, operation, incident="inc-1", number=1, attempt=2),
        new_step(
            bench.session,
            operation.model_copy(update={"arguments": {"percent": 5}}),
            incident="inc-1",
            number=1,
            attempt=1,
        ),
    ]

    assert same.key == bench.step.key
    assert len({bench.step.key, *(other.key for other in others)}) == 4


def test_the_intent_is_durable_before_the_act_and_the_outcome_after_it(bench: Bench) -> None:
    """Promise 2, in the order of the journal."""
    acted, _ = act(bench.session, bench.step)

    assert acted is Acted.DONE
    assert bench.kinds() == [kinds.STEP_INTENDED, kinds.STEP_OUTCOME]
    assert bench.spy.applied == 1


def test_nothing_is_done_when_the_intent_cannot_be_written(bench: Bench) -> None:
    """A full disk stops the act, not only its record."""

    def disk_full(call: str) -> None:
        if call == "journal.append:before":
            raise Unavailable("the disk is full")

    bench.world.fault = disk_full
    with pytest.raises(Unavailable):
        act(bench.session, bench.step)

    assert bench.spy.applied == 0


def test_a_step_that_has_an_outcome_is_not_taken_a_second_time(bench: Bench) -> None:
    """The controller died between writing the outcome and leaving the node."""
    first, second = act(bench.session, bench.step), act(bench.session, bench.step)

    assert first == second == (Acted.DONE, "done")
    assert bench.spy.applied == 1
    assert duplicated_effects(bench.world.journal.events()) == 0


def test_a_refused_step_stays_refused_for_whoever_takes_it_up(bench: Bench) -> None:
    """Its outcome is on record; asking again does not make it allowed."""
    bench.spy.errors = [Refused("no")]
    first, second = act(bench.session, bench.step), act(bench.session, bench.step)

    assert first == second == (Acted.BLOCKED, "no")
    assert bench.spy.applied == 0
    assert bench.results() == ["refused"]


def test_an_act_whose_answer_was_lost_has_no_outcome_until_it_is_looked_at_again(
    bench: Bench,
) -> None:
    """Uncertain and Unavailable are tried again under the same key, with one intent."""
    bench.spy.errors = [Uncertain("no answer"), Unavailable("down")]
    assert act(bench.session, bench.step)[0] is Acted.AGAIN
    assert not is_answered(bench.session, bench.step)
    assert act(bench.session, bench.step)[0] is Acted.AGAIN
    assert act(bench.session, bench.step)[0] is Acted.DONE

    assert bench.kinds() == [kinds.STEP_INTENDED, kinds.STEP_OUTCOME]


def test_what_stays_unavailable_past_the_deadline_is_closed(bench: Bench) -> None:
    """Bounded: another plan is better than waiting for ever."""
    bench.spy.errors = [Unavailable("down")]
    bench.world.step(hours=0, seconds=10)
    bench.session.leases.acquire(bench.world.target, "rehearsal")
    bench.world.step(hours=0, seconds=10)
    bench.session.leases.acquire(bench.world.target, "rehearsal")
    step = bench.step.model_copy(update={"started_s": bench.step.started_s - 60})

    assert act(bench.session, step)[0] is Acted.LATE
    assert bench.results() == ["unavailable"]


def test_nothing_is_done_without_the_lease(bench: Bench) -> None:
    """Promise 1: whoever lost the lease writes neither intent nor effect."""
    bench.world.step(hours=0, seconds=LEASE_S + 1)

    assert act(bench.session, bench.step)[0] is Acted.AGAIN
    assert bench.spy.applied == 0
    assert bench.kinds() == []


def test_unknown_is_neither_written_nor_a_failure_until_the_deadline(bench: Bench) -> None:
    """Then it counts as broken, and says that time was the reason."""
    act(bench.session, bench.step)
    assert check(bench.session, bench.step).holds is Holds.UNKNOWN
    assert kinds.STEP_VERIFIED not in bench.kinds()

    late = bench.step.model_copy(update={"started_s": bench.step.started_s - 60})
    found = check(bench.session, late)

    assert found.holds is Holds.BROKEN
    assert found.detail.startswith("not done within 60 s")
