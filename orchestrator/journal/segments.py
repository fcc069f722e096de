"""Seals a stretch of the journal into a file that no longer changes, and records its digest.

A sealed segment holds events with their payloads, also those that retention takes from the journal
later; it can be kept elsewhere, and the journal's own signed chain says what it must contain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.export import segment_lines
from orchestrator.journal.payloads import JournalSealed
from orchestrator.journal.stored import StoredJournal
from tools.durable_files import write_durably
from tools.errors import Invalid, Unavailable

SEGMENTS = "segments"


def seal(journal: StoredJournal, folder: Path, *, last: int, at: datetime, by: str) -> Event:
    """Write the events that are not sealed yet, through ``last``, and record the file.

    Raises Invalid when there are none, Unavailable when the file cannot be written.
    """
    first = max((event.read(JournalSealed).last for event in _sealed(journal)), default=0) + 1
    if last < first:
        raise Invalid(f"events through {first - 1} are sealed, and no later one is signed yet")
    path = folder / f"{first:012d}-{last:012d}.jsonl"
    content = "".join(segment_lines(journal, first=first, last=last)).encode()
    try:
        write_durably(path, content)
        path.chmod(0o444)
    except OSError as error:
        raise Unavailable(f"cannot write segment {path}: {error.strerror}") from error
    payload = JournalSealed(
        first=first, last=last, file=path.name, sha256=hashlib.sha256(content).hexdigest()
    )
    return journal.append(kinds.JOURNAL_SEALED, at=at, actor=by, payload=payload)


def broken_segments(journal: StoredJournal, folder: Path) -> Iterator[tuple[int, str]]:
    """Events whose segment file is there and is not what was sealed; one may be kept elsewhere."""
    for event in _sealed(journal):
        sealed = event.read(JournalSealed)
        path = folder / sealed.file
        if path.is_file():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sealed.sha256:
                yield event.seq, f"segment {sealed.file} is not what was sealed: it was changed"


def _sealed(journal: StoredJournal) -> list[Event]:
    return journal.events(target="", kinds=[kinds.JOURNAL_SEALED])
