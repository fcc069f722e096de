"""Model documents that appear, change, break and go away while the controller runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stage import Play, Stage, acted, closed, quick_world

from orchestrator.controller import Target
from orchestrator.in_flight import waiting_approvals
from orchestrator.journal import kinds
from orchestrator.journal.payloads import ModelsFollowed, ModelsRejected
from orchestrator.kill_switch import KillSwitch, Pause
from orchestrator.model_fleet import FollowedFleet
from orchestrator.model_source import Broken, Documents, ModelDocument
from simulations.faults import no_fault
from simulations.rehearsal import controller_of
from simulations.releases import Release
from simulations.world import World
from tools.errors import Invalid, Unavailable
from tools.managed_model import ManagedModel


class Shelf:
    """Implements ModelSource with documents that a test puts there and takes away."""

    may_be_empty = False

    def __init__(self, world: World) -> None:
        self._folder = world.folder
        self.error = ""
        self._documents: dict[str, ModelDocument | Broken] = {}
        self.put("a.yaml", world.document)

    def read(self) -> Documents:
        if self.error:
            raise Unavailable(self.error)
        return self._documents

    def put(self, place: str, document: ManagedModel | Broken) -> None:
        found = document if isinstance(document, Broken) else ModelDocument(document, self._folder)
        self._documents = {**self._documents, place: found}

    def take(self, place: str) -> None:
        self._documents = {p: d for p, d in self._documents.items() if p != place}


class Stand:
    """A play whose models come from a shelf."""

    def __init__(self, folder: Path, **world: Any) -> None:
        self.world = quick_world(folder, **world)
        self.shelf = Shelf(self.world)
        self.stage = Stage(self.world)
        self.play = self.start("controller-1")
        self.play.tick(2)

    def start(self, holder: str) -> Play:
        """A new controller, which knows nothing but journal and shelf."""
        self.fleet = FollowedFleet(self.shelf, self._seat, home=self.world.folder)
        saver = self.stage.saver(no_fault)
        controller = controller_of(self.world, saver, holder=holder, fleet=self.fleet)
        return Play(self.world, self.stage, controller)

    def changed(self, **spec: dict[str, Any]) -> ManagedModel:
        """The world's document with other values in some sections."""
        data = self.world.document.model_dump(mode="json", by_alias=True)
        for section, values in spec.items():
            data["spec"][section] |= values
        return ManagedModel.model_validate(data)

    def other(self) -> ManagedModel:
        """A model of another name, with no platform under it."""
        data = self.world.document.model_dump(mode="json", by_alias=True)
        data["metadata"]["name"] = data["spec"]["model"] = "another"
        data["spec"]["serving"] |= {"route": "another", "host": "another"}
        return ManagedModel.model_validate(data)

    def followed(self) -> list[ModelsFollowed]:
        found = self.world.journal.events(kinds=[kinds.MODELS_FOLLOWED])
        return [event.read(ModelsFollowed) for event in found]

    def rejected(self) -> list[dict[str, str]]:
        found = self.world.journal.events(kinds=[kinds.MODELS_REJECTED])
        return [event.read(ModelsRejected).errors for event in found]

    def kept(self) -> list[str]:
        return [target.model.target for target in self.fleet.targets]

    def share(self) -> int:
        """Percent of the traffic that is not with the champion."""
        split = self.world.split_in_force()
        return 100 - max(split.values())

    def _seat(self, document: ModelDocument) -> Target:
        if document.model.spec.serving.latency_objective.total_seconds() > 30:
            raise Invalid("nobody can count at this objective", field="latencyObjective")
        return Target(model=document.model, desk=self.world.desk())


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def test_a_changed_document_is_in_force_at_the_next_tick(stand: Stand) -> None:
    """Whoever lowers the autonomy means now; the journal says by which document it goes on."""
    stand.shelf.put("a.yaml", stand.changed(guardrails={"autonomy": "observe"}))
    stand.world.submit_challenger(Release())
    stand.play.tick(12)

    assert [event.changed for event in stand.followed()] == [(), (stand.world.target,)]
    managed = stand.world.journal.events(kinds=[kinds.MODEL_MANAGED])
    assert [e.payload["document"]["spec"]["guardrails"]["autonomy"] for e in managed] == [
        "auto",
        "observe",
    ]
    assert not stand.play.tools()
    stand.play.check()


def test_an_added_model_is_kept_and_one_that_is_removed_is_let_go(stand: Stand) -> None:
    """Without an incident there is nothing to end: its lease is free for whoever wants it."""
    stand.shelf.put("b.yaml", stand.other())
    stand.play.tick()

    assert stand.kept() == [stand.world.target, stand.other().target]

    stand.shelf.take("a.yaml")
    stand.play.tick()

    assert stand.kept() == [stand.other().target]
    assert [(e.added, e.removed) for e in stand.followed()[1:]] == [
        ((stand.other().target,), ()),
        ((), (stand.world.target,)),
    ]
    assert stand.world.leases.acquire(stand.world.target, "somebody else") is not None


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_broken_document_leaves_the_one_before_in_force(stand: Stand, is_restarted: bool) -> None:
    """It is said once, with its place; a controller that starts on it finds the last good one in
    the journal."""
    broken = Broken("a.yaml: spec.model: Field required", Path(), target=stand.world.target)
    stand.shelf.put("a.yaml", broken)
    stand.play.tick(2)
    play = stand.start("controller-2") if is_restarted else stand.play
    stand.world.step(hours=6, seconds=60)
    stand.world.submit_challenger(Release(error_rate=0.3))
    play.until(lambda world: bool(closed(world)))

    assert stand.rejected() == [{"a.yaml": broken.error}] * (2 if is_restarted else 1)
    assert stand.fleet.rejected == {"a.yaml": broken.error}
    assert stand.kept() == [stand.world.target]
    assert [i.outcome for i in closed(stand.world)] == ["undone"]
    play.check()

    stand.shelf.put("a.yaml", stand.world.document)
    play.tick()

    assert stand.fleet.rejected == {}


