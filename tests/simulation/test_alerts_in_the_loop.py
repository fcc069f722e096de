"""An alert makes mendloop look and is written down; only observed harm changes anything."""

from __future__ import annotations

from pathlib import Path

from langgraph.checkpoint.memory import InMemorySaver

from agents.facts import ALERTS, UNKNOWN
from agents.memory import TargetMemory
from agents.monitor.alerts import hear
from orchestrator.journal import kinds
from simulations.rehearsal import controller_of
from simulations.world import World
from tools.alerts import Alert
from tools.errors import Refused, Unavailable

CHANGES = {kinds.INCIDENT_OPENED, kinds.STEP_INTENDED, kinds.TRAFFIC_SHIFTED}


class Told:
    """What somebody's alerting says, for a test to set."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.failure: Exception | None = None

    def of(self, target: str) -> tuple[Alert, ...]:
        if self.failure is not None:
            raise self.failure
        return tuple(
            Alert(fingerprint=name, target=target, name=name, severity="page", summary="slow")
            for name in self.names
        )


def test_alerts_are_evidence_and_change_nothing(tmp_path: Path) -> None:
    """However loud they are and however long they fire, a healthy model is left alone; each is
    written down once when it fires and once when it is over."""
    world = World(tmp_path)
    world.alerts = told = Told()
    controller = controller_of(world, InMemorySaver())
    for names in ((), ("Slow", "Failing"), ("Slow", "Failing"), ("Failing",), ()):
        told.names = names
        for _ in range(3):
            world.step()
            controller.tick()
    events = world.journal.events()
    said = [(e.kind, e.payload["name"]) for e in events if e.kind.startswith("alert.")]

    assert said == [
        (kinds.ALERT_FIRED, "Slow"),
        (kinds.ALERT_FIRED, "Failing"),
        (kinds.ALERT_RESOLVED, "Slow"),
        (kinds.ALERT_RESOLVED, "Failing"),
    ]
    assert not CHANGES & {event.kind for event in events}


def test_a_new_controller_does_not_write_the_same_alert_again(tmp_path: Path) -> None:
    """What was written down is remembered with the target."""
    world = World(tmp_path)
    world.alerts = Told("Slow")
    for holder in ("first", "second"):
        controller = controller_of(world, InMemorySaver(), holder=holder)
        world.step(seconds=60)
        controller.tick()
        controller.stop("done")

    assert len(world.journal.events(kinds=[kinds.ALERT_FIRED])) == 1


def test_silence_of_the_alerting_is_unknown(tmp_path: Path) -> None:
    """Nobody concludes that an alert is over because nobody can be asked."""
    world = World(tmp_path)
    world.alerts = told = Told("Slow")
    memory, before = hear(world.desk(), world.document, TargetMemory())
    for failure in (Unavailable("no answer"), Refused("no token")):
        told.failure = failure
        kept, heard = hear(world.desk(), world.document, memory)

        assert kept == memory
        assert heard.facts == {ALERTS: UNKNOWN}
        assert heard.missing == str(failure)
    world.alerts = None
    _, nobody = hear(world.desk(), world.document, memory)

    assert before.facts == {ALERTS: "firing"}
    assert (nobody.facts, nobody.missing) == ({ALERTS: UNKNOWN}, "")
