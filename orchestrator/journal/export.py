"""The journal as text that outlives SQLite: JSON lines that verify, and CSV for spreadsheets.

An export begins with a header (how many events, the last one's hash, the signed checkpoints that
cover them), so that whoever has the public key needs nothing else. Then one event per line; a
payload that is stored apart stands once, on a line of its own before the first event that has it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.journal.event import Head, Row
from orchestrator.journal.journal import Verification
from orchestrator.journal.stored import StoredJournal
from orchestrator.journal.verification import Stored, verify_rows
from tools.errors import Invalid
from tools.values import canonical_json

FORMAT = "mendloop-journal/2"
SEGMENT_FORMAT = "mendloop-journal-segment/1"
FIELDS = Row._fields


def json_lines(journal: StoredJournal, notes: Sequence[str] = ()) -> Iterator[str]:
    """The whole journal as it is now, in canonical JSON; ``notes`` are its signed checkpoints."""
    head = journal.head()
    yield _line(
        {"format": FORMAT, "events": head.seq, "head": head.hash, "checkpoints": list(notes)}
    )
    yield from _event_lines(journal.rows(until=head.seq))


def segment_lines(journal: StoredJournal, *, first: int, last: int) -> Iterator[str]:
    """A stretch of the journal, spelled as in an export; its digest is what gets recorded."""
    yield _line({"format": SEGMENT_FORMAT, "first": first, "last": last})
    yield from _event_lines(journal.rows(after=first - 1, until=last))


def _event_lines(rows: Iterator[tuple[Row, str | None]]) -> Iterator[str]:
    told: set[str] = set()
    for row, content in rows:
        if content is not None and row.payload not in told:
            told.add(row.payload)
            yield f'{{"content":{content},"name":{row.payload}}}\n'
        yield _line({**row._asdict(), "payload": json.loads(row.payload)})


def csv_lines(journal: StoredJournal) -> Iterator[str]:
    """A header and one event per line, the payload as JSON text. For people: only JSON lines can
    be verified. Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    yield _csv(FIELDS)
    for row, content in journal.rows():
        yield _csv(row._replace(payload=content or row.payload))


class ExportedJournal:
    """An export of JSON lines, to be verified without the database that it came from."""

    def __init__(self, path: Path) -> None:
        """Raises Invalid when there is no export at ``path``."""
        if not path.is_file():
            raise Invalid(f"there is no export at {path}; `mendloop audit export` makes one")
        self._path = path

    def notes(self) -> list[str]:
        """The signed checkpoints that it carries; none when its header cannot be read."""
        try:
            with self._path.open("rb") as file:
                return list(_header(file.readline())["checkpoints"])
        except Invalid:
            return []

    def verify(self, *, watch: Callable[[Stored], None] | None = None) -> Verification:
        """Recompute the chain; every line must also be spelled as the export spells it."""
        last = Head()

        def noting(stored: Stored) -> None:
            nonlocal last
            last = Head(seq=stored[0], hash=stored[9])
            if watch is not None:
                watch(stored)

        try:
            with self._path.open("rb") as file:
                header = _header(file.readline())
        except Invalid as error:
            return Verification(ok=False, events=0, first_bad=1, reason=f"header: {error}")
        found = verify_rows(((*row, content) for row, content in self.rows()), watch=noting)
        if found.ok and (last.seq, last.hash) != (header["events"], header["head"]):
            reason = f"the export was made of {header['events']} events, {last.seq} are there"
            bad = min(last.seq, header["events"]) + 1
            return found.model_copy(update={"ok": False, "first_bad": bad, "reason": reason})
        return found

    def rows(self) -> Iterator[tuple[Row, str | None]]:
        """Every event with the content of its payload. Raises Invalid at the first bad line."""
        places: dict[str, int] = {}
        fresh, content = "", ""
        with self._path.open("rb") as file, self._path.open("rb") as again:
            _header(file.readline())
            begin = file.tell()
            for line in file:
                found = _parsed(line)
                if found.keys() == {"content", "name"}:
                    if fresh or found["name"] in places:
                        raise Invalid(_UNASKED)
                    fresh, content = _stored(found, line)
                    places[fresh] = begin
                else:
                    row = _row(found, line)
                    name = row.payload[1:-1] if row.is_apart else ""
                    if fresh not in ("", name):
                        raise Invalid(_UNASKED)
                    if fresh or not name:
                        yield row, content if name else None
                    else:
                        yield row, _content_at(again, places.get(name))
                    fresh = ""
                begin += len(line)
        if fresh:
            raise Invalid(_UNASKED)


