"""``mendloop policy replay`` and ``explain`` on a journal, and ``mendloop autonomy``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.autonomy import autonomy
from orchestrator.cli.policy import policy
from orchestrator.journal import kinds
from orchestrator.journal.payloads import GuardJudged, ModelManaged, StepIntended
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.rules import Rules, load_rules
from policies.context import GuardContext
from policies.engine import judge
from simulations.population import parcels_model
from tools.errors import Invalid

NOW = datetime.now(UTC)
STRICTER = """
apiVersion: mendloop.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: small-steps}
spec:
  matchConstraints: {tools: [advance_canary]}
  validations:
    - expression: traffic.next_percent <= 25
      message: too large
      messageExpression: "string(traffic.next_percent) + ' % is too large a step'"
"""
CALENDAR = f"""
apiVersion: mendloop.dev/v1alpha1
kind: ChangeCalendar
metadata: {{name: shop}}
spec:
  timeZone: UTC
  freezes:
    - name: last week
      from: {(NOW - timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%S")}
      until: {(NOW - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")}
"""


def run(command: click.Command, *arguments: str | Path) -> Result:
    result = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def context(tool: str, percent: int, at: datetime) -> GuardContext:
    return GuardContext.model_validate(
        {
            "target": "default/parcels",
            "incident": "inc-1",
            "now": at,
            "autonomy": "auto",
            "step": {
                "tool": tool,
                "agent": "deployer",
                "arguments": {"percent": percent},
                "changes_production": True,
                "is_safe_return": False,
                "takes_back_own": False,
                "risks": [],
                "cost_minutes": 0.5,
                "cost_money": 0.0,
            },
            "traffic": {"current_percent": 5, "next_percent": percent, "allowed_percent": 100},
            "candidate": {
                "version": "2",
                "gates_passed": True,
                "digest_matches": True,
                "ready": True,
                "was_sent_back": False,
            },
            "budget": {"retrains": 0, "max_retrains": 6, "spent": {}, "limits": {}},
            "calendar": {"freezes": [], "time_zone": "UTC"},
            "fleet": {"changing": [], "spent": {}, "limits": {}},
            "limits": {"ask_before": []},
            "pause": {"active": False},
        }
    )


class Home:
    """A home whose journal has some rulings."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self.folder, self.rules = folder, rules

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.folder / "mendloop.db")

    def judged(self, tool: str, percent: int, *, days_ago: float, step: int) -> None:
        at, key = NOW - timedelta(days=days_ago), f"{tool}-{step}"
        seen = context(tool, percent, at)
        said = GuardJudged(
            tool=tool,
            stage="acting",
            ruling=judge(self.rules.policies, seen),
            key=key,
            policies=self.rules.digest,
            context=seen.model_dump(mode="json", exclude_none=True),
        )
        intent = StepIntended(key=key, step=step, tool=tool, agent="deployer")
        journal = self.journal()
        where: dict[str, Any] = {"at": at, "target": "default/parcels", "incident": "inc-1"}
        journal.append(kinds.GUARD_JUDGED, actor="policies", payload=said, **where)
        journal.append(kinds.STEP_INTENDED, actor="deployer", payload=intent, **where)
        journal.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path, load_rules({}))
    made.judged("advance_canary", 25, days_ago=40, step=1)
    made.judged("advance_canary", 25, days_ago=3, step=2)
    made.judged("advance_canary", 50, days_ago=2, step=3)
    return made


def test_rules_that_change_nothing_say_so(home: Home, tmp_path: Path) -> None:
    """Exit code 0; decisions older than --since are left out."""
    file = tmp_path / "same.yaml"
    file.write_text(STRICTER.replace("<= 25", "<= 100"))
    result = run(policy, "replay", file, "--home", tmp_path)

    assert result.return_value in (None, 0)
    assert "2 decisions judged again: 2 stay as they were" in result.output


def test_a_stricter_rule_shows_what_it_would_have_stopped_and_why(
    home: Home, tmp_path: Path
) -> None:
    """Which decision, what it was, what it would be, the rule's own message."""
    file = tmp_path / "small.yaml"
    file.write_text(STRICTER)
    result = run(policy, "replay", file, "--home", tmp_path, "--since", "90d")
    (row,) = json.loads(run(policy, "replay", file, "--home", tmp_path, "--json").output)[
        "differences"
    ]

    assert result.return_value == 1
    assert "advance_canary (acting): allow -> deny" in result.output
    assert "objects now: small-steps[0]: 50 % is too large a step" in result.output
    assert "3 decisions judged again: 2 stay as they were" in result.output
    assert (row["was"], row["now"], row["lost"]) == ("allow", "deny", [])


def test_a_laxer_rule_shows_what_it_would_have_let_pass(tmp_path: Path) -> None:
    """The document of the same name in the home is the one that changes."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "small.yaml").write_text(STRICTER)
    home = Home(tmp_path, load_rules({"small.yaml": STRICTER}))
    home.judged("advance_canary", 50, days_ago=2, step=1)
    file = tmp_path / "laxer.yaml"
    file.write_text(STRICTER.replace("<= 25", "<= 50"))
    result = run(policy, "replay", file, "--home", tmp_path)

    assert "advance_canary (acting): deny -> allow" in result.output
    assert "no longer objects: small-steps[0]" in result.output


def test_a_calendar_is_read_at_the_moment_of_each_decision(home: Home, tmp_path: Path) -> None:
    """A freeze that would have been last week."""
    file = tmp_path / "shop.yaml"
    file.write_text(CALENDAR)
    rows = json.loads(run(policy, "replay", file, "--home", tmp_path, "--json").output)

    assert rows["judged"] == 2
    assert [r["now"] for r in rows["differences"]] == ["deny", "deny"]
    assert all("shop: last week" in r["gained"][0] for r in rows["differences"])


def test_a_decision_without_its_values_is_counted_apart(home: Home, tmp_path: Path) -> None:
    """Written before rulings carried them."""
    journal = home.journal()
    old = GuardJudged(
        tool="promote", stage="acting", ruling=judge(home.rules.policies, context("x", 1, NOW))
    )
    journal.append(kinds.GUARD_JUDGED, at=NOW, actor="policies", incident="inc-0", payload=old)
    journal.close()
    file = tmp_path / "same.yaml"
    file.write_text(STRICTER.replace("<= 25", "<= 100"))

    assert "1 were recorded without" in run(policy, "replay", file, "--home", tmp_path).output


def test_a_span_that_is_none_is_refused(home: Home, tmp_path: Path) -> None:
    """Rather than nothing replayed, or everything."""
    file = tmp_path / "small.yaml"
    file.write_text(STRICTER)
    with pytest.raises(Invalid, match="--since"):
        run(policy, "replay", file, "--home", tmp_path, "--since", "a month")


def test_explain_shows_a_rules_words_with_the_values_in_them(home: Home, tmp_path: Path) -> None:
    """By the step's number, where the rules of that moment are at hand."""
    shown = run(policy, "explain", "inc-1", "3", "--home", tmp_path).output
    (row,) = json.loads(run(policy, "explain", "inc-1", "3", "--home", tmp_path, "--json").output)
    by_rule = {rule["rule"]: rule for rule in row["rules"]}

    assert "traffic.next_percent <= traffic.allowed_percent" in shown
    assert by_rule["step-size[1]"]["substituted"] == "50 <= 100"
    assert by_rule["freeze-windows[0]"]["substituted"] == "[].size() == 0"


def test_explain_without_the_rules_of_that_moment_shows_the_values_alone(tmp_path: Path) -> None:
    """Words that were not in force then would be a lie."""
    home = Home(tmp_path, load_rules({"small.yaml": STRICTER}))
    home.judged("advance_canary", 50, days_ago=2, step=1)
    (row,) = json.loads(run(policy, "explain", "inc-1", "--home", tmp_path, "--json").output)

    assert {rule["expression"] for rule in row["rules"]} == {""}
    assert any(rule["values"].get("traffic.next_percent") == 50 for rule in row["rules"])


def managed(folder: Path, **guardrails: Any) -> None:
    model = parcels_model("history.parquet", guardrails=guardrails)
    journal = SqliteJournal(folder / "mendloop.db")
    document = ModelManaged(digest="x", document=model.model_dump(mode="json"))
    journal.append(
        kinds.MODEL_MANAGED, at=NOW, actor="controller", target=model.target, payload=document
    )
    journal.close()


def test_autonomy_is_shown_and_set_on_the_record(tmp_path: Path) -> None:
    """Who, from where to where, and why."""
    managed(tmp_path, autonomy="auto", ladder={"start": "propose"})
    home: list[str | Path] = ["--home", tmp_path]
    before = run(autonomy, *home).output
    run(autonomy, "default/parcels", "--set", "approve", "--reason", "fair", "--by", "kim", *home)
    (after,) = json.loads(run(autonomy, "--json", *home).output)
    journal = SqliteJournal(tmp_path / "mendloop.db")
    (event,) = journal.events(kinds=[kinds.AUTONOMY_CHANGED])
    journal.close()

    assert "default/parcels: propose (at most auto), 0 of 3 clean incidents" in before
    assert (after["rung"], after["reason"]) == ("approve", "fair")
    assert (event.actor, event.payload["cause"]) == ("kim", "set")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["default/parcels", "--set", "auto"], "--reason"),
        (["--set", "auto", "--reason", "x"], "TARGET"),
        (["default/unknown"], "no target"),
    ],
)
def test_setting_autonomy_says_whom_and_why(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    """Nothing is written otherwise."""
    managed(tmp_path, autonomy="auto", ladder={"start": "propose"})
    with pytest.raises(Invalid, match=said):
        run(autonomy, *arguments, "--home", tmp_path)


def test_autonomy_without_a_ladder_is_the_documents(tmp_path: Path) -> None:
    """It is changed there."""
    managed(tmp_path, autonomy="approve")
    with pytest.raises(Invalid, match="has no ladder"):
        run(autonomy, "default/parcels", "--set", "auto", "--reason", "x", "--home", tmp_path)

    assert "approve, as its document says" in run(autonomy, "--home", tmp_path).output
