"""Operators' rules: they join the shipped ones, are followed live, and fail closed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.embedded.home import Home
from orchestrator.assembly import embedded_controller
from orchestrator.controller import Target
from orchestrator.journal import kinds
from orchestrator.journal.payloads import PoliciesLoaded, PoliciesRejected
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.policy_files import builtin_policies, builtin_texts
from orchestrator.rule_folder import RuleFolder
from orchestrator.rules import KEPT, load_rules
from policies.context import GuardContext
from policies.engine import Decision, judge
from simulations.world import World
from tools.errors import Invalid, Unavailable

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NO_PROMOTION = """
apiVersion: mendloop.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: no-promotion}
spec:
  matchConstraints: {tools: [promote]}
  validations: [{expression: "false", message: not this quarter}]
"""
CALENDAR = """
apiVersion: mendloop.dev/v1alpha1
kind: ChangeCalendar
metadata: {name: shop}
spec:
  timeZone: Europe/Berlin
  freezes: [{name: always, daily: {from: 08:00, until: 08:00}}]
"""
LIMITS = """
apiVersion: mendloop.dev/v1alpha1
kind: FleetLimits
metadata: {name: fleet}
spec: {targetsAtOnce: 2, budget: {retrains: 20}}
"""


class Desk:
    """A folder of rules and the journal of who follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = SqliteJournal(":memory:")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def refresh(self, rules: RuleFolder) -> tuple[str, ...]:
        return rules.refresh(self.journal, at=NOW, actor="controller-1").names

    def said(self) -> list[str]:
        found = self.journal.events(kinds=[kinds.POLICIES_LOADED, kinds.POLICIES_REJECTED])
        return [event.kind for event in found]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_own_rules_join_the_shipped_ones(desk: Desk) -> None:
    """Policies, calendars and limits may stand in one folder."""
    desk.write("a.yaml", NO_PROMOTION + "---" + CALENDAR)
    desk.write("b.yaml", LIMITS)
    rules = RuleFolder([desk.folder]).in_force

    assert {p.name for p in builtin_policies().policies} < set(rules.names)
    assert {"no-promotion", "calendar shop"} < set(rules.names)
    assert rules.fleet.limits() == {
        "retrains": 20.0,
        "targets_at_once": 2.0,
        "traffic_percent": 50.0,
    }


def test_what_changes_is_in_force_at_the_next_look_and_journalled(desk: Desk) -> None:
    """A new file, another text, a deleted file; nothing is written while nothing changes."""
    rules = RuleFolder([desk.folder])
    assert "no-promotion" not in desk.refresh(rules)
    before = rules.in_force.digest
    desk.write("a.yaml", NO_PROMOTION)
    assert "no-promotion" in desk.refresh(rules)
    desk.refresh(rules)
    (desk.folder / "a.yaml").unlink()
    assert "no-promotion" not in desk.refresh(rules)

    assert desk.said() == [kinds.POLICIES_LOADED] * 3
    assert rules.in_force.digest == before


def test_broken_rules_leave_those_before_in_force_and_are_said_once(desk: Desk) -> None:
    """With the file, the line and what is wrong; the good ones of the same change wait too."""
    desk.write("a.yaml", NO_PROMOTION)
    rules = RuleFolder([desk.folder])
    desk.refresh(rules)
    good = rules.in_force.digest
    desk.write("a.yaml", NO_PROMOTION.replace('"false"', "step.tol == 'promote'"))
    desk.write("b.yaml", CALENDAR)
    for _ in range(3):
        assert "no-promotion" in desk.refresh(rules)

    assert desk.said() == [kinds.POLICIES_LOADED, kinds.POLICIES_REJECTED]
    (event,) = desk.journal.events(kinds=[kinds.POLICIES_REJECTED])
    said = event.read(PoliciesRejected)
    assert "a.yaml:7:" in said.error
    assert "step.tol" in said.error
    assert said.digest == good == rules.in_force.digest

    desk.write("a.yaml", NO_PROMOTION)
    assert "calendar shop" in desk.refresh(rules)


def test_a_controller_that_starts_on_broken_rules_lets_nothing_but_the_way_back_pass(
    desk: Desk,
) -> None:
    """It must start: a canary may be standing. But nobody knows what it would be forbidden."""
    desk.write("a.yaml", "kind: [")
    rules = RuleFolder([desk.folder])
    desk.refresh(rules)

    assert decision(rules, "start_canary", back=False) is Decision.DENY
    assert decision(rules, "roll_back", back=True) is Decision.ALLOW
    assert desk.said() == [kinds.POLICIES_REJECTED, kinds.POLICIES_LOADED]

    desk.write("a.yaml", NO_PROMOTION)
    assert "rules-are-broken" not in desk.refresh(rules)


def decision(rules: RuleFolder, tool: str, *, back: bool) -> Decision:
    context = {
        "target": "default/flights",
        "now": NOW,
        "stage": "acting",
        "autonomy": "auto",
        "pause": {"active": False},
        "step": {
            "tool": tool,
            "agent": "deployer",
            "changes_production": True,
            "is_safe_return": back,
            "takes_back_own": back,
        },
    }
    return judge(rules.in_force.policies, GuardContext.model_validate(context)).decision


