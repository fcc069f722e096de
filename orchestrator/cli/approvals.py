"""``mendloop approve`` and ``mendloop reject``: a person's answer to one step that waits for it."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from orchestrator.cli.home import config_option, home_option

_by = click.option("--by", default="", help="Who answers (default: the user of this session).")


@click.command()
@click.argument("approval")
@home_option
@config_option
@_by
def approve(approval: str, home: Path, by: str) -> None:
    """Allow one step that waits for a person.

    APPROVAL is the name that `mendloop incidents` prints. It is good for exactly these arguments
    and facts, once, and until it expires; when the world changes first, you are asked again.

    Example: mendloop approve promote-3f2a9c41 --by alice
    """
    _answer(home, approval, by, approve=True, reason="")


@click.command()
@click.argument("approval")
@home_option
@config_option
@_by
@click.option("--reason", required=True, help="Why not; written to the journal.")
def reject(approval: str, home: Path, by: str, reason: str) -> None:
    """Forbid one step that waits for a person.

    What is half-way goes back to the safe state; the incident looks for another way.

    Example: mendloop reject promote-3f2a9c41 --reason "release freeze"
    """
    _answer(home, approval, by, approve=False, reason=reason)


def _answer(home: Path, approval: str, by: str, *, approve: bool, reason: str) -> None:
    from orchestrator.approvals import answer
    from orchestrator.cli.home import journal_of, open_journal
    from tools.clock import SystemClock

    with open_journal(home):
        pass  # says what is wrong with the home before anything is written
    journal = journal_of(home).open()
    try:
        found = answer(
            journal,
            SystemClock(),
            approval,
            by=by or getpass.getuser(),
            approve=approve,
            reason=reason,
        )
    finally:
        journal.close()
    asked = found.request
    inside = ", ".join(f"{k}={v}" for k, v in sorted(asked.arguments.items()))
    step = f"{asked.tool}({inside})" if inside else asked.tool
    click.echo(f"{step} on {found.target} is {'approved' if approve else 'rejected'} by {found.by}")
    if approve:
        click.echo(f"good once, until {asked.expires_at[:19]} UTC; the controller goes on")
    else:
        click.echo("the controller closes this way, and takes back what is half-way")
