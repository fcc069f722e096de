"""Rules at work in whole incidents: freezes, budgets, the fleet, and autonomy that is earned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from stage import Play, Stage, acted, closed, quick_world

from orchestrator import approvals
from orchestrator.journal import kinds
from orchestrator.journal.incidents import open_intents
from orchestrator.journal.payloads import AutonomyChanged, GuardJudged, PlanMade
from orchestrator.policy_files import builtin_policies
from policies.context import GuardContext
from policies.engine import judge
from simulations.faults import no_fault
from simulations.fleet import FleetWorld
from simulations.mendloop_operator import MendloopOperator
from simulations.population import CHANGED
from simulations.rehearsal import incidents_of
from simulations.releases import Release
from simulations.scenario import Scenario
from simulations.world import World
from tools.documents import parse_document
from tools.errors import Unavailable

FREEZE = """
apiVersion: mendloop.dev/v1alpha1
kind: ChangeCalendar
metadata: {name: shop}
spec:
  timeZone: Europe/Berlin
  freezes: [{name: sale, from: 2012-12-31T00:00:00, until: 2013-02-01T00:00:00}]
"""


def begin(folder: Path, **spec: Any) -> Play:
    """An ordinary play whose controller follows the rules in ``folder / policies``."""
    (folder / "policies").mkdir(parents=True)
    return Play.begin(folder, **spec)


def freeze(play: Play, *, lasts: bool = True) -> None:
    file = play.world.folder / "policies" / "shop.yaml"
    if lasts:
        file.write_text(FREEZE, encoding="utf-8")
    else:
        file.unlink()


def said(world: World | FleetWorld, kind: str) -> list[str]:
    return [str(event.payload.get("reason", "")) for event in world.journal.events(kinds=[kind])]


def test_a_freeze_that_begins_mid_canary_holds_it_and_the_canary_goes_on_when_it_ends(
    tmp_path: Path,
) -> None:
    """No further share is given; the incident waits with the rule's name, said once."""
    play = begin(tmp_path)
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"), hours=1)
    freeze(play)
    play.tick(10, hours=1)

    assert dict(play.world.standing().shares) == {"1": 90, "2": 10}
    assert [r for r in said(play.world, kinds.INCIDENT_WAITING) if "shop: sale" in r] != []
    assert sum("shop: sale" in r for r in said(play.world, kinds.INCIDENT_WAITING)) == 1
    assert play.tools().count("advance_canary") == 0

    freeze(play, lasts=False)
    (incident,) = play.until_closed()

    assert incident.outcome == "promoted"
    play.check()


def test_harm_found_in_a_freeze_is_undone_at_once(tmp_path: Path) -> None:
    """A version that goes bad while its canary is held: no freeze holds up the way back."""
    play = begin(tmp_path)
    play.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "judge_canary"), hours=1)
    freeze(play)
    play.tick(2, hours=1)
    assert dict(play.world.standing().shares) == {"1": 90, "2": 10}

    play.world.foundry.made["2"] = Release(error_rate=0.3)
    play.until(lambda world: acted(world, "roll_back"), ticks=30, hours=1)

    assert dict(play.world.standing().shares) == {"1": 100}
    play.check()


def test_in_a_freeze_a_candidate_is_trained_and_waits_with_no_traffic(tmp_path: Path) -> None:
    """What touches nobody goes on; nothing that serves is changed."""
    play = begin(tmp_path)
    freeze(play)
    play.world.become(CHANGED)
    play.until(lambda world: acted(world, "retrain_full"))
    play.tick(6)

    assert dict(play.world.standing().shares) == {"1": 100}
    assert set(play.world.standing().servers) == {"1"}
    assert play.tools()[-1] == "retrain_full"
    assert closed(play.world) == []


