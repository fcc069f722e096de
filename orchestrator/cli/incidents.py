"""``mendloop incidents``: every incident, what was done about it, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli.home import home_option, open_journal
from orchestrator.cli.timeline import print_incidents
from orchestrator.journal.incidents import fold_incidents


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print the incidents as a JSON array.")
def incidents(home: Path, as_json: bool) -> None:
    """List incidents and their outcome.

    \b
    Example: mendloop incidents --home demo-out --json
    """
    with open_journal(home) as journal:
        found = fold_incidents(journal.events())
    if as_json:
        click.echo(json.dumps([incident.model_dump() for incident in found], ensure_ascii=False))
    elif found:
        print_incidents(found)
    else:
        click.echo("no incident so far")
