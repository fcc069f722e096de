"""``mendloop audit diff``: how far two journals agree, and what differs then."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from orchestrator.cli.home import open_journal
from orchestrator.journal.difference import Difference, Rows, difference
from orchestrator.journal.export import ExportedJournal

_place = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("a", type=_place)
@click.argument("b", type=_place)
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@click.pass_context
def diff(context: click.Context, a: Path, b: Path, as_json: bool) -> None:
    """Compare two journals: A and B are home folders or exports (JSON lines).

    Names the first event that differs, or that only one of them has; the exit code is 1 then.

    \b
    Example: mendloop audit diff journal-monday.jsonl .mendloop
    """
    with ExitStack() as held:
        found = difference(*(_journal(place, held) for place in (a, b)))
    click.echo(found.model_dump_json() if as_json else _in_words(found, a, b))
    if not found.same:
        context.exit(1)


def _journal(place: Path, held: ExitStack) -> Rows:
    return held.enter_context(open_journal(place)) if place.is_dir() else ExportedJournal(place)


def _in_words(found: Difference, a: Path, b: Path) -> str:
    pruned = f"; {found.pruned} payloads are left in one of them only" if found.pruned else ""
    if found.same:
        return f"the same {found.agree} events{pruned}"
    text = f"the same through event {found.agree}{pruned}; "
    if found.ends:
        ended, longer = (a, b) if found.ends == "a" else (b, a)
        return f"{text}{ended} ends there, {longer} goes on"
    return "\n".join(
        [f"{text}event {found.first} differs in {', '.join(found.fields)}", *found.diff]
    )