def test_a_spent_budget_escalates_with_the_rules_name_and_nothing_is_tried(tmp_path: Path) -> None:
    """Forbidden steps are never planned; whoever is called reads why."""
    play = Play.begin(tmp_path, guardrails={"budget": {"money": 5.0}})
    play.world.become(CHANGED)
    (incident,) = play.until_closed()

    assert incident.status == "escalated"
    assert "retrain_full" not in play.tools()
    (reason,) = [
        event.payload["summary"]
        for event in play.world.journal.events(kinds=[kinds.INCIDENT_ESCALATED])
    ]
    assert "remediation-budget: 0.0 of 5.0 CPU minutes" in reason
    play.check()


def test_a_plan_says_which_rule_ruled_out_what(tmp_path: Path) -> None:
    """The dearer way is taken, and the journal tells which rule closed the cheaper one."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "own.yaml").write_text(
        """
apiVersion: mendloop.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: recent-is-thin}
spec:
  matchConstraints: {tools: [retrain_recent], stages: [planning]}
  validations: [{expression: "false", message: recent data is too thin here}]
""",
        encoding="utf-8",
    )
    play = Play.begin(tmp_path)
    play.world.become(CHANGED)
    play.until(lambda world: acted(world, "retrain_full"))
    made = [e.read(PlanMade) for e in play.world.journal.events(kinds=[kinds.PLAN_MADE])]

    rejected = {r.tool: r.reason for r in made[0].rejected}
    assert rejected["retrain_recent"] == "recent-is-thin: recent data is too thin here"
    (judged,) = [
        event.read(GuardJudged)
        for event in play.world.journal.events(kinds=[kinds.GUARD_JUDGED])
        if event.payload["stage"] == "planning"
    ]
    assert judged.tool == "retrain_recent"


def test_every_ruling_can_be_made_again_from_what_it_recorded(tmp_path: Path) -> None:
    """The context in the journal is all that the rules could read: same rules, same verdicts."""
    play = begin(tmp_path)
    play.world.become(CHANGED)
    play.until(lambda world: acted(world, "promote"))
    rules, count = builtin_policies(), 0
    for event in play.world.journal.events(kinds=[kinds.GUARD_JUDGED]):
        judged = event.read(GuardJudged)
        again = judge(rules, GuardContext.model_validate(judged.context))

        assert again.model_dump(mode="json") == judged.ruling.model_dump(mode="json")
        assert len(yaml.safe_dump(judged.context)) < 16_384
        count += 1
    assert count > 8


LADDER = {"autonomy": "approve", "ladder": {"start": "propose", "incidents": 2}}


def rungs(world: World) -> list[tuple[str, str, str]]:
    moved = [e.read(AutonomyChanged) for e in world.journal.events(kinds=[kinds.AUTONOMY_CHANGED])]
    return [(m.before, m.after, m.cause) for m in moved]


def approve_all(world: World) -> None:
    """A person says yes to everything that waits."""
    for event in world.journal.events(kinds=[kinds.APPROVAL_REQUESTED]):
        name = event.payload["approval"]
        standing = approvals.find(world.journal, name)
        if standing is not None and standing.status == "pending":
            approvals.answer(world.journal, world.clock, name, by="kim", approve=True)


def test_autonomy_is_earned_by_incidents_closed_well_up_to_the_ceiling_and_not_beyond(
    tmp_path: Path,
) -> None:
    """Two releases that a person approved and that held: the next rung, not above the ceiling."""
    world = quick_world(tmp_path, guardrails={**LADDER, "coolDown": "1h"})
    stage = Stage(world)
    play = Play(world, stage, stage.controller(no_fault))
    play.tick(6)
    for number in range(1, 3):
        world.submit_challenger(Release(), key=f"release-{number}")
        for _ in range(40):
            play.tick(1, hours=3)
            approve_all(world)
            if len(closed(world)) == number:
                break
    assert [i.outcome for i in incidents_of(world)] == ["promoted"] * 2
    play.tick(3, hours=3)

    assert rungs(world) == [("propose", "approve", "earned")]
    assert world.journal.events(incident="inc-1", kinds=[kinds.APPROVAL_REQUESTED]) != []
    play.check()


def test_autonomy_is_lost_when_its_own_promotion_has_to_be_undone(tmp_path: Path) -> None:
    """Labels, too late for the canary, show that the promoted version is worse: a rung down, on the
    record."""
    guardrails = {"autonomy": "auto", "ladder": {"start": "auto"}}
    late = {"delay": "60h"}
    play = Play.begin(tmp_path, guardrails=guardrails, rollout={"probation": "6d"}, label=late)
    play.world.submit_challenger(Release(model=CHANGED))
    play.until(lambda world: acted(world, "promote"), hours=1)
    play.until(lambda world: acted(world, "switch_back"))
    play.tick(1)

    assert rungs(play.world) == [("auto", "approve", "revoked")]
    (event,) = play.world.journal.events(kinds=[kinds.AUTONOMY_CHANGED])
    assert "its own promotion had to be undone" in event.payload["reason"]
    play.check()


TWO = """
apiVersion: mendloop.dev/v1alpha1
kind: Scenario
metadata: {name: two-releases, labels: {family: compound}}
spec:
  description: Two models get a good release at the same time.
  world:
    duration: 3d
    models: [{name: price}, {name: rank}]
  faults:
    - {kind: release, quality: good, onset: 1d, targets: [price]}
    - {kind: release, quality: good, onset: 1d, targets: [rank]}
  truth:
    kind: fault
    goodOperator: Release one after the other.
    acceptable: [replace_model]
    forbidden: [retrain]
