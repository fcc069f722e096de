"""``mendloop audit``: reads the journal as a story, and proves that nobody rewrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

import click

from orchestrator.cli.audit_diff import diff
from orchestrator.cli.audit_keep import make_key, prune, rotate_key, seal
from orchestrator.cli.audit_replay import replay
from orchestrator.cli.home import config_option, home_option, journal_of, open_journal
from orchestrator.cli.timeline import print_timeline
from orchestrator.journal import kinds
from orchestrator.journal.audit import audit as audited
from orchestrator.journal.checkpoint import parse_notes
from orchestrator.journal.event import Event
from orchestrator.journal.export import ExportedJournal, csv_lines, json_lines
from orchestrator.journal.journal import Verification
from orchestrator.journal.keys import follow_keys, read_verifiers
from orchestrator.journal.operations import JournalKeyed
from orchestrator.journal.places import kept_notes
from orchestrator.journal.proof import Proof, check, prove
from orchestrator.journal.segments import SEGMENTS, broken_segments
from tools.documents import parse_document
from tools.errors import Invalid

_folder = click.Path(path_type=Path, exists=True, file_okay=False)
_keys_option = click.option(
    "--keys",
    type=click.Path(path_type=Path, exists=True),
    help="Public key (a .pub file), or a folder of them; default HOME/keys.",
)


@click.group()
def audit() -> None:
    """Show and verify the journal."""


for _command in (diff, make_key, prune, replay, rotate_key, seal):
    audit.add_command(_command)


@audit.command()
@home_option
@config_option
@click.option("--incident", metavar="ID", help="Only this incident.")
@click.option("--json", "as_json", is_flag=True, help="Print the events as a JSON array.")
def show(home: Path, incident: str | None, as_json: bool) -> None:
    """Show what happened, who did it and why, as a timeline.

    \b
    Example: mendloop audit show --home demo-out --incident inc-0001
    """
    with open_journal(home) as journal:
        events = journal.events(incident=incident)
    if incident is not None and not events:
        raise Invalid(f"there is no incident {incident}; `mendloop incidents` lists them")
    if as_json:
        click.echo(json.dumps([_with_trace(event) for event in events], ensure_ascii=False))
    else:
        print_timeline(events)


@audit.command()
@home_option
@config_option
@click.option(
    "--export",
    "exported",
    type=click.Path(path_type=Path),
    help="Verify this export (JSON lines) instead of the home's journal.",
)
@click.option(
    "--checkpoints",
    metavar="DIR|configmap:NAMESPACE/NAME",
    help="Checkpoints kept elsewhere; default HOME/checkpoints.",
)
@_keys_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@click.pass_context
def verify(
    context: click.Context,
    home: Path,
    exported: Path | None,
    checkpoints: str | None,
    keys: Path | None,
    as_json: bool,
) -> None:
    """Recompute the hash chain and compare it with the signed checkpoints.

    Exit code 1 and the first bad event when something was changed. Whoever can write the home
    folder could forge all of it: keep the first public key and copies of checkpoints elsewhere,
    and name them. An export carries its checkpoints; older ones kept elsewhere prove more.

    \b
    Examples:
      mendloop audit verify --home demo-out
      mendloop audit verify --export journal.jsonl --keys usb/journal.pub --checkpoints usb/kept
      mendloop audit verify --checkpoints configmap:mendloop/mendloop-checkpoints
    """
    public = read_verifiers(keys or journal_of(home).keys)
    if exported is not None:
        chain = ExportedJournal(exported)
        kept = kept_notes(checkpoints) if checkpoints else []
        found = audited(chain, [*_named(chain.notes()), *kept], public)
    else:
        with open_journal(home) as journal:
            own = journal_of(home).checkpoints()
            notes = kept_notes(checkpoints) if checkpoints else own.notes()
            found = audited(journal, notes, public)
            broken = next(broken_segments(journal, home / SEGMENTS), None) if found.ok else None
            if broken is not None:
                change = {"ok": False, "first_bad": broken[0], "reason": broken[1]}
                found = found.model_copy(update=change)
    click.echo(found.model_dump_json() if as_json else _in_words(found))
    if not found.ok:
        context.exit(1)


@audit.command()
@home_option
@config_option
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
@click.option("--output", "-o", type=click.File("w", encoding="utf-8", lazy=True), default="-")
def export(home: Path, form: str, output: TextIO) -> None:
    """Write the journal as text: JSON lines (which can be verified) or CSV.

    \b
    Example: mendloop audit export --home demo-out -o journal.jsonl
    """
    with open_journal(home) as journal:
        notes = [note for _, note in journal_of(home).checkpoints().notes()]
        for line in json_lines(journal, notes) if form == "jsonl" else csv_lines(journal):
            output.write(line)


@audit.command(name="prove")
@home_option
@config_option
@click.argument("event", type=click.IntRange(min=1))
def prove_event(home: Path, event: int) -> None:
    """Prove that EVENT (its number) is under a signed checkpoint.

    \b
    Example: mendloop audit prove 17 --home demo-out > proof.json
    """
    with open_journal(home) as journal:
        found = journal.events(after=event - 1, until=event)
        if not found:
            raise Invalid(f"there is no event {event}; the journal has {journal.head().seq}")
        note = journal_of(home).checkpoints().covering(event)
        if note is None:
            raise Invalid(f"no checkpoint covers event {event} yet; the next one will")
        keyed = journal.events(target="", kinds=[kinds.JOURNAL_KEYED])
        trusted, _ = follow_keys(
            read_verifiers(journal_of(home).keys), [(e.seq, e.read(JournalKeyed)) for e in keyed]
        )
        ((_, checkpoint),) = parse_notes([("of the home", note)], trusted)
        proof = prove(journal, found[0], checkpoint=checkpoint, note=note)
    click.echo(proof.model_dump_json(indent=2))


@audit.command(name="check")
@click.argument("proof", type=click.File("r", encoding="utf-8"))
@home_option
@config_option
@_keys_option
def check_proof(proof: TextIO, home: Path, keys: Path | None) -> None:
    """Check a proof that ``audit prove`` made, with the public key alone.

    \b
    Example: mendloop audit check proof.json --keys usb/keys
    """
    try:
        data = json.load(proof)
    except ValueError as error:
        raise Invalid(f"{proof.name} is not JSON: {error}") from error
    claimed = parse_document(data, Proof, source=proof.name)
    check(claimed, read_verifiers(keys or journal_of(home).keys))
    click.echo(f"event {claimed.event.seq} is in the journal that was signed")


def _with_trace(event: Event) -> dict[str, object]:
    """The event with the names under which its trace and span are exported."""
    return {**event.model_dump(), "trace_id": event.trace_id, "span_id": event.id}


def _named(notes: list[str]) -> list[tuple[str, str]]:
    return [(f"number {place} of the export", note) for place, note in enumerate(notes, start=1)]


def _in_words(found: Verification) -> str:
    if not found.ok:
        return f"event {found.first_bad}: {found.reason}" if found.first_bad else found.reason
    pruned = f"{found.pruned} payloads pruned by retention, " if found.pruned else ""
    text = f"{found.events} events, the chain is whole, {pruned}"
    if not found.checkpoints:
        return text + "no checkpoint was signed: a cut-off end would not be seen"
    open_end = max(0, found.events - found.signed_events)
    text += f"{found.checkpoints} signed checkpoints agree"
    return text + (f"; the newest {open_end} events are not signed yet" if open_end else "")
