"""What the loop makes of shifts: of inputs, labels and scores, alone and with harm, here and
elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from stage import Play, acted

from agents.diagnosis import Cause
from agents.memory import TargetMemory
from agents.monitor.diagnose import diagnose_target, diagnosed_facts
from agents.monitor.drift import standing
from orchestrator.goals import QUALITY_MET
from orchestrator.journal import kinds
from orchestrator.planner import NoPlan, make_plan
from simulations.population import (
    CHANGED,
    USUAL,
    Floats,
    Logistic,
    Parcels,
    Population,
    parcels_model,
)
from simulations.rehearsal import incidents_of, session_of
from simulations.releases import Release
from simulations.world import World
from tools.managed_model import ManagedModel
from tools.statistics.verdict import Verdict


class HeavierPopulation(Population):
    """From some moment on, every parcel weighs more: the law of lateness stays."""

    def __init__(self, *, since: datetime, kilos: float, **known: Any) -> None:
        super().__init__(**known)
        self._since = since
        self._kilos = kilos

    def rows(self, start: datetime, hours: int, *, frozen_at: datetime | None = None) -> Parcels:
        parcels = super().rows(start, hours, frozen_at=frozen_at)
        late = parcels.real["event_time"] >= pd.Timestamp(self._since)

        def heavier(frame: pd.DataFrame) -> pd.DataFrame:
            return frame.assign(weight=frame["weight"] + self._kilos * late)

        return replace(parcels, arrived=heavier(parcels.arrived), real=heavier(parcels.real))


@dataclass(frozen=True)
class Saturating(Logistic):
    """Beyond some weight, more weight makes no difference: nobody had seen such parcels."""

    knee: float = 12.0

    def probability(self, rows: pd.DataFrame) -> Floats:
        return super().probability(rows.assign(weight=rows["weight"].clip(upper=self.knee)))


def make_heavier(world: World, kilos: float) -> None:
    world.population = HeavierPopulation(
        since=world.event_time, kilos=kilos, seed=0, rows_per_hour=40
    )


def remembered(world: World) -> TargetMemory:
    saved = world.journal.last("memory.saved", target=world.target)
    assert saved is not None
    return TargetMemory.model_validate(saved.payload["memory"])


def diagnosis(world: World) -> str:
    (incident,) = incidents_of(world)
    return incident.diagnosis


def test_a_shift_of_inputs_alone_is_seen_and_never_acted_on(play: Play) -> None:
    """Heavier parcels, the same law, a model that knows it: no incident, no training, no change."""
    make_heavier(play.world, 3.0)
    play.tick(40)

    found = standing(remembered(play.world).drift)
    assert found is not None
    assert found.inputs.verdict is Verdict.HARMFUL
    assert found.shifted == ("weight",)
    assert incidents_of(play.world) == []
    assert play.world.ledger.effects == []


def test_nothing_shifts_in_a_healthy_world(play: Play) -> None:
    """Weather of some hours differs from that of others; that is no shift."""
    play.tick(48)

    drift = remembered(play.world).drift
    assert drift is not None
    assert [one.span for one in drift.newest] == [1, 4, 16]
    assert all(one.inputs.verdict is not Verdict.HARMFUL for one in drift.newest)


def test_inputs_that_the_model_never_saw_are_answered_with_recent_data(play: Play) -> None:
    """The shift and the harm together: covariate drift, the cheaper retraining, promoted."""
    play.world.become(Saturating(knee=10.0))
    make_heavier(play.world, 5.0)
    play.until(lambda world: acted(world, "promote"))

    assert diagnosis(play.world) == "covariate_drift"
    assert "retrain_recent" in play.tools()
    assert "retrain_full" not in play.tools()


def test_a_rate_of_labels_that_rose_everywhere_is_label_drift(play: Play) -> None:
    """Everything comes late more often, at the same inputs: told from concept drift."""
    play.world.become(replace(USUAL, intercept=0.7))
    play.until(lambda world: acted(world, "promote"))

    assert diagnosis(play.world) == "label_drift"


def test_a_champion_that_serves_something_else_than_its_artifact_is_told_from_drift(
    tmp_path: Path,
) -> None:
    """Found by recomputing its answers; replaced by a version whose server is checked the same."""
    play = Play.begin(tmp_path, champion=Release(skew=0.3))
    play.until_closed()

    assert diagnosis(play.world) == "training_serving_skew"
    assert acted(play.world, "check_training_serving_skew")
    play.check()


@dataclass(frozen=True)
class NorthTurned(Logistic):
    """In one depot, heavy parcels are now the ones in time."""

    def probability(self, rows: pd.DataFrame) -> Floats:
        usual, turned = super().probability(rows), CHANGED.probability(rows)
        return np.where(rows["depot"].to_numpy() == "north", turned, usual)


def test_a_model_that_fails_one_depot_only_is_found_by_the_slice(tmp_path: Path) -> None:
    """What a third of the users suffer is diluted in the whole; the slice is named."""
    play = Play.begin(tmp_path, evidence={"slices": ["depot"]})
    assert sorted(remembered(play.world).slices) == ["depot=east", "depot=north", "depot=west"]

    play.world.become(NorthTurned())
    play.until_closed()

    (incident,) = incidents_of(play.world)
    assert (incident.diagnosis, incident.outcome) == ("concept_drift", "promoted")
    (made,) = play.world.journal.events(kinds=[kinds.DIAGNOSIS_MADE])
    assert any("where depot=north" in reason for reason in made.payload["reasons"])
    play.check()


def test_what_comes_in_is_told_with_an_estimate_of_the_loss_before_its_labels(play: Play) -> None:
    """The journal says of each window how it compares and what its loss will probably be."""
    play.tick(8)
    told = [
        e.payload["facts"]
        for e in play.world.journal.events(kinds=[kinds.WINDOW_OBSERVED])
        if "estimated_log_loss" in e.payload["facts"]
    ]
    process = remembered(play.world).performance
    assert process is not None
    shown = sum(w.loss for w in process.recent) / sum(w.labelled for w in process.recent)

    assert len(told) >= 12
    assert abs(told[-1]["estimated_log_loss"] - shown) < 0.1


def neighbour(name: str) -> ManagedModel:
    document = parcels_model("history.parquet")
    metadata = document.metadata.model_copy(update={"name": name})
    return document.model_copy(update={"metadata": metadata})


def test_what_several_models_suffer_at_once_is_a_shared_cause_and_trains_none(play: Play) -> None:
    """Three models read the same scale, which now weighs wrong: upstream, not the models."""
    play.world.become(Saturating(knee=10.0))
    make_heavier(play.world, 5.0)
    play.until(lambda world: acted(world, "pin_training_data"))
    session = session_of(play.world, holder="controller-1")
    alone = diagnose_target(session.desk, session.model, session.memory, session.event_time)
    session.fleet = (session.model, neighbour("boxes"), neighbour("letters"))
    unseen = session.peers()
    for other in session.fleet[1:]:
        session.recorder.of(other.target).write_all([], memory=session.memory)
    seen = session.peers()
    together = diagnose_target(
        session.desk, session.model, session.memory, session.event_time, seen
    )

    assert alone.cause is Cause.COVARIATE_DRIFT
    assert [peer.is_known for peer in unseen] == [False, False]
    assert [peer.shifted for peer in seen] == [("weight",), ("weight",)]
    assert together.cause is Cause.SHARED_UPSTREAM
    plan = make_plan(
        QUALITY_MET.name,
        QUALITY_MET.reached_when,
        session.state.values() | diagnosed_facts(together),
        [o for tool in session.tools.values() for o in tool.operations(session.model)],
        {},
    )
    assert isinstance(plan, NoPlan)
