"""Signed checkpoints show what the chain alone cannot: a cut-off end, a history written anew."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.audit import audit
from orchestrator.journal.checkpoint import CheckpointFolder, parse_checkpoint
from orchestrator.journal.export import ExportedJournal, csv_lines, json_lines
from orchestrator.journal.journal import Verification
from orchestrator.journal.keys import load_or_make_signer, read_verifiers
from orchestrator.journal.proof import Proof, check, prove
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid, Refused

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def opened(home: Path, every: int = 5) -> SignedJournal:
    """The home's journal, signing every few events."""
    return SignedJournal(home / "mendloop.db", at=NOW, every_events=every)


def pause(journal: SignedJournal | SqliteJournal, times: int = 1, reason: str = "fair") -> None:
    """Append small events."""
    for _ in range(times):
        payload = {"by": "kim", "reason": reason}
        journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=payload)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A closed journal of 12 events (the first records the key), signed at 5, 10 and 12."""
    journal = opened(tmp_path)
    pause(journal, 11)
    journal.close()
    return tmp_path


def held_against(home: Path, signed: Path | None = None) -> Verification:
    """The journal of ``home`` against the checkpoints in ``signed`` (by default its own)."""
    signed = signed or home
    notes = CheckpointFolder(signed / "checkpoints").notes()
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    found = audit(journal, notes, read_verifiers(signed / "keys"))
    journal.close()
    return found


def sql(home: Path, *statements: str) -> None:
    """Change the journal behind its back."""
    connection = sqlite3.connect(home / "mendloop.db")
    for statement in ("DROP TRIGGER events_stay", "DROP TRIGGER events_remain", *statements):
        connection.execute(statement)
    connection.commit()
    connection.close()


def sizes(home: Path) -> list[int]:
    """How many events each checkpoint covers."""
    return [int(path.stem) for path in sorted((home / "checkpoints").iterdir())]


def test_checkpoints_agree_with_an_untouched_journal(home: Path) -> None:
    """Every so many events, and at the end."""
    found = held_against(home)

    assert sizes(home) == [5, 10, 12]
    assert found == Verification(ok=True, events=12, checkpoints=3, signed_events=12)


def test_an_incident_is_signed_when_it_closes(tmp_path: Path) -> None:
    """Whoever reads about it the next morning can prove it."""
    journal = opened(tmp_path, every=1000)
    journal.append(
        kinds.INCIDENT_RESOLVED, at=NOW, actor="x", incident="inc-1", payload={"outcome": "fine"}
    )

    assert sizes(tmp_path) == [2]
    journal.close()


def test_a_cut_off_end_is_named(home: Path) -> None:
    """The chain is whole, but it was longer once."""
    sql(home, "DELETE FROM events WHERE seq > 10")
    found = held_against(home)

    assert not found.ok
    assert found.first_bad == 11
    assert "signed over 12 events, 10 are left" in found.reason


def test_a_history_written_anew_is_caught_by_an_old_checkpoint(home: Path, tmp_path: Path) -> None:
    """With new keys and new checkpoints everything agrees, except the copies kept elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    for folder in ("keys", "checkpoints"):
        shutil.copytree(home / folder, elsewhere / folder)
    forged = tmp_path / "forged"
    forged.mkdir()
    journal = opened(forged)
    pause(journal, 11, reason="nothing to see here")
    journal.close()

    assert held_against(forged).ok
    found = held_against(forged, elsewhere)
    assert not found.ok
    assert found.first_bad == 1
    assert "events 1 to 5 were rewritten" in found.reason


def test_mendloop_does_not_sign_a_forgery(home: Path) -> None:
    """A journal that was shortened while nobody looked is refused at the start."""
    sql(home, "DELETE FROM events WHERE seq > 10")
    with pytest.raises(Refused, match="audit verify"):
        opened(home)

    assert sizes(home) == [5, 10, 12]


@pytest.mark.parametrize("name", ["000000000005.checkpoint", "000000000012.checkpoint"])
def test_an_edited_checkpoint_is_named(home: Path, name: str) -> None:
    """Its signature no longer fits."""
    path = home / "checkpoints" / name
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], "4", *lines[2:]]))

    found = held_against(home)

    assert not found.ok
    assert name in found.reason


def test_another_process_goes_on_signing(home: Path) -> None:
    """The key is kept, recorded once, and old checkpoints still hold."""
    journal = opened(home)
    pause(journal, 3)
    keyed = journal.events(kinds=[kinds.JOURNAL_KEYED])
    journal.close()

    assert len(keyed) == 1
    assert held_against(home).signed_events == 15


def test_a_rotated_key_is_recorded_and_both_verify(home: Path) -> None:
    """Moving the key away makes a new one; the old public key stays for old checkpoints."""
    (home / "keys" / "journal.key").rename(home / "old.key")
    journal = opened(home)
    keyed = journal.events(kinds=[kinds.JOURNAL_KEYED])
    journal.close()

    assert len(keyed) == 2
    assert keyed[0].payload != keyed[1].payload
    assert held_against(home).ok


def test_the_key_is_for_its_owner_only(home: Path) -> None:
    """Made 0600, and refused when others may read it."""
    key = home / "keys" / "journal.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o640)

    with pytest.raises(Refused, match="chmod 600"):
        load_or_make_signer(home / "keys")


