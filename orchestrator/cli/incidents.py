"""``mendloop incidents``: every incident, how it ended, and what waits for a person."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.home import config_option, home_option, open_journal

if TYPE_CHECKING:
    from orchestrator.approvals import Standing
    from orchestrator.in_flight import TakenOver


@click.command()
@home_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the incidents as a JSON array.")
def incidents(home: Path, as_json: bool) -> None:
    """List incidents and their outcome.

    Below them stands what waits for a person: steps to approve or reject, with the command to
    type, and targets that somebody has taken over.

    \b
    Example: mendloop incidents --home demo-out --json
    """
    from orchestrator.cli.timeline import print_incidents
    from orchestrator.in_flight import all_taken_over, waiting_approvals
    from orchestrator.journal.incidents import fold_incidents

    with open_journal(home) as journal:
        events = journal.events()
        found, waiting = fold_incidents(events), waiting_approvals(events)
        held = all_taken_over(journal, events)
    if as_json:
        asked = [{"incident": w.incident, **w.request.model_dump(mode="json")} for w in waiting]
        rows = [
            {**i.model_dump(), "approvals": [a for a in asked if a["incident"] == i.id]}
            for i in found
        ]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    if found:
        print_incidents(found)
    else:
        click.echo("no incident so far")
    is_usual = home == Path(os.environ.get("MENDLOOP_HOME", ".mendloop"))
    where = "" if is_usual else f" --home {home}"
    for standing in waiting:
        _tell_waiting(standing, where)
    for target in held:
        _tell_held(target, where)


def _tell_waiting(standing: Standing, where: str) -> None:
    asked = standing.request
    inside = ", ".join(f"{k}={v}" for k, v in sorted(asked.arguments.items()))
    step = f"{asked.tool}({inside})" if inside else asked.tool
    whom = f" ({asked.contact} is asked)" if asked.contact else ""
    click.echo(f"\n{standing.incident} waits for a person{whom}: {step} on {standing.target}")
    for reason in (*asked.reasons, *asked.changed):
        click.echo(f"  {reason}")
    click.echo(f"  asked {standing.at[:19]}, until {asked.expires_at[:19]} UTC")
    click.echo(f"  mendloop approve {standing.approval}{where}")
    click.echo(f'  mendloop reject {standing.approval} --reason "..."{where}')


def _tell_held(held: TakenOver, where: str) -> None:
    who = held.by or "somebody's own change"
    click.echo(f"\n{held.target} is taken over ({who}, since {held.at[:19]}): nothing is changed")
    for line in (held.reason, *held.seen):
        if line:
            click.echo(f"  {line}")
    click.echo(f"  mendloop hand-back {held.target}{where}")
