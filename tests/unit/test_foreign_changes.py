"""What counts as somebody else's change, and what is mendloop's own or not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.memory import TargetMemory
from agents.monitor.foreign import baseline_of, foreign_changes
from agents.served import Served, look
from simulations.world import World
from tools.workloads import ServerPhase, ServingConfig


@pytest.fixture
def served(tmp_path: Path) -> Served:
    world = World(tmp_path)
    return look(world.desk(), world.document)


@pytest.fixture
def memory(served: Served) -> TargetMemory:
    """Everything is as mendloop left it."""
    return TargetMemory(baseline=baseline_of(served, busy=()))


def test_nothing_changed_is_nothing_seen(served: Served, memory: TargetMemory) -> None:
    """The usual look."""
    assert foreign_changes(served, memory, busy=()) == ()


def test_a_server_that_is_gone_is_nobodys_decision(served: Served, memory: TargetMemory) -> None:
    """Crashed, evicted or deleted: whoever wants the target says so."""
    gone = served.model_copy(update={"servers": {}})

    assert foreign_changes(gone, memory, busy=()) == ()


def test_a_server_that_is_not_up_says_nothing_of_its_configuration(
    served: Served, memory: TargetMemory
) -> None:
    """Unknown is no change."""
    server = served.servers["1"].model_copy(
        update={"phase": ServerPhase.STARTING, "config": ServingConfig(masked=("wind",))}
    )
    starting = served.model_copy(update={"servers": {"1": server}})

    assert foreign_changes(starting, memory, busy=()) == ()


def test_what_mendloop_is_changing_itself_is_not_compared(
    served: Served, memory: TargetMemory
) -> None:
    """A promotion under way moves aliases, a data incident moves masks."""
    server = served.servers["1"].model_copy(update={"config": ServingConfig(masked=("wind",))})
    moved = served.model_copy(update={"champion": None, "servers": {"1": server}})

    assert len(foreign_changes(moved, memory, busy=())) == 2
    assert len(foreign_changes(moved, memory, busy={"data"})) == 1
    assert foreign_changes(moved, memory, busy={"aliases", "data"}) == ()
    assert baseline_of(moved, busy={"aliases"}) is None


def test_a_registry_that_does_not_answer_has_moved_no_alias(
    served: Served, memory: TargetMemory
) -> None:
    """What the canary began with stands in, and is not compared."""
    silent = served.model_copy(update={"champion": None, "is_registry_known": False})

    assert foreign_changes(silent, memory, busy=()) == ()
    assert baseline_of(silent, busy=()) is None
