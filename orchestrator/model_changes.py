"""What becomes of a target whose document changes, or goes away, while it is kept.

Most of a document takes effect at once, amid an incident too: whoever lowers the autonomy or the
steps of a canary means now. What says *which* model it is (its name in the registry, its route, its
columns) would pull the ground from under a step that is half-way, so that waits for the end of the
target's incidents. A model that is removed leaves as if paused with "go back": a canary under way
is taken back, nothing else is begun, and its incidents end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agents.memory import TargetMemory
from orchestrator.awaiting import is_half_way
from orchestrator.journal.incidents import IncidentSummary, open_intents
from orchestrator.kill_switch import Pause, Switch
from orchestrator.reporting import RELEASED, write_end
from orchestrator.session import Session
from tools.managed_model import ManagedModel
from tools.routing import Router
from tools.values import canonical_json

if TYPE_CHECKING:
    from orchestrator.controller import Target

LEAVES = Pause(
    by="", reason="its model document was removed", allows_safe_return=True, in_flight="go-back"
)


class Departures:
    """Implements Switchboard (``orchestrator/kill_switch.py``): on for models that leave."""

    def __init__(self, is_leaving: Callable[[str], bool]) -> None:
        self._is_leaving = is_leaving

    def on(self, targets: Sequence[str | None]) -> list[Switch]:
        """See Switchboard."""
        text = canonical_json(LEAVES.model_dump())
        leaving = [t for t in targets if t is not None and self._is_leaving(t)]
        return [Switch(target=t, where=f"{t} leaves", text=text) for t in leaving]

    def turn_on(self, target: str | None, text: str) -> str:
        """Nobody turns it by hand."""
        raise AssertionError("a model leaves when its document is removed")

    def turn_off(self, target: str | None) -> None:
        """Nobody turns it by hand; the other switches are turned off beside it."""

    def targets(self) -> list[str]:
        """Leaving is no pause that people would list."""
        return []


def take_up(session: Session, target: Target, *, is_busy: bool) -> str:
    """Bring the session to the target's present document.

    Returns why that has to wait; empty when it is done. ``is_busy``: an incident is open. Raises
    what the ports raise: then nothing has changed.
    """
    if target.model == session.model:
        session.desk = target.desk  # what the platform says of it may have changed
        return ""
    is_another = identity(target.model) != identity(session.model)
    if is_another and is_busy:
        return (
            f"the changed document of {session.target} names another model, route or columns: it "
            "is taken up when the open incident has ended"
        )
    if is_another:
        serving, namespace = target.model.spec.serving, target.model.metadata.namespace
        Router(target.desk.traffic).claim(
            namespace, serving.route, serving.host, token=session.lease.token
        )
    session.recorder.name_model(target.model)
    session.model, session.desk = target.model, target.desk
    if is_another:  # nothing that is remembered is about this one
        session.remember(TargetMemory(), [])
    return ""


def identity(model: ManagedModel) -> tuple[object, ...]:
    """What says which model it is."""
    spec = model.spec
    return (spec.model, spec.serving.route, spec.serving.host, spec.schema_, spec.label)


def has_departed(session: Session, standing: Sequence[IncidentSummary]) -> bool:
    """End the incidents of a model that leaves, once nothing of them is half-way.

    False while something still has to be taken back.
    """
    journal = session.recorder.journal
    session.look()
    if is_half_way(session) or any(
        open_intents(journal.events(incident=incident.id)) for incident in standing
    ):
        return False
    for incident in standing:
        write_end(session, incident.id, RELEASED, "")
    return True
