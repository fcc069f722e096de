"""``mendloop database``: the version of mendloop's tables in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from orchestrator.journal.address import VARIABLE
from tools.errors import Invalid


def _url(context: click.Context, option: click.Parameter, value: str) -> str:
    if not value:
        raise Invalid(f"say --journal postgresql://user@host/name or set {VARIABLE}")
    return value


def _journal(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--journal",
        "url",
        envvar=VARIABLE,
        default="",
        show_envvar=True,
        metavar="URL",
        callback=_url,
        help="The database (postgresql://user@host/name).",
    )(command)


@click.group()
def database() -> None:
    """Show, upgrade or downgrade mendloop's tables in PostgreSQL.

    `mendloop run` makes and upgrades them at its start, if its role may. Where it may not, let a
    role that owns the schema `mendloop` run the upgrade before, and grant the controller's role
    SELECT, INSERT on all tables; UPDATE, DELETE on all but events and signed_checkpoints.
    """


@database.command()
@_journal
@click.option("--json", "as_json", is_flag=True, help="Print the version as a JSON object.")
def show(url: str, as_json: bool) -> None:
    """Show which version the database has; changes nothing.

    Example: mendloop database show --journal postgresql://mendloop@db/mendloop
    """
    from orchestrator.database import HEAD, schema_state
    from tools.postgres import Database

    found = schema_state(connected := Database(url))
    connected.close()
    if as_json:
        click.echo(found.model_dump_json())
        return
    has = f"version {found.version}" if found.version else "nothing of mendloop's"
    click.echo(f"{connected.name} has {has}; this mendloop needs version {HEAD}")


@database.command()
@_journal
def upgrade(url: str) -> None:
    """Make the tables, or bring them to this mendloop's version.

    Example: mendloop database upgrade --journal postgresql://owner@db/mendloop
    """
    from orchestrator.checkpointer import postgres_checkpointer
    from orchestrator.database import HEAD, bring_up
    from tools.postgres import Database

    connected = Database(url)
    was_needed = bring_up(connected)
    postgres_checkpointer(connected)
    connected.close()
    click.echo(f"{connected.name} {'is now at' if was_needed else 'was already at'} version {HEAD}")


@database.command()
@_journal
@click.option("--to", required=True, metavar="VERSION", help="Such as 0001; base is none at all.")
def downgrade(url: str, to: str) -> None:
    """Go back to an older version, before an older mendloop is started; end all controllers first.

    Drops what the older one does not know. Refused where events would be lost.

    \b
    Example: mendloop database downgrade --to 0001 --journal postgresql://owner@db/mendloop
    """
    from orchestrator.database import known_versions, take_down
    from tools.postgres import Database

    if to not in ("base", *known_versions()):
        raise Invalid(f"expected base or one of {', '.join(known_versions())}", field="--to")
    connected = Database(url)
    take_down(connected, to=to)
    connected.close()
    click.echo(f"{connected.name} is now at version {to}")
