"""``mendloop audit``, ``incidents`` and ``schema`` on a small journal."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.audit import audit
from orchestrator.cli.incidents import incidents
from orchestrator.cli.schema import schema
from orchestrator.journal import kinds
from orchestrator.journal.event import Entry
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid
from tools.managed_model import ManagedModel

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one closed incident."""
    journal = SqliteJournal(tmp_path / "mendloop.db")
    lines: list[tuple[str, dict[str, Any]]] = [
        (kinds.INCIDENT_OPENED, {"trigger": "quality", "summary": "log loss is [bold]up"}),
        (kinds.DIAGNOSIS_MADE, {"cause": "concept_drift", "confidence": 0.9}),
        (kinds.MEMORY_SAVED, {"memory": {}}),
        (kinds.INCIDENT_RESOLVED, {"outcome": "promoted", "summary": "version 2 serves"}),
    ]
    journal.append_many(
        [
            Entry(
                kind=kind,
                at=NOW,
                target="default/flights",
                incident="inc-1",
                actor="monitor",
                payload=payload,
            )
            for kind, payload in lines
        ]
    )
    journal.close()
    return tmp_path


def run(command: click.Command, *arguments: str | Path) -> Result:
    """The command's result; errors of ours are raised as the command line's main would see them."""
    result = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_show_tells_the_story(home: Path) -> None:
    """What, who and why, with text from outside taken literally."""
    output = run(audit, "show", "--home", home, "--incident", "inc-1").output

    assert "2013-06-03 12:00:00" in output
    assert "log loss is [bold]up" in output
    assert "diagnosis: concept_drift (90% confident)" in output
    assert "1 bookkeeping events are not shown" in output


def test_show_json_holds_every_event(home: Path) -> None:
    """Machines get all of it."""
    events = json.loads(run(audit, "show", "--home", home, "--json").output)

    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert events[1]["payload"]["cause"] == "concept_drift"


def test_show_of_an_unknown_incident_says_where_to_look(home: Path) -> None:
    """A mistyped name is no empty story."""
    with pytest.raises(Invalid, match="mendloop incidents"):
        run(audit, "show", "--home", home, "--incident", "inc-9")


def test_verify_of_a_whole_journal(home: Path) -> None:
    """Exit code 0 and a count."""
    result = run(audit, "verify", "--home", home)

    assert result.return_value in (None, 0)
    assert "4 events" in result.output


def test_verify_names_the_first_bad_event(home: Path) -> None:
    """Exit code 1 for scripts, the event for people."""
    connection = sqlite3.connect(home / "mendloop.db")
    connection.execute("DROP TRIGGER events_stay")
    connection.execute("UPDATE events SET actor = 'nobody' WHERE seq = 2")
    connection.commit()
    connection.close()
    result = run(audit, "verify", "--home", home)
    found = json.loads(run(audit, "verify", "--home", home, "--json").output)

    assert result.return_value == 1
    assert "event 2" in result.output
    assert (found["ok"], found["first_bad"]) == (False, 2)


def test_incidents_are_listed(home: Path) -> None:
    """One line each, or JSON."""
    table = run(incidents, "--home", home).output
    (incident,) = json.loads(run(incidents, "--home", home, "--json").output)

    assert "inc-1" in table
    assert (incident["diagnosis"], incident["outcome"]) == ("concept_drift", "promoted")


@pytest.mark.parametrize("missing", ["home", "journal"])
@pytest.mark.parametrize("command", ["audit show", "audit verify", "incidents"])
def test_a_missing_home_or_journal_is_named(tmp_path: Path, command: str, missing: str) -> None:
    """What is not there, and how to say where it is."""
    name, *rest = command.split()
    home = tmp_path / "nowhere" if missing == "home" else tmp_path
    with pytest.raises(Invalid, match=missing):
        run(audit if name == "audit" else incidents, *rest, "--home", home)


@pytest.mark.parametrize("kind", ["ManagedModel", "GuardrailPolicy", "GuardContext"])
def test_schemas_are_closed(kind: str) -> None:
    """Unknown fields are refused by every document, and its schema says so."""
    document = json.loads(run(schema, kind).output)

    assert document["title"] == kind
    assert document["additionalProperties"] is False


def test_the_schema_speaks_as_documents_do() -> None:
    """Field names as people write them, not as Python does."""
    document = json.loads(run(schema, "ManagedModel").output)

    assert "apiVersion" in document["properties"]
    assert set(document["required"]) == {
        field.alias or name
        for name, field in ManagedModel.model_fields.items()
        if field.is_required()
    }


def test_an_export_verifies_and_an_event_is_proved(home: Path, tmp_path: Path) -> None:
    """From the journal to text, to a proof, to somebody who has only the public key."""
    signed = SignedJournal(home / "mendloop.db", at=NOW)
    signed.close()
    lines, proof = tmp_path / "journal.jsonl", tmp_path / "proof.json"
    run(audit, "export", "--home", home, "-o", lines)
    proof.write_text(run(audit, "prove", "2", "--home", home).output)
    elsewhere: list[str | Path] = ["--keys", home / "keys"]
    verified = run(audit, "verify", "--export", lines, *elsewhere)
    assert "5 events, the chain is whole, 1 signed checkpoints agree" in verified.output
    assert "event 2 is in the journal" in run(audit, "check", proof, *elsewhere).output
    proof.write_text(proof.read_text().replace("concept_drift", "nothing"))
    with pytest.raises(Invalid, match="event 2 does not match its hash"):
        run(audit, "check", proof, *elsewhere)


def test_a_forged_checkpoint_fails_the_verification(home: Path) -> None:
    """Exit code 1, and the file is named."""
    SignedJournal(home / "mendloop.db", at=NOW).close()
    (checkpoint,) = (home / "checkpoints").iterdir()
    checkpoint.write_text(checkpoint.read_text().replace("\n5\n", "\n4\n"))
    result = run(audit, "verify", "--home", home)

    assert result.return_value == 1
    assert checkpoint.name in result.output


def test_proving_what_is_not_signed_yet_says_so(home: Path) -> None:
    """No key, no checkpoint: nothing to prove by; no such event: nothing to prove."""
    with pytest.raises(Invalid, match="no checkpoint covers event 2"):
        run(audit, "prove", "2", "--home", home)
    with pytest.raises(Invalid, match="no event 99"):
        run(audit, "prove", "99", "--home", home)