"""


def test_two_targets_are_changed_one_after_the_other(tmp_path: Path) -> None:
    """Half of the fleet's traffic may be under change: the second waits until the first is done."""
    scenario = parse_document(yaml.safe_load(TWO), Scenario, source="two-releases")
    world = FleetWorld(scenario, tmp_path, seed=1)
    operator = MendloopOperator()
    operator.start(world)
    end_s, released = scenario.spec.world.duration.total_seconds(), 0
    while world.now_s < end_s and released < 2:
        world.advance(900.0)
        operator.tick()
        outcomes = world.journal.events(kinds=[kinds.STEP_OUTCOME])
        released = sum(e.payload["tool"] == "promote" for e in outcomes)
    moving: set[str] = set()
    done: list[str] = []
    for event in world.journal.events(kinds=[kinds.STEP_OUTCOME]):
        match event.payload["tool"]:
            case "start_canary":
                moving.add(event.target)
                assert len(moving) == 1, "two targets are under change at once"
            case "promote" | "roll_back":
                moving.discard(event.target)
                done.append(event.target)
    waits = said(world, kinds.INCIDENT_WAITING)

    assert sorted(done) == ["default/price", "default/rank"]
    assert any("blast-radius" in reason for reason in waits)
    assert world.violations == []


def test_a_begun_step_that_a_freeze_stops_is_answered_and_what_it_did_is_taken_back(
    tmp_path: Path,
) -> None:
    """The first share may have been given when the freeze began: no intent stays open, and no
    traffic stays where nobody watches it."""
    play = begin(tmp_path)
    play.world.submit_challenger(Release())

    written: list[str] = []

    def lose_the_answer(call: str) -> None:
        if call == "traffic.patch:after":
            written.append(call)
        if written and call.startswith("traffic."):
            raise Unavailable("the connection broke after the write")

    play.world.fault = lose_the_answer
    play.until(lambda world: world.standing().shares.get("2") == 10, ticks=8, hours=1)
    assert len(open_intents(play.world.journal.events())) == 1
    assert dict(play.world.standing().shares) == {"1": 90, "2": 10}
    freeze(play)
    play.world.fault = no_fault
    play.tick(6, hours=0)
    answers = [
        e.payload["detail"]
        for e in play.world.journal.events(kinds=[kinds.STEP_OUTCOME])
        if e.payload["tool"] == "start_canary"
    ]

    assert open_intents(play.world.journal.events()) == []
    assert "given up" in answers[0]
    assert dict(play.world.standing().shares) == {"1": 100}
    play.check()
