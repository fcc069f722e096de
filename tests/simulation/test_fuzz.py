"""The crash fuzzer: a quick campaign, the same case twice, and a planted bug that shrinks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from agents.catalog import all_tools
from agents.contract import Call, Holds, Receipt, Verification
from agents.deployer.shifting import StartCanary
from agents.memory import TargetMemory
from agents.monitor.canary import JudgeCanary
from agents.ports import Desk
from orchestrator.journal.kinds import STEP_INTENDED
from simulations.fuzz.campaign import run
from simulations.fuzz.case import CaseSpec, FuzzCase, Injection, Move
from simulations.fuzz.command import fuzz
from simulations.fuzz.draw import case_of
from simulations.fuzz.play import Play, play, play_twice
from simulations.fuzz.shrink import minimal, shrink
from tools.documents import parse_document
from tools.errors import Invalid
from tools.managed_model import Metadata
from tools.routing import Router, TrafficSplit

CALENDAR = 13
"""A seed whose target is retrained by the calendar while calls go wrong."""


class Hasty(StartCanary):
    """A planted bug: gives the challenger everything at once."""

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        receipt = super().apply(desk, call, memory)
        version = desk.registry.by_alias(call.model.spec.model, "challenger")
        assert version is not None
        serving, namespace = call.model.spec.serving, call.model.metadata.namespace
        Router(desk.traffic).shift(
            namespace,
            serving.route,
            serving.host,
            TrafficSplit.all_to(version.version),
            key=f"{call.key}-more",
            token=call.token,
        )
        return receipt


class Circling(JudgeCanary):
    """A planted bug: says that the step holds, and proves nothing."""

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return Verification(holds=Holds.HOLDS, detail="round and round")


def case(*, moves: tuple[Move, ...], injections: tuple[Injection, ...] = ()) -> FuzzCase:
    spec = CaseSpec(quiet=1, ticks=8, hours=6, every=3, moves=moves, injections=injections)
    return FuzzCase(metadata=Metadata(name="planted"), spec=spec)


def test_a_quick_campaign_breaks_no_promise(tmp_path: Path) -> None:
    """Seeds that nobody chose; a longer one runs from the command line."""
    found = run(seeds=15, first=0, report=tmp_path)

    assert found.findings == ()
    assert found.seeds == 15
    assert found.injections > 10
    assert found.effects > 10


def test_cases_draw_targets_that_the_calendar_retrains(tmp_path: Path) -> None:
    """And in the middle of what goes wrong, such a retrain is really asked for."""
    drawn, chance = case_of(CALENDAR)
    assert drawn.spec.world.retrain_every is not None

    rehearsal = Play(drawn, tmp_path, choose=chance)
    played = rehearsal.run()

    intended = rehearsal.world.journal.events(kinds=[STEP_INTENDED])
    assert "due" in [e.payload["arguments"].get("because") for e in intended]
    assert played.injections
    assert played.broken == ()


def test_an_incident_that_turns_in_a_circle_is_ended_by_its_own_bound() -> None:
    """A person is asked, in words; the graph is not broken off in the midst of a tick."""
    tools = all_tools() | {"judge_canary": Circling()}

    played = play(case(moves=(Move(tick=2, do="release", what="good"),)), tools=tools)

    assert not [told for told in played.broken if told.startswith("defect")]


@pytest.mark.parametrize("seed", [3, 10])
def test_what_chance_did_plays_again_from_its_schedule_byte_for_byte(seed: int) -> None:
    """Promise 11, and what makes a finding worth keeping."""
    drawn, chance = case_of(seed)
    played, again = play_twice(drawn, chance)

    assert again == played


def test_a_planted_bug_is_found_and_shrinks_to_what_causes_it() -> None:
    """Of four moves and two injections one release is left; the document plays the same."""
    moves = (
        Move(tick=1, do="counters-restart"),
        Move(tick=2, do="release", what="good"),
        Move(tick=3, do="edit-elsewhere"),
        Move(tick=5, do="jump-clock", amount=1),
    )
    noise = (
        Injection(tick=2, call="metrics.read:before", number=1, happening="unavailable"),
        Injection(tick=3, call="journal.append:after", number=1, happening="delay", seconds=2.0),
    )
    tools = {**all_tools(), "start_canary": Hasty()}

    def fails(tried: FuzzCase) -> bool:
        return any("announced were" in said for said in play(tried, tools=tools).broken)

    planted = case(moves=moves, injections=noise)
    assert fails(planted)
    small = shrink(planted, fails)
    assert [move.do for move in small.spec.moves] == ["release"]
    assert small.spec.injections == ()
    assert small.spec.ticks < planted.spec.ticks

    read = parse_document(yaml.safe_load(small.as_yaml()), FuzzCase, source="printed")
    assert read == small
    assert fails(read)
    assert play(read).broken == ()


def test_a_pair_that_breaks_only_together_is_kept_together() -> None:
    """The shrinker leaves out halves, then single parts, until none can go."""
    runs: list[int] = []

    def fails(parts: object) -> bool:
        assert isinstance(parts, list)
        runs.append(len(parts))
        return {3, 17} <= set(parts)

    assert minimal(list(range(20)), lambda parts: fails(list(parts))) == [3, 17]
    assert len(runs) < 60


def test_a_malformed_case_is_refused_with_the_path_to_the_field() -> None:
    """Written by hand or by an older version: nothing is guessed."""
    document = {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "FuzzCase",
        "metadata": {"name": "wrong"},
        "spec": {"ticks": 3, "moves": [{"tick": 1, "do": "explode"}]},
    }

    with pytest.raises(Invalid, match=r"spec\.moves\[0\]\.do"):
        parse_document(document, FuzzCase, source="wrong.yaml")


def test_the_command_prints_a_campaign_and_plays_a_case_again(tmp_path: Path) -> None:
    """Exit code 0: every promise held."""
    campaign = CliRunner().invoke(fuzz, ["--seeds", "1", "--report", str(tmp_path)])
    assert campaign.exit_code == 0
    assert "0 findings" in campaign.output

    path = tmp_path / "case.yaml"
    path.write_text(case(moves=(Move(tick=1, do="release", what="bad"),)).as_yaml())
    again = CliRunner().invoke(fuzz, [str(path)])
    assert again.exit_code == 0
    assert "every promise held" in again.output
