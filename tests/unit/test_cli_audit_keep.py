"""``mendloop audit prune|seal|rotate-key|diff``: what may be done to a journal stays provable."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.audit import audit
from orchestrator.cli.incidents import incidents
from orchestrator.cli.policy import policy
from orchestrator.journal import keys, kinds
from orchestrator.journal.audit import root_text
from orchestrator.journal.checkpoint import Checkpoint, CheckpointFolder
from orchestrator.journal.event import Entry
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid

LONG_AGO = datetime.now(UTC) - timedelta(days=100)
"""Retention counts from now; the tests' events are old or of this minute."""


def run(*arguments: str | Path) -> Result:
    """The command's result; errors of ours are raised as the command line's main would see them."""
    result = CliRunner().invoke(audit, [str(a) for a in arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def big(kind: str, text: str, target: str, incident: str, days: int = 0) -> Entry:
    """An event whose payload is stored apart."""
    payloads: dict[str, dict[str, Any]] = {
        kinds.MEMORY_SAVED: {"memory": {"notes": [text] * 800}},
        kinds.STEP_OUTCOME: {"key": "k", "tool": "t", "result": "applied", "detail": text * 900},
        kinds.DIAGNOSIS_MADE: {"cause": "nothing", "confidence": 1.0, "reasons": [text] * 900},
    }
    return Entry(
        kind=kind,
        at=LONG_AGO + timedelta(days=days),
        target=target,
        incident=incident,
        actor="monitor",
        payload=payloads[kind],
    )


def opened(incident: str) -> Entry:
    """An incident begins."""
    payload = {"trigger": "quality", "summary": "up", "goal": "g"}
    return Entry(
        kind=kinds.INCIDENT_OPENED,
        at=LONG_AGO,
        target="a/b",
        incident=incident,
        actor="monitor",
        payload=payload,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Old: two memories, a diagnosis and an act of a closed incident, a diagnosis of an open one.
    New: a memory that repeats an old one."""
    journal = SignedJournal(tmp_path / "mendloop.db", at=LONG_AGO)
    closed = Entry(
        kind=kinds.INCIDENT_RESOLVED,
        at=LONG_AGO,
        target="a/b",
        incident="inc-1",
        actor="orchestrator",
        payload={"outcome": "promoted"},
    )
    journal.append_many(
        [
            opened("inc-1"),
            big(kinds.DIAGNOSIS_MADE, "closed", "a/b", "inc-1"),
            big(kinds.STEP_OUTCOME, "act", "a/b", "inc-1"),
            closed,
            opened("inc-2"),
            big(kinds.DIAGNOSIS_MADE, "open", "a/b", "inc-2"),
            big(kinds.MEMORY_SAVED, "once", "a/b", ""),
            big(kinds.MEMORY_SAVED, "again", "a/b", ""),
            big(kinds.MEMORY_SAVED, "newest", "c/d", ""),
            big(kinds.MEMORY_SAVED, "again", "a/b", "", days=100),
        ]
    )
    journal.close()
    return tmp_path


def missing(home: Path) -> list[int]:
    """Events whose payload is gone."""
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    found = [event.seq for event in journal.events() if event.missing]
    journal.close()
    return found


def test_retention_takes_old_explanations_and_nothing_else(home: Path) -> None:
    """Not what an open incident rests on, no act, no newest memory, nothing that is new as well."""
    run("prune", "--older-than", "90d", "--home", home, "--reason", "90 days", "--by", "kim")
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    (pruned,) = journal.events(kinds=[kinds.JOURNAL_PRUNED])
    journal.close()
    content = (home / "mendloop.db").read_bytes()

    assert missing(home) == [3, 8]  # the closed incident's diagnosis, and the first memory
    assert (pruned.actor, pruned.payload["reason"]) == ("kim", "90 days")
    assert len(pruned.payload["payloads"]) == 2
    assert b"closed" not in content, "overwritten, not only unlinked"
    assert b"newest" in content


def test_a_pruned_journal_verifies_exports_and_proves(home: Path, tmp_path: Path) -> None:
    """Proofs are about digests: they hold without the content, and say that it is gone."""
    before = run("prove", "3", "--home", home).output
    run("prune", "--older-than", "90d", "--home", home)
    out, proof = tmp_path / "journal.jsonl", tmp_path / "proof.json"
    run("export", "--home", home, "-o", out)
    verified = [
        json.loads(run("verify", *source, "--json", "--keys", home / "keys").output)
        for source in (["--home", home], ["--export", out])
    ]

    assert [(v["ok"], v["pruned"]) for v in verified] == [(True, 2), (True, 2)]
    for text in (before, run("prove", "3", "--home", home).output):
        proof.write_text(text)
        assert "event 3 is in the journal" in run("check", proof, "--keys", home / "keys").output
    shown = " ".join(run("show", "--home", home).output.split())
    assert "was pruned by retention" in shown


def test_commands_that_read_what_is_gone_say_so(home: Path) -> None:
    """Incidents are folded from what stays; explanations are told as pruned, not as a crash."""
    journal = SqliteJournal(home / "mendloop.db")
    ruling = {
        "decision": "deny",
        "verdicts": [
            {"policy": "p", "rule": n, "result": "passed", "action": "Deny", "message": "x" * 80}
            for n in range(30)
        ],
    }
    journal.append(
        kinds.GUARD_JUDGED,
        at=LONG_AGO,
        actor="policies",
        target="a/b",
        incident="inc-1",
        payload={"tool": "promote", "stage": "acting", "ruling": ruling},
    )
    journal.close()
    run("prune", "--older-than", "90d", "--home", home)
    listed = CliRunner().invoke(incidents, ["--home", str(home), "--json"])
    replayed = run("replay", "inc-1", "--home", home)

    assert [i["outcome"] for i in json.loads(listed.output)] == ["promoted", ""]
    assert "0 different, 2 not replayed" in replayed.output
    with pytest.raises(Invalid, match="pruned by retention"):
        policy.main(["explain", "inc-1", "--home", str(home)], standalone_mode=False)


def test_a_dry_run_takes_nothing(home: Path) -> None:
    """It says what would go."""
    told = run("prune", "--older-than", "90d", "--dry-run", "--home", home).output

    assert told.startswith("2 payloads")
    assert missing(home) == []
    assert "nothing is old enough" in run("prune", "--older-than", "101d", "--home", home).output


@pytest.mark.parametrize("age", ["90", "d", "-3d", "3y", ""])
def test_an_age_that_means_nothing_is_refused(home: Path, age: str) -> None:
    """With what was expected."""
    with pytest.raises((Invalid, click.UsageError)):
        run("prune", f"--older-than={age}", "--home", home)


def test_a_sealed_segment_is_held_against_the_journal(home: Path) -> None:
    """It keeps what retention takes later; a change of it is found; a second one goes on."""
    run("seal", "--home", home, "--by", "kim")
    run("prune", "--older-than", "90d", "--home", home)
    (segment,) = (home / "segments").iterdir()

    assert segment.stat().st_mode & 0o222 == 0
    assert "closed" in segment.read_text()
    assert run("verify", "--home", home).return_value in (None, 0)
    assert "events 12 to" in run("seal", "--home", home).output
    segment.chmod(0o644)
    segment.write_text(segment.read_text().replace("closed", "clozed"))
    found = run("verify", "--home", home)
    assert found.return_value == 1
    assert f"segment {segment.name} is not what was sealed" in found.output
    segment.unlink()
    assert run("verify", "--home", home).return_value in (None, 0), "it may be kept elsewhere"
    (other,) = (home / "segments").iterdir()
    taken_for_export = run("verify", "--export", other, "--keys", home / "keys")
    assert taken_for_export.return_value == 1
    assert "this is a sealed segment" in taken_for_export.output


def appended(home: Path, times: int = 1) -> None:
    """The controller goes on."""
    journal = SignedJournal(home / "mendloop.db", at=LONG_AGO)
    for _ in range(times):
        journal.append(kinds.TARGET_RESUMED, at=LONG_AGO, actor="kim", payload={"by": "kim"})
    journal.close()


def test_whoever_has_the_first_key_follows_every_rotation(home: Path, tmp_path: Path) -> None:
    """Two rotations later, the first public key and an export are enough."""
    (first,) = (home / "keys").glob("*.pub")
    shutil.copy(first, tmp_path / "first.pub")
    for _ in range(2):
        told = run("rotate-key", "--home", home, "--by", "kim").output
        appended(home)
    out = tmp_path / "journal.jsonl"
    run("export", "--home", home, "-o", out)
    found = json.loads(
        run("verify", "--export", out, "--keys", tmp_path / "first.pub", "--json").output
    )

    assert "are signed now by mendloop-journal-" in told
    assert found["ok"]
    assert found["signed_events"] == found["events"]
    assert len(list((home / "keys").glob("*.pub"))) == 3
    assert (home / "keys" / "journal.key").stat().st_mode & 0o777 == 0o600
    assert not (home / "keys" / "journal.key.next").exists()


def test_a_key_that_nobody_handed_over_to_is_not_trusted(home: Path, tmp_path: Path) -> None:
    """Whoever steals the folder and makes a key of his own cannot sign for the log."""
    (first,) = (home / "keys").glob("*.pub")
    shutil.copy(first, tmp_path / "first.pub")
    (home / "keys" / "journal.key").unlink()
    appended(home)
    found = run("verify", "--home", home, "--keys", tmp_path / "first.pub")

    assert found.return_value == 1
    assert "no key that is known here has signed it" in found.output


def test_a_retired_key_signs_no_more(home: Path) -> None:
    """A stolen old key is worth nothing after the hand-over."""
    stolen = (home / "keys" / "journal.key").read_text()
    run("rotate-key", "--home", home)
    (home / "keys" / "journal.key").write_text(stolen)
    plain = SqliteJournal(home / "mendloop.db")
    plain.append(kinds.TARGET_RESUMED, at=LONG_AGO, actor="kim", payload={"by": "kim"})
    size = plain.head().seq
    forged = Checkpoint(origin="x", size=size, root=root_text(plain.tree().root(size)))
    plain.close()
    CheckpointFolder(home / "checkpoints").write(forged, keys.load_or_make_signer(home / "keys"))
    found = run("verify", "--home", home)

    assert found.return_value == 1
    assert "signed by a key that had been handed over before" in found.output


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_rotation_that_died_half_way_is_finished_or_forgotten(
    home: Path, is_recorded: bool
) -> None:
    """Recorded: the new key is in force at the next start. Not recorded: the old one stays."""
    before = keys.load_or_make_signer(home / "keys").verifier
    old, new = keys.prepare_rotation(home / "keys")
    if is_recorded:
        journal = SqliteJournal(home / "mendloop.db")
        handed = keys.hand_over(old, new.verifier)
        journal.append(kinds.JOURNAL_KEYED, at=LONG_AGO, actor="kim", payload=handed)
        journal.close()
    appended(home)
    now = keys.load_or_make_signer(home / "keys").verifier

    assert str(now) == str(new.verifier if is_recorded else before)
    assert not (home / "keys" / keys.NEXT_KEY).exists()
    assert run("verify", "--home", home).return_value in (None, 0)


def test_two_journals_are_compared(home: Path, tmp_path: Path) -> None:
    """The same, one longer than the other, one changed, one pruned."""
    monday, tuesday = tmp_path / "monday.jsonl", tmp_path / "tuesday.jsonl"
    run("export", "--home", home, "-o", monday)
    assert "the same 11 events" in run("diff", monday, home).output
    appended(home)
    run("prune", "--older-than", "90d", "--home", home)
    run("export", "--home", home, "-o", tuesday)
    longer = run("diff", monday, tuesday)
    lines = monday.read_text().splitlines(keepends=True)
    event = next(place for place, line in enumerate(lines) if '"seq":4' in line)
    lines[event] = lines[event].replace('"actor":"monitor"', '"actor":"nobody"')
    monday.write_text("".join(lines))
    changed = json.loads(run("diff", monday, tuesday, "--json").output)

    assert longer.return_value == 1
    assert "the same through event 11; 2 payloads are left in one of them only" in longer.output
    assert "tuesday.jsonl goes on" in longer.output
    assert (changed["first"], changed["fields"], changed["agree"]) == (4, ["actor"], 3)
    assert any('-  "actor": "nobody"' in line or '"nobody"' in line for line in changed["diff"])
