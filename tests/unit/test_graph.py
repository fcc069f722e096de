"""An incident's thread: what it keeps, where it sleeps, how it plans again, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from agents.contract import Cost
from agents.facts import CAUSE, QUALITY, UNKNOWN
from orchestrator import nodes
from orchestrator.controller import Controller
from orchestrator.goals import QUALITY_MET, RELEASE_DECIDED
from orchestrator.graph import build_graph
from orchestrator.journal import kinds
from orchestrator.steps import new_step
from policies.engine import PolicySet, load_policies
from simulations.crashes import Killed, Point, Trigger
from simulations.faults import no_fault
from simulations.rehearsal import controller_of, incidents_of, run_until, session_of
from simulations.releases import Release
from simulations.world import LEASE_S, World
from tools.errors import Unavailable

POLICY = """
apiVersion: mendloop.dev/v1alpha1
kind: GuardrailPolicy
metadata:
  name: {name}
spec:
  description: For a test.
  matchConstraints:
    tools: [{tool}]
    stages: [{stages}]
  validations:
    - expression: "!pause.active && step.tool != '{tool}'"
      message: not this one
  action: Deny
  transient: {transient}
  examples:
    - name: it is denied
      context: {{step: {{tool: {tool}}}, pause: {{active: false}}}}
      expect: deny
