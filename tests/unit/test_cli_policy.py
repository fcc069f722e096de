"""``mendloop policy``, ``pause`` and ``resume``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.pause import pause, resume
from orchestrator.cli.policy import policy
from orchestrator.journal import kinds
from orchestrator.journal.payloads import GuardJudged
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.kill_switch import STOP_FILE, KillSwitch
from orchestrator.policy_files import builtin_policies, builtin_texts
from policies.context import GuardContext
from policies.engine import judge
from tools.errors import Invalid

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def run(command: click.Command, *arguments: str | Path) -> Result:
    """The command's result; errors of ours are raised as the command line's main would see them."""
    result = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_built_in_policies_pass_their_examples() -> None:
    """Without a file, those that are shipped are meant."""
    result = run(policy, "test")

    assert result.return_value in (None, 0)
    assert "FAIL" not in result.output
    assert "16 policies are well-formed" in run(policy, "check").output


def test_a_policy_that_contradicts_its_example_fails(tmp_path: Path) -> None:
    """Exit code 1, the example, and what the rule said instead."""
    file = tmp_path / "trust.yaml"
    text = builtin_texts()["builtin/data-trust.yaml"].replace(
        "spec:", "spec:\n  replacesBuiltin: true", 1
    )
    file.write_text(text.replace("expression: data.trusted", 'expression: "!data.trusted"'))
    result = run(policy, "test", file)
    rows = json.loads(run(policy, "test", file, "--json").output)

    assert result.return_value == 1
    assert "FAIL  data-trust: trusted: expected allow, got deny" in result.output
    assert {row["example"] for row in rows} >= {"trusted", "a feed froze"}


def test_a_broken_policy_is_named_with_its_place(tmp_path: Path) -> None:
    """File, line and column."""
    file = tmp_path / "trust.yaml"
    file.write_text(builtin_texts()["builtin/data-trust.yaml"].replace("data.trusted\n", "x\n", 1))
    with pytest.raises(Invalid, match=r"trust\.yaml:\d+:\d+: .*undeclared reference to 'x'"):
        run(policy, "check", file)


def test_explain_shows_every_rule_with_its_values(tmp_path: Path) -> None:
    """What the guardrails read at that moment, from the journal."""
    context = GuardContext.model_validate(
        {
            "target": "default/flights",
            "now": NOW,
            "step": {"tool": "retrain_full", "agent": "trainer", "is_safe_return": False},
            "budget": {"retrains": 6, "max_retrains": 6},
        }
    )
    ruling = judge(builtin_policies(), context)
    journal = SqliteJournal(tmp_path / "mendloop.db")
    judged = GuardJudged(tool="retrain_full", stage="acting", ruling=ruling)
    journal.append(kinds.GUARD_JUDGED, at=NOW, actor="policies", incident="inc-1", payload=judged)
    journal.close()
    output = run(policy, "explain", "inc-1", "retrain_full", "--home", tmp_path).output

    assert "retrain_full (acting): deny" in output
    assert "retrain-budget[0]: 6 of 6 retrains of this period are used up" in output
    assert "budget.max_retrains = 6" in output
    assert "data.trusted is not known" in output
    with pytest.raises(Invalid, match="no such step"):
        run(policy, "explain", "inc-1", "promote", "--home", tmp_path)


def test_pausing_and_resuming_is_in_force_and_recorded(tmp_path: Path) -> None:
    """Who, why, and when it ended."""
    switch = KillSwitch(tmp_path / STOP_FILE)
    home: list[str | Path] = ["--home", tmp_path]
    run(pause, "default/flights", "--reason", "fair", "--by", "kim", "--allow-undo", *home)
    paused = switch.read("default/flights")
    run(resume, "default/flights", "--reason", "over", "--by", "lee", *home)
    journal = SqliteJournal(tmp_path / "mendloop.db")
    events = journal.events(target="default/flights")
    journal.close()

    assert (paused.active, paused.by, paused.allows_safe_return) == (True, "kim", True)
    assert switch.read("default/flights").active is False
    assert [(e.kind, e.actor) for e in events] == [
        (kinds.TARGET_PAUSED, "kim"),
        (kinds.TARGET_RESUMED, "lee"),
    ]


def test_pausing_works_while_the_journal_does_not(tmp_path: Path) -> None:
    """The stop is in force; that it is not recorded is said."""
    (tmp_path / "mendloop.db").write_text("this is no journal, " * 100)
    result = run(pause, "--all", "--reason", "fire", "--home", tmp_path)

    assert KillSwitch(tmp_path / STOP_FILE).read("default/flights").active is True
    assert "not in the journal" in result.output + result.stderr


def test_resuming_waits_for_the_journal(tmp_path: Path) -> None:
    """Changes that nobody can account for do not begin."""
    (tmp_path / "mendloop.db").write_text("this is no journal, " * 100)
    (tmp_path / STOP_FILE).touch()
    with pytest.raises(Invalid, match="not a journal"):
        run(resume, "--all", "--home", tmp_path)

    assert KillSwitch(tmp_path / STOP_FILE).read("default/flights").active is True


def test_resuming_what_was_not_paused_says_so(tmp_path: Path) -> None:
    """Nothing happens, nothing is recorded."""
    assert "was not paused" in run(resume, "--all", "--home", tmp_path).output
    assert not (tmp_path / "mendloop.db").exists()


@pytest.mark.parametrize("arguments", [[], ["default/flights", "--all"], ["flights"], ["../x"]])
def test_pausing_nothing_or_too_much_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    """A stop that hits something else than meant is worse than an error."""
    with pytest.raises(Invalid):
        run(pause, *arguments, "--reason", "x", "--home", tmp_path)
