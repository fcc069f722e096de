"""What is remembered survives the journal whole, and the facts follow from it and the world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from agents.facts import (
    ALERTS,
    CANARY,
    CAUSE,
    CHALLENGER,
    CHAMPION,
    DATA_TRUST,
    FORMER,
    INPUTS,
    PROVED,
    QUALITY,
    QUARANTINE,
    RETRAINING,
    SERVICE,
    SHARE,
    TRAINING_DATA,
    UNKNOWN,
    VOCABULARY,
    SharedState,
    check_vocabulary,
    facts_from,
)
from agents.memory import Pinned, Span, TargetMemory
from agents.monitor.performance import begin_probation
from agents.monitor.state import facts_of
from agents.served import look
from orchestrator.recorder import Recorder
from simulations.population import CHANGED
from simulations.rehearsal import controller_of, session_of
from simulations.releases import Release
from simulations.world import World
from tools.errors import Invalid
from tools.workloads import ServingConfig

hours = st.integers(0, 20)


def moment(hour: int) -> str:
    return f"2021-03-01T{hour:02d}:00:00"


def facts(world: World, memory: TargetMemory) -> dict[str, object]:
    return dict(facts_of(world.document, look(world.desk(), world.document), memory))


@given(start=hours, length=hours, first=hours, width=st.integers(1, 5))
def test_a_span_covers_exactly_the_windows_that_it_overlaps(
    start: int, length: int, first: int, width: int
) -> None:
    """Half-open on both sides, as event time is cut."""
    span = Span(feed="weather", start=moment(start), end=moment(min(23, start + length)))
    until = min(23, first + width)
    inside = set(range(start, min(23, start + length)))

    if length:
        expected = bool(inside & set(range(first, until)))
        assert span.covers(moment(first), moment(until)) is expected


def test_a_span_without_an_end_covers_everything_after_its_start() -> None:
    """The fault lasts."""
    memory = TargetMemory(spans=(Span(feed="weather", start=moment(6)),))

    assert memory.is_distrusted(moment(6), moment(12))
    assert memory.is_distrusted("2031-01-01T00:00:00", "2031-01-02T00:00:00")
    assert not memory.is_distrusted(moment(0), moment(6))
    assert len(memory.open_spans) == 1


def test_a_memory_full_of_evidence_comes_back_from_the_journal_as_it_was(tmp_path: Path) -> None:
    """A new controller goes on counting where the last one stopped, to the last digit."""
    world = World(tmp_path)
    controller = controller_of(world, InMemorySaver())
    for _ in range(6):
        world.step()
        controller.tick()
    world.become(CHANGED)
    world.submit_challenger(Release())
    for _ in range(6):
        world.step()
        controller.tick()
    memory = Recorder(world.journal, world.clock, world.target).last_memory()

    assert memory.canary is not None
    assert memory.canary.evidence.guardrails
    assert memory.performance is not None
    assert memory.performance.windows > 0
    again = TargetMemory.model_validate(json.loads(memory.model_dump_json()))
    assert again == memory
    assert session_memory(world) == memory


def session_memory(world: World) -> TargetMemory:
    world.step(hours=0, seconds=60)  # the first owner's lease is over
    return session_of(world, holder="next").memory


def test_a_quiet_target_reads_as_such(tmp_path: Path) -> None:
    """Nothing was validated or judged yet: unknown, not good."""
    world = World(tmp_path)

    assert facts(world, TargetMemory()) == {
        DATA_TRUST: UNKNOWN,
        QUARANTINE: "none",
        INPUTS: "raw",
        TRAINING_DATA: "none",
        QUALITY: UNKNOWN,
        CHALLENGER: "none",
        SHARE: 0,
        PROVED: 0,
        CANARY: "none",
        "shadow": "none",
        "refresh": "none",
        "skew": UNKNOWN,
        CHAMPION: "settled",
        FORMER: "none",
        "servers.spare": "none",
    }


def test_every_fact_of_a_look_is_in_the_vocabulary_and_only_the_diagnosis_is_not_looked_at(
    tmp_path: Path,
) -> None:
    """Contracts, goals and guardrails read the same names that a look writes."""
    world = World(tmp_path)
    found = facts_of(world.document, look(world.desk(), world.document), TargetMemory())
    for name, value in found.items():
        check_vocabulary(name, value)

    assert set(VOCABULARY) - set(found) == {ALERTS, CAUSE, RETRAINING, SERVICE}


def test_traffic_that_nobody_remembers_giving_is_undecided(tmp_path: Path) -> None:
    """A share away from the champion without a watch: it has to go back."""
    world = World(tmp_path)
    world.submit_challenger(Release())
    world.edit_route({"1": 90, "2": 10})
    found = facts(world, TargetMemory())

    assert (found[SHARE], found[CANARY]) == (10, "undecided")


def test_a_challenger_reads_by_its_gates_its_server_and_its_past(tmp_path: Path) -> None:
    """Refused by its gates or by an earlier canary; otherwise registered until it is ready."""
    world = World(tmp_path)
    world.submit_challenger(Release())
    assert facts(world, TargetMemory())[CHALLENGER] == "registered"
    assert facts(world, TargetMemory(refused=("2",)))[CHALLENGER] == "refused"

    other = World(tmp_path / "other")
    other.submit_challenger(Release(passes_gates=False))
    assert facts(other, TargetMemory())[CHALLENGER] == "refused"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("watching", "probation"), ("passed", "settled"), ("harmful", "broken")],
)
def test_the_champion_reads_by_its_probation(tmp_path: Path, outcome: str, expected: str) -> None:
    """Settled without one."""
    world = World(tmp_path)
    probation = begin_probation(world.document, "1", "0", world.event_time)
    probation = probation.model_copy(update={"outcome": outcome})

    assert facts(world, TargetMemory(probation=probation))[CHAMPION] == expected


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("watching", ("broken", "warm")),
        ("harmful", ("broken", "warm")),
        ("passed", ("settled", "none")),
    ],
)
def test_a_switch_back_that_broke_off_half_way_is_seen_as_unfinished(
    tmp_path: Path, outcome: str, expected: tuple[str, str]
) -> None:
    """The aliases are back where they were, the version that has to go is not gone."""
    world = World(tmp_path)
    probation = begin_probation(world.document, "2", "1", world.event_time)
    probation = probation.model_copy(update={"outcome": outcome})

    found = facts(world, TargetMemory(probation=probation))

    assert (found[CHAMPION], found[FORMER]) == expected


def test_data_is_faulty_while_a_fault_lasts_and_its_rows_stay_set_aside_after_it(
    tmp_path: Path,
) -> None:
    """Trust comes back with the feed; the quarantine of what came in meanwhile does not end."""
    world = World(tmp_path)
    lasting = Span(feed="weather", start=moment(6))
    over = lasting.model_copy(update={"end": moment(12), "quarantined": True})
    before = TargetMemory(validated_until=moment(12), spans=(lasting,))
    after = TargetMemory(validated_until=moment(18), spans=(over,))

    found = facts(world, before)
    assert (found[DATA_TRUST], found[QUARANTINE]) == ("faulty", "pending")
    found = facts(world, after)
    assert (found[DATA_TRUST], found[QUARANTINE]) == ("trusted", "done")


def test_a_mask_and_a_pin_are_read_from_where_they_are(tmp_path: Path) -> None:
    """The mask from the servers themselves, the pin from memory."""
    world = World(tmp_path)
    with world.own():
        config = ServingConfig(masked=("wind",))
        world.workloads.configure(world.target, "1", config, key="k", token=0)
    pinned = Pinned(incident="inc-1", scope="recent", uri="x", digest="0")
    found = facts(world, TargetMemory(pinned=pinned))

    assert (found[INPUTS], found[TRAINING_DATA]) == ("fallback", "recent")


def test_a_fact_outside_the_vocabulary_is_refused_with_its_name() -> None:
    """A slip in a contract fails when it is written, not when it is planned with."""
    with pytest.raises(Invalid, match=r"data\.thrust"):
        check_vocabulary("data.thrust", "trusted")
    with pytest.raises(Invalid, match="expected int, got '10'"):
        check_vocabulary(SHARE, "10")
    with pytest.raises(Invalid, match="expected int, got True"):
        check_vocabulary(SHARE, True)
    check_vocabulary(SHARE, UNKNOWN)


def test_later_facts_replace_earlier_ones_and_the_rest_stays_unknown() -> None:
    """With who said it and when."""
    first = SharedState().with_facts(
        facts_from({SHARE: 10, CANARY: "watching"}, source="monitor.observe", at="t1")
    )
    second = first.with_facts(facts_from({SHARE: 50}, source="deployer.advance", at="t2"))

    assert (second.value(SHARE), second.value(CANARY)) == (50, "watching")
    assert second.facts[SHARE].source == "deployer.advance"
    assert second.changes_since(first) == {SHARE: 50}
    assert second.value(QUALITY) == UNKNOWN
    assert set(second.values()) == set(VOCABULARY)
