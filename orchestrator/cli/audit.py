"""``mendloop audit``: reads the journal as a story, and proves that nobody rewrote it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli.home import home_option, open_journal
from orchestrator.cli.timeline import print_timeline
from tools.errors import Invalid


@click.group()
def audit() -> None:
    """Show and verify the journal."""


@audit.command()
@home_option
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
        click.echo(json.dumps([event.model_dump() for event in events], ensure_ascii=False))
    else:
        print_timeline(events)


@audit.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@click.pass_context
def verify(context: click.Context, home: Path, as_json: bool) -> None:
    """Recompute the hash chain; exit code 1 and the first bad event when it is broken.

    \b
    Example: mendloop audit verify --home demo-out
    """
    with open_journal(home) as journal:
        found = journal.verify()
    if as_json:
        click.echo(found.model_dump_json())
    elif found.ok:
        click.echo(f"{found.events} events, the chain is whole")
    else:
        click.echo(f"event {found.first_bad}: {found.reason}")
    if not found.ok:
        context.exit(1)
