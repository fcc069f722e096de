"""The journal as text that outlives SQLite: JSON lines that verify, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.journal.event import Event
from orchestrator.journal.journal import Verification
from orchestrator.journal.sqlite import SqliteJournal, verify_rows
from tools.errors import Invalid
from tools.values import canonical_json

FIELDS = tuple(Event.model_fields)


def json_lines(journal: SqliteJournal) -> Iterator[str]:
    """One event per line in canonical JSON, its hash among the fields."""
    for row in journal.rows():
        yield canonical_json(row.event().model_dump()) + "\n"


def csv_lines(journal: SqliteJournal) -> Iterator[str]:
    """A header and one event per line, the payload as JSON text. For people: only JSON lines can
    be verified. Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    yield _csv(FIELDS)
    for row in journal.rows():
        yield _csv(dict(row).values())


class ExportedJournal:
    """An export of JSON lines, to be verified without the database that it came from."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise Invalid(f"there is no export at {path}; `mendloop audit export` makes one")
        self._path = path

    def verify(self) -> Verification:
        """Recompute the chain; every line must also be spelled as the export spells it."""
        return verify_rows(tuple(row.values()) for row in self._rows())

    def hashes(self) -> Iterator[str]:
        """The events' hashes in order, of an export that verifies."""
        for row in self._rows():
            yield row["hash"]

    def _rows(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            for line in file:
                yield _parsed(line)


def _parsed(line: bytes) -> dict[str, Any]:
    """The event's fields in order, the payload as text. Raises Invalid for any other spelling."""
    try:
        event = json.loads(line)
        if canonical_json(event).encode() + b"\n" != line:
            raise Invalid("the line is not spelled as it was exported")
        if not isinstance(event, dict) or event.keys() != set(FIELDS):
            raise Invalid(f"expected the fields {', '.join(FIELDS)}")
        if not isinstance(event["payload"], dict):
            raise Invalid("the payload is not an object")
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the line is not JSON: {error}") from error
    return {**{name: event[name] for name in FIELDS}, "payload": canonical_json(event["payload"])}


def _csv(values: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(_harmless(str(value)) for value in values)
    return out.getvalue()


def _harmless(text: str) -> str:
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