_UNASKED = "a payload stands where no event asks for it"
_ANY = "surrogatepass"
"""Half a character is no text, and so no line that was exported."""
_SPELLED = "the line is not spelled as it was exported"
_CONTENT, _NAME = len('{"content":'), len(',"name":"sha256:"}\n') + 64


def _content_at(file: BinaryIO, place: int | None) -> str | None:
    """The content of a payload that an earlier event had too, on a line that was read before."""
    if place is None:
        return None
    file.seek(place)
    return file.readline()[_CONTENT:-_NAME].decode()


def _header(line: bytes) -> dict[str, Any]:
    header = _parsed(line)
    if _line(header).encode(errors=_ANY) != line:
        raise Invalid(_SPELLED)
    notes = header.get("checkpoints")
    if header.get("format") == SEGMENT_FORMAT:
        raise Invalid(
            "this is a sealed segment: its digest stands in the journal, where `mendloop audit"
            " verify` on the home compares it"
        )
    if header.keys() != {"format", "events", "head", "checkpoints"} or header["format"] != FORMAT:
        raise Invalid(f"expected the header of a {FORMAT} export")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise Invalid("the checkpoints are not a list of notes")
    return header


def _parsed(line: bytes) -> dict[str, Any]:
    """The object on the line; how it is spelled is checked by who knows its fields."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the line is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Invalid("the line is not an object")
    return found


def _stored(found: dict[str, Any], line: bytes) -> tuple[str, str]:
    """Name and canonical content of a payload's line."""
    content = _canonical(found["content"])
    if f'{{"content":{content},"name":{_quote(found["name"])}}}\n'.encode(errors=_ANY) != line:
        raise Invalid(_SPELLED)
    return found["name"], content


def _row(event: dict[str, Any], line: bytes) -> Row:
    """The event's row; spelled out by hand like its hash, for a journal has a million of them."""
    if event.keys() != set(FIELDS):
        raise Invalid(f"expected the fields {', '.join(FIELDS)}")
    payload = event["payload"]
    is_name = isinstance(payload, str) and payload.startswith("sha256:")
    if not (is_name or isinstance(payload, dict)):
        raise Invalid("the payload is neither an object nor a digest")
    row = Row(**{**event, "payload": _canonical(payload)})
    if type(row.seq) is not int or not all(isinstance(text, str) for text in row[1:]):
        raise Invalid("a field has another type")
    spelled = (
        f'{{"actor":{_quote(row.actor)},"at":{_quote(row.at)},"hash":{_quote(row.hash)},'
        f'"id":{_quote(row.id)},"incident":{_quote(row.incident)},"kind":{_quote(row.kind)},'
        f'"payload":{row.payload},"prev_hash":{_quote(row.prev_hash)},"seq":{row.seq},'
        f'"target":{_quote(row.target)}}}\n'
    )
    if spelled.encode(errors=_ANY) != line:
        raise Invalid(_SPELLED)
    return row


def _canonical(value: Any) -> str:
    try:
        return canonical_json(value)
    except ValueError as error:
        raise Invalid(_SPELLED) from error


_quote = json.JSONEncoder(ensure_ascii=False).encode


def _line(value: dict[str, Any]) -> str:
    return canonical_json(value) + "\n"


def _csv(values: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(_harmless(str(value)) for value in values)
    return out.getvalue()


def _harmless(text: str) -> str:
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
