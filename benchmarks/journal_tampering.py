"""Edits an exported journal at random, byte-wise and structurally, and counts what goes unseen.

Target: of at least 1,000 edits none. Every edit is verified as an auditor would: with the export,
the first public key, and the last checkpoint kept elsewhere. ``--edits`` says how many of each.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.journal import kinds
from orchestrator.journal.audit import audit
from orchestrator.journal.checkpoint import CheckpointFolder
from orchestrator.journal.event import Entry, Head, chain
from orchestrator.journal.export import ExportedJournal, json_lines
from orchestrator.journal.keys import read_verifiers
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal
from tools.values import canonical_json

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def make_home(home: Path) -> None:
    """A journal with small payloads, payloads apart (one of them twice), and pruned ones."""
    journal = SignedJournal(home / "mendloop.db", at=NOW, every_events=7)
    for number in range(40):
        at = NOW + timedelta(hours=number)
        if number % 4 == 0:
            payload: dict[str, Any] = {"memory": {"notes": [f"{number % 24} ünï"] * 300}}
            kind = kinds.MEMORY_SAVED
        else:
            payload = {"by": "kim", "reason": f'fair {number} \\ " \u2028'}
            kind = kinds.TARGET_PAUSED
        journal.append(kind, at=at, actor="kim", target="a/b", payload=payload)
    journal.close()
    plain = SqliteJournal(home / "mendloop.db")
    taken = plain.prunable(NOW + timedelta(hours=9), [])
    plain.prune(taken, at=NOW + timedelta(hours=50), actor="kim", reason="retention")
    plain.close()
    SignedJournal(home / "mendloop.db", at=NOW).close()


def export(home: Path) -> bytes:
    """The home's journal as JSON lines."""
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    notes = [note for _, note in CheckpointFolder(home / "checkpoints").notes()]
    text = "".join(json_lines(journal, notes))
    journal.close()
    return text.encode()


def _byte(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _bit(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([rng.randrange(256)]) + content[at:]


def _delete(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + content[at + 1 :]


def _truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _swap_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    a, b = rng.sample(range(1, len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def _repeat_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(rng.randrange(1, len(lines)), lines[rng.randrange(1, len(lines))])
    return b"".join(lines)


def _drop_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    a, b = sorted(rng.sample(range(1, len(lines) + 1), 2))
    return b"".join([*lines[:a], *lines[b:]])


def _drop_payload(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    apart = [place for place, line in enumerate(lines) if line.startswith(b'{"content"')]
    del lines[rng.choice(apart)]
    return b"".join(lines)


def _move_payload(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    apart = [place for place, line in enumerate(lines) if line.startswith(b'{"content"')]
    line = lines.pop(rng.choice(apart))
    lines.insert(rng.randrange(1, len(lines)), line)
    return b"".join(lines)


def _rewrite(content: bytes, rng: random.Random) -> bytes:
    """An event is changed, and every hash after it computed anew: the chain is whole again."""
    lines = content.splitlines(keepends=True)
    events = [place for place, line in enumerate(lines) if b'"prev_hash":' in line]
    chosen = rng.choice(events[1:])
    head: Head | None = None
    for place in events:
        event = json.loads(lines[place])
        if place >= chosen and isinstance(event["payload"], dict):
            changed = {**event["payload"], "reason": "nothing to see here"}
            payload = changed if place == chosen and "reason" in changed else event["payload"]
            entry = Entry(
                kind=event["kind"],
                at=datetime.fromisoformat(event["at"]) + timedelta(minutes=place == chosen),
                target=event["target"],
                incident=event["incident"],
                actor=event["actor"],
                payload=payload,
            )
            assert head is not None
            row = chain(head, entry).row
            event = {**row._asdict(), "payload": json.loads(row.payload)}
            lines[place] = (canonical_json(event) + "\n").encode()
        head = Head(seq=event["seq"], hash=event["hash"])
    header = json.loads(lines[0])
    assert head is not None
    lines[0] = (canonical_json({**header, "head": head.hash}) + "\n").encode()
    return b"".join(lines)


EDITS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "one byte": _byte,
    "one bit": _bit,
    "a byte more": _insert,
    "a byte less": _delete,
    "cut off": _truncate,
    "lines swapped": _swap_lines,
    "a line twice": _repeat_line,
    "lines dropped": _drop_lines,
    "a payload dropped": _drop_payload,
    "a payload moved": _move_payload,
    "history rewritten": _rewrite,
}


def is_found(path: Path, home: Path) -> bool:
    """Whether an auditor sees that this export is not what was signed."""
    exported = ExportedJournal(path)
    notes = [(f"number {place}", note) for place, note in enumerate(exported.notes())]
    kept = CheckpointFolder(home / "checkpoints").newest()
    return not audit(
        exported, [*notes, *([kept] if kept else [])], read_verifiers(home / "keys")
    ).ok


def unseen_edits(folder: Path, per_kind: int, seed: int) -> dict[str, tuple[int, int]]:
    """Per kind of edit: how many were made, and how many of them were not found."""
    home, path, rng = folder / "home", folder / "edited.jsonl", random.Random(seed)
    home.mkdir()
    make_home(home)
    original = export(home)
    path.write_bytes(original)
    if is_found(path, home):
        raise SystemExit("the untouched export does not verify")
    counts: dict[str, tuple[int, int]] = {}
    for name, edit in EDITS.items():
        made = unseen = 0
        while made < per_kind:
            edited = edit(original, rng)
            if edited != original:
                path.write_bytes(edited)
                made += 1
                unseen += not is_found(path, home)
        counts[name] = (made, unseen)
    return counts


def main() -> None:
    """Edit, verify, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 edits of each kind")
    parser.add_argument("--edits", type=int, default=1000, help="edits of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        per_kind = 100 if arguments.quick else arguments.edits
        counts = unseen_edits(Path(name), per_kind, arguments.seed)
    for kind, (made, unseen) in counts.items():
        print(f"{kind:20} {made:6} edits, {unseen} unseen")
    edits, missed = (sum(column) for column in zip(*counts.values(), strict=True))
    print(f"{edits} edits, {missed} unseen")
    if arguments.json:
        arguments.json.write_text(json.dumps({"edits": edits, "unseen": missed, "kinds": counts}))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
