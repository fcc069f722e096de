"""The controller over one target: its lease, the evidence that it keeps, what it leaves alone."""

from __future__ import annotations

from pathlib import Path

from langgraph.checkpoint.memory import InMemorySaver

from orchestrator.journal import kinds
from simulations.rehearsal import controller_of
from simulations.world import LEASE_S, World


def kinds_of(world: World) -> list[str]:
    return [event.kind for event in world.journal.events()]


def test_a_lease_is_renewed_at_every_tick(tmp_path: Path) -> None:
    """Ticks more often than the lease's time: it is never lost, and its token stays."""
    world = World(tmp_path)
    controller = controller_of(world, InMemorySaver())
    for _ in range(6):
        world.step(seconds=LEASE_S * 0.8)
        controller.tick()

    assert kinds.LEASE_LOST not in kinds_of(world)
    assert kinds_of(world).count(kinds.LEASE_ACQUIRED) == 1


def test_a_second_controller_waits_for_the_lease_and_then_gets_a_higher_token(
    tmp_path: Path,
) -> None:
    """At most one owner acts; the new one is told apart from the old one by its token."""
    world = World(tmp_path)
    first = controller_of(world, InMemorySaver(), holder="first")
    world.step()
    first.tick()
    second = controller_of(world, InMemorySaver(), holder="second")
    second.tick()

    taken = [e.payload for e in world.journal.events(kinds=[kinds.LEASE_ACQUIRED])]
    assert [t["holder"] for t in taken] == ["first"]

    world.step(seconds=LEASE_S + 1)
    second.tick()
    first.tick()

    taken = [e.payload for e in world.journal.events(kinds=[kinds.LEASE_ACQUIRED])]
    assert [(t["holder"], t["token"]) for t in taken] == [("first", 1), ("second", 2)]
    lost = [e.payload["holder"] for e in world.journal.events(kinds=[kinds.LEASE_LOST])]
    assert lost == ["first"]