def test_a_folder_that_is_lost_does_not_pass_for_rules_that_were_dropped(tmp_path: Path) -> None:
    """A mount that went away: the rules stay."""
    desk = Desk(tmp_path / "rules")
    desk.folder.mkdir()
    desk.write("a.yaml", NO_PROMOTION)
    rules = RuleFolder([desk.folder])
    desk.refresh(rules)
    (desk.folder / "a.yaml").unlink()
    desk.folder.rmdir()

    assert "no-promotion" in desk.refresh(rules)
    assert desk.said()[-1] == kinds.POLICIES_REJECTED


def test_rules_that_the_journal_does_not_take_are_not_in_force(desk: Desk) -> None:
    """What nobody can prove afterwards must not decide; asked again at the next look."""
    rules = RuleFolder([desk.folder])
    desk.refresh(rules)
    desk.write("a.yaml", NO_PROMOTION)
    whole, desk.journal = desk.journal, Full()
    with pytest.raises(Unavailable):
        desk.refresh(rules)
    assert "no-promotion" not in rules.in_force.names

    desk.journal = whole
    assert "no-promotion" in desk.refresh(rules)


class Full:
    """A journal on a full disk."""

    def append(self, *_: object, **__: object) -> None:
        raise Unavailable("disk full")


def shipped(name: str) -> str:
    return builtin_texts()[f"builtin/{name}.yaml"]


def test_a_shipped_policy_is_replaced_only_when_that_is_said() -> None:
    """By its name, and not by an accident of naming."""
    text = shipped("cool-down")
    with pytest.raises(Invalid, match="mendloop ships a policy named cool-down"):
        load_rules({"mine.yaml": text})
    rules = load_rules({"mine.yaml": text.replace("spec:", "spec:\n  replacesBuiltin: true", 1)})

    assert rules.names == load_rules({}).names
    assert rules.digest != load_rules({}).digest


def test_replacing_what_does_not_exist_is_refused() -> None:
    """A slip of the pen would leave the shipped one in force beside it."""
    text = shipped("cool-down").replace("name: cool-down", "name: cooldown", 1)
    with pytest.raises(Invalid, match="ships no policy named cooldown"):
        load_rules({"mine.yaml": text.replace("spec:", "spec:\n  replacesBuiltin: true", 1)})


@pytest.mark.parametrize("name", KEPT)
def test_what_keeps_a_promise_is_never_replaced(name: str) -> None:
    """Stop means stop; unvalidated models take no traffic."""
    text = shipped(name).replace("spec:", "spec:\n  replacesBuiltin: true", 1)
    with pytest.raises(Invalid, match="keeps a promise"):
        load_rules({"mine.yaml": text})


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"a.yaml": NO_PROMOTION, "b.yaml": NO_PROMOTION}, "another policy named no-promotion"),
        ({"a.yaml": CALENDAR, "b.yaml": CALENDAR}, "another calendar shop"),
        ({"a.yaml": LIMITS, "b.yaml": LIMITS}, "one FleetLimits"),
        ({"a.yaml": "kind: Guardrail\n"}, "not a valid GuardrailPolicy"),
        ({"a.yaml": "- 1\n"}, "expected a GuardrailPolicy document"),
    ],
)
def test_rules_that_contradict_each_other_or_mean_nothing_are_refused(
    own: dict[str, str], said: str
) -> None:
    """The whole set, with the reason."""
    with pytest.raises(Invalid, match=said):
        load_rules(own)


def test_what_is_loaded_names_every_document(desk: Desk) -> None:
    """Whoever reads the journal knows which rules decided."""
    desk.write("a.yaml", CALENDAR)
    desk.refresh(RuleFolder([desk.folder]))
    (event,) = desk.journal.events(kinds=[kinds.POLICIES_LOADED])
    loaded = event.read(PoliciesLoaded)

    assert {"kill-switch", "calendar shop"} <= set(loaded.names)
    assert loaded.digest == load_rules({"a.yaml": CALENDAR}).digest


def test_a_controller_follows_the_homes_rules_and_those_it_is_given(tmp_path: Path) -> None:
    """``mendloop run --policies``: both folders, from the first tick on, on the record."""
    home = Home(tmp_path / "home").prepare()
    (home.policies).mkdir()
    (home.policies / "a.yaml").write_text(CALENDAR)
    (tmp_path / "more").mkdir()
    world = World(tmp_path / "world")
    targets = [Target(model=world.document, desk=world.desk())]
    controller = embedded_controller(home, targets, policies=[tmp_path / "more"])
    controller.start()
    controller.tick()
    (tmp_path / "more" / "b.yaml").write_text(NO_PROMOTION)
    controller.tick()
    controller.stop("told to stop")
    found = [e.read(PoliciesLoaded) for e in controller.journal.events(kinds=["policies.loaded"])]
    controller.journal.close()

    assert ["calendar shop" in each.names for each in found] == [True, True]
    assert ["no-promotion" in each.names for each in found] == [False, True]
    assert found[1].replaced == found[0].digest