def test_an_append_survives_a_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    """The event is durable; the checkpoint is made up for with a later append."""
    journal = opened(tmp_path, every=3)
    (tmp_path / "checkpoints").write_text("in the way")
    pause(journal, 3)
    assert journal.head().seq == 4
    (tmp_path / "checkpoints").unlink()
    pause(journal)

    assert sizes(tmp_path) == [5]
    journal.close()


def exported(home: Path) -> Path:
    """The home's journal as JSON lines."""
    path = home / "journal.jsonl"
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    notes = [note for _, note in CheckpointFolder(home / "checkpoints").notes()]
    path.write_text("".join(json_lines(journal, notes)), encoding="utf-8")
    journal.close()
    return path


def audited(path: Path, home: Path) -> Verification:
    """The export against the checkpoints that it carries and the home's public key."""
    export = ExportedJournal(path)
    notes = [(str(place), note) for place, note in enumerate(export.notes())]
    return audit(export, notes, read_verifiers(home / "keys"))


def test_an_export_verifies_without_the_database(home: Path) -> None:
    """Chain and checkpoints, from text alone."""
    path = exported(home)

    assert audited(path, home).signed_events == 12


def test_any_edit_of_an_export_is_found(home: Path) -> None:
    """A thousand random edits: bytes changed, added, removed; lines swapped, doubled, dropped."""
    path = exported(home)
    original = path.read_bytes()
    rng = random.Random(2)
    for _ in range(1000):
        edited = edit(original, rng)
        if edited == original:
            continue
        path.write_bytes(edited)

        assert not audited(path, home).ok


def edit(content: bytes, rng: random.Random) -> bytes:
    """One random edit of a byte or of the structure."""
    at = rng.randrange(len(content))
    lines = content.splitlines(keepends=True)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(7):
        case 0 | 1:
            return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        case 2:
            return content[:at] + content[at + 1 :]
        case 3:
            return content[:at] + bytes([rng.randrange(256)]) + content[at:]
        case 4:
            lines[a], lines[b] = lines[b], lines[a]
        case 5:
            lines.insert(a, lines[b])
        case _:
            del lines[min(a, b) : max(a, b) + 1]
    return b"".join(lines)


def test_csv_is_for_spreadsheets_and_holds_no_formula(home: Path) -> None:
    """What a spreadsheet would compute is disarmed."""
    journal = SqliteJournal(home / "mendloop.db")
    journal.append(
        kinds.TARGET_RESUMED, at=NOW, actor="=cmd()", payload={"by": "kim"}, target="default/a"
    )
    lines = list(csv_lines(journal))
    journal.close()

    assert len(lines) == 14
    assert lines[0].startswith("seq,id,at,kind")
    assert "'=cmd()" in lines[-1]


@pytest.fixture
def proof(home: Path) -> Proof:
    """That event 7 is under the checkpoint over 10 events."""
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    note = (home / "checkpoints" / "000000000010.checkpoint").read_text()
    checkpoint = parse_checkpoint(note, read_verifiers(home / "keys"))
    made = prove(journal, journal.events()[6], checkpoint=checkpoint, note=note)
    journal.close()
    return made


def test_a_proof_holds_with_the_public_key_alone(home: Path, proof: Proof) -> None:
    """Also after a trip through JSON."""
    again = Proof.model_validate(json.loads(proof.model_dump_json()))
    check(again, read_verifiers(home / "keys"))

    assert again.event.seq == 7


@pytest.mark.parametrize("part", ["actor", "seq", "payload", "path", "size"])
def test_a_changed_proof_does_not_hold(home: Path, proof: Proof, part: str) -> None:
    """Another event, another place, another path, another size."""
    data = proof.model_dump()
    match part:
        case "path":
            data["path"] = data["path"][::-1]
        case "size":
            data["tree_size"] = 9
        case "payload":
            data["event"]["payload"]["reason"] = "other"
        case _:
            data["event"][part] = 8 if part == "seq" else "nobody"
    with pytest.raises(Invalid):
        check(Proof.model_validate(data), read_verifiers(home / "keys"))


SIGNING = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from orchestrator.journal.signed import SignedJournal

now = datetime(2013, 6, 3, 12, tzinfo=UTC)
journal = SignedJournal(Path(sys.argv[1]) / "mendloop.db", at=now, every_events=2)
while True:
    event = journal.append(
        "target.paused", at=now, actor="kim", payload={"by": "kim", "reason": "fair"}
    )
    sys.stdout.write(f"{event.seq} {event.hash}\\n")
    sys.stdout.flush()
"""


def test_kill_9_between_append_and_checkpoint_breaks_neither(tmp_path: Path) -> None:
    """Also in the middle of making the key: the next process takes up and everything agrees."""
    acknowledged: dict[str, str] = {}
    for round_ in range(5):
        command = [sys.executable, "-c", SIGNING, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in itertools.islice(process.stdout, 4 + round_):
                seq, linked = line.split()
                acknowledged[seq] = linked
            process.kill()
    journal = opened(tmp_path)
    stored = {str(event.seq): event.hash for event in journal.events()}
    journal.close()

    assert len(acknowledged) >= 30
    assert acknowledged.items() <= stored.items()
    assert held_against(tmp_path).ok
