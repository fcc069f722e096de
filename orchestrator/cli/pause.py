"""``mendloop pause`` and ``resume``: a person stops changes, and allows them again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from orchestrator.cli.home import (
    config_option,
    home_option,
    open_journal,
    platform_of_options,
    switch_of,
)
from orchestrator.cli.targets import by_option, check_target, record
from orchestrator.journal import kinds
from orchestrator.journal.interventions import TargetPaused, TargetResumed
from orchestrator.kill_switch import KillSwitch, Pause
from tools.errors import Invalid, MendloopError

_target = click.argument("target", required=False)
_all = click.option("--all", "everything", is_flag=True, help="Every target of this home.")


@click.command()
@_target
@_all
@click.option("--reason", required=True, help="Why, for those who find it paused.")
@click.option(
    "--in-flight",
    type=click.Choice(["hold", "go-back"]),
    default="hold",
    show_default=True,
    help="Changes under way: stop where they are, or take traffic back to the champion first.",
)
@click.option("--allow-undo", is_flag=True, help="Hold, but go back when a canary proves harmful.")
@by_option
@config_option
@home_option
def pause(
    target: str | None,
    everything: bool,
    reason: str,
    in_flight: Literal["hold", "go-back"],
    allow_undo: bool,
    by: str,
    home: Path,
) -> None:
    """Stop changes on TARGET, or on all; observing goes on.

    By default traffic stays as it is now, also in the middle of a canary: nothing moves under your
    hands. With --in-flight go-back a canary under way is taken back to the champion, then nothing
    moves. The stop is a file that is read before every change, so it works while the controller is
    down; where mendloop is not installed, `touch HOME/STOP` does the same for all targets. With
    --config the stop is written into the ConfigMap that the document names.

    \b
    Examples:
      mendloop pause default/flights --reason "fair week" --in-flight go-back
      mendloop pause --all --reason "moving the cluster" --config platform.yaml
    """
    chosen, now = _chosen(target, everything, home), datetime.now(UTC)
    order = Pause(
        by=by,
        reason=reason,
        allows_safe_return=allow_undo or in_flight == "go-back",
        in_flight=in_flight,
        at=now.isoformat(),
    )
    switch = switch_of(home)
    before = switch.order(chosen)
    # The stop comes first: it must work when the journal does not.
    path = switch.pause(chosen, order)
    if before is not None:
        who = f" by {before.by} since {before.at[:19]}" if before.by else ""
        click.echo(f"it was paused already{who} ({before.reason}); this pause takes its place")
    click.echo(f"{chosen or 'everything'} is paused ({path})")
    try:
        paused = TargetPaused(by=by, reason=reason, in_flight=in_flight)
        record(home, kinds.TARGET_PAUSED, chosen, by, now, paused)
        _tell_in_flight(home, chosen, goes_back=in_flight == "go-back")
    except MendloopError as error:
        click.echo(f"the pause is in force but not in the journal: {error}", err=True)


@click.command()
@_target
@_all
@click.option("--reason", default="", help="What has changed.")
@by_option
@config_option
@home_option
def resume(target: str | None, everything: bool, reason: str, by: str, home: Path) -> None:
    """Allow changes on TARGET, or on all, again.

    A target that was paused by its own name stays paused when --all is resumed.

    \b
    Example: mendloop resume default/flights --reason "fair is over"
    """
    chosen, now = _chosen(target, everything, home), datetime.now(UTC)
    switch = switch_of(home)
    if switch.order(chosen) is None:
        click.echo(f"{chosen or 'everything'} was not paused; nothing is changed")
        _tell_still_paused(switch, chosen)
        return
    # Recorded first: changes that nobody can account for must not begin.
    record(home, kinds.TARGET_RESUMED, chosen, by, now, TargetResumed(by=by, reason=reason))
    switch.resume(chosen)
    click.echo(f"{chosen or 'everything'} may be changed again")
    _tell_still_paused(switch, chosen)


def _tell_in_flight(home: Path, target: str | None, *, goes_back: bool) -> None:
    """What the pause met in the middle."""
    from orchestrator.in_flight import in_flight

    with open_journal(home) as journal:
        found = in_flight(journal, target=target or "")
    for work in found:
        split = ", ".join(f"v{v} {p} %" for v, p in sorted(work.split.items()))
        where = f"; the route says {split}" if split else ""
        click.echo(f"  under way: {work.incident} on {work.target}: {work.doing}{where}")
    if not found:
        click.echo("  nothing was under way")
    elif goes_back:
        click.echo("  a canary among it goes back to the champion, then nothing moves")
    else:
        click.echo("  it stops where it is: traffic stays as it is until `mendloop resume`")


def _tell_still_paused(switch: KillSwitch, chosen: str | None) -> None:
    if chosen is not None and switch.order(None) is not None:
        click.echo("but all targets are paused; `mendloop resume --all` ends that")
    if chosen is None:
        for name in switch.paused_targets():
            click.echo(f"but {name} is paused by its own name; `mendloop resume {name}` ends that")


def _chosen(target: str | None, everything: bool, home: Path) -> str | None:
    """The target, None for all. Raises Invalid unless exactly one of both was said."""
    if everything == (target is not None):
        raise Invalid("say which TARGET (namespace/name), or --all")
    is_named = platform_of_options() is not None
    if target is None and not is_named and not home.is_dir():
        raise Invalid(f"there is no home folder {home}; say --home DIR or set MENDLOOP_HOME")
    return None if target is None else check_target(target, home)
