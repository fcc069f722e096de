"""``mendloop pause`` and ``resume``: a person stops changes, and allows them again."""

from __future__ import annotations

import getpass
import re
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.home import JOURNAL, home_option
from orchestrator.journal import kinds
from orchestrator.journal.payloads import TargetPaused, TargetResumed
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.kill_switch import STOP_FILE, KillSwitch, Pause
from tools.errors import Invalid, MendloopError
from tools.values import Value

_TARGET = re.compile(r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*$")
_target = click.argument("target", required=False)
_all = click.option("--all", "everything", is_flag=True, help="Every target of this home.")
_by = click.option("--by", default=getpass.getuser, help="Who decides; default: the login name.")


@click.command()
@_target
@_all
@click.option("--reason", required=True, help="Why, for those who find it paused.")
@click.option("--allow-undo", is_flag=True, help="mendloop may still go back to the safe state.")
@_by
@home_option
def pause(
    target: str | None, everything: bool, reason: str, allow_undo: bool, by: str, home: Path
) -> None:
    """Stop changes on TARGET, or on all; observing goes on.

    Traffic stays as it is now, also in the middle of a canary, unless --allow-undo is given.
    Where mendloop is not installed, `touch HOME/STOP` does the same for all targets.

    \b
    Examples:
      mendloop pause default/flights --reason "fair week" --allow-undo
      mendloop pause --all --reason "moving the cluster"
    """
    chosen, now = _chosen(target, everything, home), datetime.now(UTC)
    order = Pause(by=by, reason=reason, allows_safe_return=allow_undo, at=now.isoformat())
    # The stop comes first: it must work when the journal does not.
    path = KillSwitch(home / STOP_FILE).pause(chosen, order)
    click.echo(f"{chosen or 'everything'} is paused ({path})")
    try:
        _record(home, kinds.TARGET_PAUSED, chosen, by, now, TargetPaused(by=by, reason=reason))
    except MendloopError as error:
        click.echo(f"the pause is in force but not in the journal: {error}", err=True)


@click.command()
@_target
@_all
@click.option("--reason", default="", help="What has changed.")
@_by
@home_option
def resume(target: str | None, everything: bool, reason: str, by: str, home: Path) -> None:
    """Allow changes on TARGET, or on all, again.

    A target that was paused by its own name stays paused when --all is resumed.

    \b
    Example: mendloop resume default/flights --reason "fair is over"
    """
    chosen, now = _chosen(target, everything, home), datetime.now(UTC)
    switch = KillSwitch(home / STOP_FILE)
    if not switch.is_paused(chosen):
        click.echo(f"{chosen or 'everything'} was not paused")
        return
    # Recorded first: changes that nobody can account for must not begin.
    _record(home, kinds.TARGET_RESUMED, chosen, by, now, TargetResumed(by=by, reason=reason))
    switch.resume(chosen)
    click.echo(f"{chosen or 'everything'} may be changed again")
    if chosen is not None and switch.is_paused(None):
        click.echo("but all targets are paused; `mendloop resume --all` ends that")


def _chosen(target: str | None, everything: bool, home: Path) -> str | None:
    """The target, None for all. Raises Invalid unless exactly one of both was said."""
    if not home.is_dir():
        raise Invalid(f"there is no home folder {home}; say --home DIR or set MENDLOOP_HOME")
    if everything == (target is not None):
        raise Invalid("say which TARGET (namespace/name), or --all")
    if target is not None and not _TARGET.match(target):
        raise Invalid(f"expected namespace/name, got {target!r}", field="TARGET")
    return target


def _record(
    home: Path, kind: str, target: str | None, by: str, now: datetime, payload: Value
) -> None:
    journal = SqliteJournal(home / JOURNAL)
    try:
        journal.append(kind, at=now, actor=by, target=target or "", payload=payload)
    finally:
        journal.close()
