"""What counts as somebody else's change, and what is mendloop's own or not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.facts import UNKNOWN
from agents.memory import CanaryWatch, TargetMemory
from agents.monitor.foreign import (
    after_hand_back,
    baseline_of,
    foreign_changes,
    forget_ended_canary,
)
from agents.monitor.performance import begin_probation
from agents.served import Served, look
from simulations.world import World
from tools.routing import TrafficSplit
from tools.statistics.canary import CanaryEvidence
from tools.workloads import ServerPhase, ServingConfig


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def served(world: World) -> Served:
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


@pytest.fixture
def promoted(served: Served) -> Served:
    """As a promotion leaves it: version 2 is the champion, 1 its former."""
    assert served.champion is not None
    newer = served.champion.model_copy(update={"version": "2"})
    return served.model_copy(update={"champion": newer, "former": served.champion})


def test_between_a_promotion_and_the_next_look_the_probation_says_what_was_left(
    world: World, promoted: Served
) -> None:
    """Without a baseline yet, a former champion that somebody lets go of is noticed too."""
    memory = TargetMemory(probation=begin_probation(world.document, "2", "1", None))
    gone = promoted.model_copy(update={"former": None})
    back = promoted.model_copy(update={"champion": promoted.former, "former": None})

    assert foreign_changes(promoted, memory, busy=()) == ()
    assert foreign_changes(gone, memory, busy=()) == (
        "the alias 'former' was version 1, is not set",
    )
    assert foreign_changes(gone, memory, busy={"aliases"}) == ()
    assert foreign_changes(back, memory, busy=()) == ()  # a way back that was broken off


def test_a_probation_is_over_where_its_former_champion_was_exchanged_by_hand(
    world: World, promoted: Served
) -> None:
    """What was counted compares with a version that is nobody's way back any more."""
    memory = TargetMemory(probation=begin_probation(world.document, "2", "1", None))
    assert promoted.former is not None
    other = promoted.former.model_copy(update={"version": "7"})

    kept, _ = after_hand_back(world.document, promoted, memory)
    over, _ = after_hand_back(world.document, promoted.model_copy(update={"former": other}), memory)

    assert kept.probation is not None
    assert over.probation is None


def test_a_canary_without_traffic_is_over_and_its_version_refused(served: Served) -> None:
    """Its way back took effect, whatever became of the answer."""
    assert served.champion is not None
    second = served.champion.model_copy(update={"version": "2"})
    watch = CanaryWatch(
        version="2",
        percent=10,
        stable=served.champion,
        challenger=second,
        evidence=CanaryEvidence(),
    )
    memory = TargetMemory(canary=watch, skew="none")
    split = TrafficSplit(shares={"1": 90, "2": 10})
    watched = served.model_copy(update={"route": served.route.model_copy(update={"split": split})})
    silent = served.model_copy(update={"is_registry_known": False})
    promoted = served.model_copy(update={"champion": second})
    route = served.route.model_copy(update={"edited": "weights"})
    in_hand = served.model_copy(update={"route": route})  # whoever took it away may give it back

    for unchanged in (watched, silent, promoted, in_hand):
        assert forget_ended_canary(unchanged, memory) == memory
    for challenger in (second, None):
        ended = served.model_copy(update={"challenger": challenger})
        after = forget_ended_canary(ended, memory)
        assert (after.canary, after.skew, after.refused) == (None, UNKNOWN, ("2",))
