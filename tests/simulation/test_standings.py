"""What is told of a target follows its incident from drift to promotion, and those who stop it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stage import Stage, WatchedSaver, closed, quick_world

from orchestrator.kill_switch import KillSwitch, Pause
from orchestrator.resources.standing import Standing, status_of
from simulations.faults import no_fault
from simulations.population import CHANGED
from simulations.rehearsal import controller_of, incidents_of, run_until
from tools.errors import Unavailable
from tools.managed_model_status import ManagedModelStatus, Phase


class Seen:
    """Every status that would have been written back, in order."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.world = quick_world(folder, **spec)
        self.stage = Stage(self.world)
        saver = WatchedSaver(self.stage._checkpoints, no_fault)
        self.statuses: list[ManagedModelStatus] = []
        self.controller = controller_of(self.world, saver, tell=self.tell)
        self.tick(6)

    def tell(self, standing: Standing) -> None:
        before = self.statuses[-1] if self.statuses else None
        now = self.world.clock.now()
        self.statuses.append(status_of(standing, before, generation=1, now=now))

    def tick(self, ticks: int = 1) -> ManagedModelStatus:
        for _ in range(ticks):
            self.world.step(hours=6)
            self.controller.tick()
        return self.statuses[-1]

    def phases(self) -> list[Phase]:
        """Without repetitions."""
        found: list[Phase] = []
        for status in self.statuses:
            if not found or found[-1] is not status.phase:
                found.append(status.phase)
        return found

    def until_closed(self) -> None:
        run_until(self.world, self.controller, lambda world: bool(closed(world)), ticks=80, hours=6)


def condition(status: ManagedModelStatus, kind: str) -> tuple[str, str]:
    [found] = [c for c in status.conditions if c.type == kind]
    return found.status, found.reason


def test_a_repair_is_told_from_drift_to_promotion(tmp_path: Path) -> None:
    """Healthy, repairing with the canary's share, healthy with another champion."""
    seen = Seen(tmp_path)
    assert seen.statuses[-1].phase is Phase.HEALTHY
    assert condition(seen.statuses[-1], "Healthy") == ("True", "GoalsHold")
    seen.world.become(CHANGED)
    seen.until_closed()
    last = seen.tick()

    assert seen.phases()[-2:] == [Phase.REPAIRING, Phase.HEALTHY]
    assert last.versions.champion == "2"
    assert (last.versions.stable_percent, last.versions.canary_percent) == (100, 0)
    assert last.last_incident is not None
    assert (last.last_incident.status, last.last_incident.outcome) == ("resolved", "promoted")
    assert {s.versions.canary_percent for s in seen.statuses} >= {0, 10, 50}
    assert ("False", "Performance") in {condition(s, "Healthy") for s in seen.statuses}


def test_times_of_conditions_are_those_of_their_last_change(tmp_path: Path) -> None:
    """A condition that stays what it was keeps its time, whatever else is written."""
    seen = Seen(tmp_path)
    [before] = [c for c in seen.statuses[-1].conditions if c.type == "Healthy"]
    seen.tick(3)
    [after] = [c for c in seen.statuses[-1].conditions if c.type == "Healthy"]
    assert after.last_transition_time == before.last_transition_time
    seen.world.become(CHANGED)
    for _ in range(40):
        [broken] = [c for c in seen.tick().conditions if c.type == "Healthy"]
        if broken.status == "False":
            break

    assert broken.status == "False"
    assert broken.last_transition_time > after.last_transition_time


def test_a_pause_is_told_with_who_and_why(tmp_path: Path) -> None:
    """And its end."""
    seen = Seen(tmp_path)
    switch = KillSwitch(seen.world.kill_switch)
    switch.pause(seen.world.target, Pause(by="kim", reason="fair week"))
    paused = seen.tick()
    switch.resume(seen.world.target)

    assert (paused.phase, paused.message) == (Phase.PAUSED, "paused by kim: fair week")
    assert condition(paused, "Healthy") == ("True", "GoalsHold")
    assert seen.tick().phase is Phase.HEALTHY


def test_a_step_that_waits_for_a_person_is_told(tmp_path: Path) -> None:
    """With the incident that it belongs to."""
    seen = Seen(tmp_path, guardrails={"autonomy": "approve"})
    seen.world.become(CHANGED)
    for _ in range(60):
        waiting = seen.tick()
        if waiting.phase is Phase.WAITING_FOR_APPROVAL:
            break

    assert waiting.phase is Phase.WAITING_FOR_APPROVAL
    assert incidents_of(seen.world)[-1].id in waiting.message


def test_a_platform_that_does_not_answer_is_unknown(tmp_path: Path) -> None:
    """Neither healthy nor degraded; what was last known of the versions stays."""
    seen = Seen(tmp_path)
    champion = seen.statuses[-1].versions.champion
    seen.world.fault = _silent
    silent = seen.tick()
    seen.world.fault = no_fault

    assert silent.phase is Phase.UNKNOWN
    assert condition(silent, "Healthy") == ("Unknown", "NotObserved")
    assert silent.versions.champion == champion
    assert seen.tick().phase is Phase.HEALTHY


def _silent(call: str) -> None:
    if call.startswith("traffic.read"):
        raise Unavailable("the API server does not answer")