def test_what_the_platform_cannot_keep_is_refused_like_a_broken_document(stand: Stand) -> None:
    """The one before stays; an added one is not kept."""
    stand.shelf.put("a.yaml", stand.changed(serving={"latencyObjective": "60s"}))
    stand.play.tick()

    (error,) = stand.rejected()
    assert "latencyObjective" in error["a.yaml"]
    assert stand.fleet.targets[0].model == stand.world.document


def test_two_documents_of_one_target_do_not_take_turns(stand: Stand) -> None:
    """The one in force stays, whatever the other is called."""
    stand.shelf.put("0.yaml", stand.changed(guardrails={"autonomy": "observe"}))
    stand.play.tick(3)

    (error,) = stand.rejected()
    assert error == {"0.yaml": f"{stand.world.target} is described in a.yaml too; remove one"}
    assert stand.fleet.targets[0].model == stand.world.document


@pytest.mark.parametrize("loss", ["empty", "unreadable"])
def test_a_lost_source_is_no_removal(stand: Stand, loss: str) -> None:
    """A mount that is gone must not let go of every model."""
    if loss == "empty":
        stand.shelf.take("a.yaml")
    else:
        stand.shelf.error = "the API server does not answer"
    stand.play.tick(3)

    assert stand.kept() == [stand.world.target]
    assert len(stand.rejected()) == 1
    assert len(stand.followed()) == 1


def test_a_source_that_says_so_itself_may_be_empty(stand: Stand) -> None:
    """Whoever deletes the last custom resource means it."""
    stand.shelf.may_be_empty = True
    stand.shelf.take("a.yaml")
    stand.play.tick(2)

    assert stand.kept() == []
    assert stand.rejected() == []


def _canary(stand: Stand, play: Play) -> None:
    stand.world.submit_challenger(Release())
    play.until(lambda world: acted(world, "start_canary"))
    assert stand.share() > 0


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_model_removed_amid_a_canary_is_taken_back_first(stand: Stand, is_killed: bool) -> None:
    """Traffic is never left at a weight that nobody watches, also when the controller dies between
    the removal and the return."""
    stand.shelf.put("b.yaml", stand.other())
    _canary(stand, stand.play)
    stand.shelf.take("a.yaml")
    play = stand.play
    if is_killed:
        play = stand.start("controller-2")
        stand.world.step(seconds=60)  # the dead one's lease
    play.until(lambda world: bool(closed(world)))

    (incident,) = closed(stand.world)
    assert incident.outcome == "undone"
    assert stand.share() == 0
    assert stand.stage.threads() == 0

    stand.world.submit_challenger(Release())
    play.tick(8)

    assert stand.kept() == [stand.other().target]
    assert len(closed(stand.world)) == 1
    assert stand.share() == 0


def test_a_removed_model_that_waits_for_a_person_is_released(tmp_path: Path) -> None:
    """There is nothing to take back; nobody is asked any more."""
    stand = Stand(tmp_path, guardrails={"autonomy": "approve"})
    stand.shelf.put("b.yaml", stand.other())
    stand.world.submit_challenger(Release())
    stand.play.until(lambda world: bool(world.journal.events(kinds=[kinds.APPROVAL_REQUESTED])))
    stand.shelf.take("a.yaml")
    stand.play.tick(2)

    (incident,) = closed(stand.world)
    assert incident.outcome == "released"
    assert stand.kept() == [stand.other().target]
    assert stand.stage.threads() == 0
    assert not waiting_approvals(stand.world.journal.events())


def test_a_model_that_comes_back_while_it_leaves_is_kept_on(stand: Stand) -> None:
    """Whoever removed it by mistake loses the canary at most."""
    stand.shelf.put("b.yaml", stand.other())
    _canary(stand, stand.play)
    stand.shelf.take("a.yaml")
    stand.play.tick()
    stand.shelf.put("a.yaml", stand.world.document)
    stand.play.until(lambda world: bool(closed(world)))

    assert "released" not in [i.outcome for i in closed(stand.world)]
    assert set(stand.kept()) == {stand.world.target, stand.other().target}


def test_a_model_that_leaves_stays_where_a_person_holds_it(stand: Stand) -> None:
    """Somebody who paused it with "hold" keeps the word: nothing moves, nothing is ended."""
    stand.shelf.put("b.yaml", stand.other())
    _canary(stand, stand.play)
    before = stand.share()
    switch = KillSwitch(stand.world.kill_switch)
    switch.pause(stand.world.target, Pause(by="kim", reason="I look at it"))
    stand.shelf.take("a.yaml")
    stand.play.tick(4)

    assert stand.share() == before
    assert not closed(stand.world)

    switch.resume(stand.world.target)
    stand.play.until(lambda world: bool(closed(world)))

    assert stand.share() == 0


def test_another_model_under_the_name_waits_for_the_end_of_the_incident(stand: Stand) -> None:
    """A step that is half-way keeps the route that it began on."""
    _canary(stand, stand.play)
    stand.shelf.put("a.yaml", stand.changed(serving={"host": "elsewhere"}))
    stand.play.until(lambda world: bool(closed(world)))

    (incident,) = closed(stand.world)
    assert incident.outcome == "promoted"
    managed = stand.world.journal.events(kinds=[kinds.MODEL_MANAGED])
    assert len(managed) == 1