"""


def denying(tool: str, *, stages: str = "planning, acting", transient: bool = False) -> PolicySet:
    told = {"tool": tool, "stages": stages, "transient": str(transient).lower()}
    return load_policies({"test.yaml": POLICY.format(name="no-such-step", **told)})


def begin(world: World, saver: Any, *, policies: PolicySet | None = None) -> Controller:
    controller = controller_of(world, saver, policies=policies)
    world.step()
    controller.tick()
    world.submit_challenger(Release())
    return controller


def tick(world: World, controller: Controller, times: int = 1, *, hours: int = 6) -> None:
    for _ in range(times):
        world.step(hours=hours)
        controller.tick()


def acted(world: World) -> list[tuple[str, str]]:
    return [(a.tool, a.verdict) for i in incidents_of(world) for a in i.actions]


def standing_canary(world: World) -> bool:
    return ("start_canary", "holds") in acted(world)


def test_the_threads_state_stays_small_and_json_native_through_a_whole_incident(
    tmp_path: Path,
) -> None:
    """LangGraph rewrites all of it at each step, and models do not survive its serializer."""
    world, saver = World(tmp_path), InMemorySaver()
    controller = begin(world, saver)
    largest = 0
    for _ in range(8):
        tick(world, controller)
        state = build_graph(saver).get_state({"configurable": {"thread_id": "inc-1"}}).values
        largest = max(largest, len(json.dumps(state)))

    assert 0 < largest < 8_000


def test_a_forbidden_step_is_never_planned_and_the_rule_is_named(tmp_path: Path) -> None:
    """No other way leads to the goal: the person who is called reads which rule it was."""
    world = World(tmp_path)
    controller = begin(world, InMemorySaver(), policies=denying("start_canary"))
    tick(world, controller, 4)
    (incident,) = incidents_of(world)

    assert incident.status == "escalated"
    assert incident.actions == ()
    assert world.journal.events(kinds=[kinds.PLAN_MADE]) == []
    (failed,) = world.journal.events(kinds=[kinds.PLAN_FAILED])
    assert "start_canary(percent=10): no-such-step: not this one" in failed.payload["reason"]
    assert "no-such-step: not this one" in json.dumps(failed.payload["rejected"])
    assert dict(world.standing().shares) == {"1": 100}


def test_a_canary_that_may_not_go_on_goes_back(tmp_path: Path) -> None:
    """A step is denied for good in the middle: no share is left standing half-way."""
    world = World(tmp_path)
    controller = begin(world, InMemorySaver(), policies=denying("advance_canary", stages="acting"))
    run_until(world, controller, lambda w: incidents_of(w)[0].status == "resolved", ticks=20)

    assert dict(world.standing().shares) == {"1": 100}
    assert incidents_of(world)[0].outcome == "undone"
    assert world.ledger.broken == []


@pytest.mark.parametrize("stages", ["planning, acting", "acting"])
def test_a_denial_that_may_pass_is_waited_for_and_said_once(tmp_path: Path, stages: str) -> None:
    """A transient rule holds the incident open, and spends none of its steps."""
    world = World(tmp_path)
    held = denying("start_canary", stages=stages, transient=True)
    controller = begin(world, InMemorySaver(), policies=held)
    tick(world, controller, 8)
    (incident,) = incidents_of(world)
    waits = [
        e
        for e in world.journal.events(kinds=[kinds.INCIDENT_WAITING])
        if "not this one" in e.payload["reason"]
    ]

    assert incident.status == "waiting"
    assert len(waits) == 1
    assert len(world.journal.events(kinds=[kinds.PLAN_FAILED])) == 1


def test_a_finished_thread_leaves_no_checkpoint(tmp_path: Path) -> None:
    """The journal is what remains of an incident."""
    world, saver = World(tmp_path), InMemorySaver()
    controller = begin(world, saver)
    run_until(world, controller, lambda w: incidents_of(w)[0].status == "resolved", ticks=40)

    assert list(saver.list(None)) == []


def test_a_thread_whose_controller_died_before_deleting_it_is_deleted_by_the_next(
    tmp_path: Path,
) -> None:
    """The incident is closed in the journal: nobody would wake its thread again."""
    world, saver = World(tmp_path), InMemorySaver()
    controller = begin(world, saver, policies=denying("start_canary"))

    def die_at_the_end(call: str) -> None:
        ended = any(i.status == "escalated" for i in incidents_of(world))
        if call == "journal.append:after" and ended:
            raise Killed("right after the last event")

    world.fault = die_at_the_end
    with pytest.raises(Killed):
        tick(world, controller, 6)
    world.fault = no_fault
    left = {item.config["configurable"]["thread_id"] for item in saver.list(None)}
    assert left == {"inc-1"}

    controller_of(world, saver, holder="next")
    assert list(saver.list(None)) == []


def test_a_new_controller_knows_the_cause_that_the_last_one_found(tmp_path: Path) -> None:
    """Taken over between diagnosis and plan: the thread knows the cause, the session does not."""
    world = World(tmp_path)
    world.step(hours=12)
    controller = controller_of(world, InMemorySaver(), holder="rehearsal")
    controller.tick()
    session = session_of(world)
    session.learn({QUALITY: "degraded"}, source="test")
    state = {"incident": "inc-1", "goal": QUALITY_MET.name, "cause": "concept_drift"}
    nodes.recall(state, session)
    change = nodes.plan(state, session)

    assert session.state.value(CAUSE) == "concept_drift"
    assert change["plan"][:2] == ["pin_training_data(scope=full)", "retrain_full"]


def test_the_cause_of_one_incident_is_not_believed_in_the_next(tmp_path: Path) -> None:
    """What a session learned in one thread does not leak into another."""
    session = session_of(World(tmp_path))
    nodes.recall({"cause": "concept_drift"}, session)
    nodes.recall({}, session)

    assert session.state.value(CAUSE) == UNKNOWN


def test_a_step_cut_off_before_its_act_is_judged_again_by_the_next_controller(
    tmp_path: Path,
) -> None:
    """Somebody pulled the switch while nobody was there: the permission of before is void."""
    world, saver = World(tmp_path), InMemorySaver()
    controller = begin(world, saver)
    world.fault = Trigger(Point("workloads.start:before", 1))
    with pytest.raises(Killed):
        tick(world, controller, 3)
    world.fault = no_fault
    world.kill_switch.touch()
    world.step(seconds=LEASE_S + 1)
    successor = controller_of(world, saver, holder="next")
    tick(world, successor, 4)
    assert world.ledger.effects == []

    world.kill_switch.unlink()
    tick(world, successor, 3)
    assert [e.what for e in world.ledger.effects][:1] == ["servers 2"]


def silence(call: str) -> None:
    if call == "workloads.servers:before":
        raise Unavailable("the API server does not answer")


@pytest.mark.parametrize(("tool", "waits"), [("start_canary", True), ("roll_back", False)])
def test_silence_of_the_platform_holds_a_step_up_but_rules_nothing_out_and_stops_no_undo(
    tmp_path: Path, tool: str, waits: bool
) -> None:
    """The guardrails cannot see the candidate: unknown is no denial for good; undo comes first."""
    world = World(tmp_path)
    world.submit_challenger(Release())
    session = session_of(world)
    operation = session.tools[tool].operations(world.document)[0]
    step = new_step(session, operation, incident="inc-1", number=1, attempt=1)
    state = {"incident": "inc-1", "goal": RELEASE_DECIDED.name, "step": step.model_dump()}
    world.fault = silence

    if waits:
        with pytest.raises(Unavailable, match=r"start_canary.* waits for the platform"):
            nodes.guard(state, session)
    else:
        assert nodes.guard(state, session)["next"] == "act"


def test_an_incident_of_too_many_steps_ends_with_the_traffic_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the most steps nothing new is begun, but what stands half-way is taken back."""
    monkeypatch.setattr(nodes, "MAX_STEPS", 3)
    world = World(tmp_path)
    controller = begin(world, InMemorySaver())
    run_until(world, controller, lambda w: incidents_of(w)[0].status == "resolved", ticks=30)
    tools = [tool for tool, _ in acted(world)]

    assert tools[:2] == ["deploy_challenger", "start_canary"]
    assert "roll_back" in tools
    assert len(tools) <= 3 + nodes.TIDYING_STEPS
    assert dict(world.standing().shares) == {"1": 100}


def test_a_plan_never_costs_nothing() -> None:
    """Otherwise the search could walk in circles for free."""
    assert Cost(minutes=0).total > 0
