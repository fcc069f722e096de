"""``mendloop take-over`` and ``hand-back``: a person works on a target; mendloop only looks on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.home import config_option, home_option, open_journal
from orchestrator.cli.targets import by_option, check_target, record

_target = click.argument("target")


@click.command(name="take-over")
@_target
@click.option("--reason", required=True, help="What you are going to do.")
@by_option
@home_option
@config_option
def take_over(target: str, reason: str, by: str, home: Path) -> None:
    """Take TARGET in hand: mendloop ends its incidents there and changes nothing.

    Observing goes on. mendloop finds out by itself when somebody edits a route, moves an alias,
    stops a server or changes its configuration; announcing it first means that nothing of
    mendloop's comes in between.

    Example: mendloop take-over default/flights --reason "testing v7 by hand"
    """
    from orchestrator.in_flight import in_flight, taken_over
    from orchestrator.journal import kinds
    from orchestrator.journal.interventions import TargetTakenOver

    check_target(target, home)
    with open_journal(home) as journal:
        held = taken_over(journal, target)
        work = in_flight(journal, target=target)
    if held is not None:
        who = held.by or "somebody's own change"
        click.echo(f"{target} is taken over already ({who}, since {held.at[:19]})")
        return
    taken = TargetTakenOver(by=by, reason=reason)
    record(home, kinds.TARGET_TAKEN_OVER, target, by, datetime.now(UTC), taken)
    click.echo(f"{target} is yours, {by}: mendloop changes nothing on it")
    for one in work:
        split = ", ".join(f"v{v} {p} %" for v, p in sorted(one.split.items()))
        click.echo(
            f"  it leaves as it is: {one.incident}, {one.doing}; the route says {split or '?'}"
        )
    click.echo(f"`mendloop hand-back {target}` gives it back")


@click.command(name="hand-back")
@_target
@click.option("--reason", default="", help="What you have done.")
@by_option
@home_option
@config_option
def hand_back(target: str, reason: str, by: str, home: Path) -> None:
    """Give TARGET back to mendloop, as it is now.

    mendloop reads everything anew and takes what it finds for its own: edited weights, aliases and
    configurations. A canary goes on where its evidence allows the share it has; otherwise its
    traffic goes back to the champion. A challenger whose traffic you took away counts as refused.

    Example: mendloop hand-back default/flights --reason "v7 is fine, left at 25 %"
    """
    from orchestrator.in_flight import taken_over
    from orchestrator.journal import kinds
    from orchestrator.journal.interventions import TargetHandedBack

    check_target(target, home)
    with open_journal(home) as journal:
        held = taken_over(journal, target)
    if held is None:
        click.echo(f"{target} is not taken over; nothing is changed")
        return
    back = TargetHandedBack(by=by, reason=reason)
    record(home, kinds.TARGET_HANDED_BACK, target, by, datetime.now(UTC), back)
    click.echo(f"{target} is mendloop's again; at its next look it goes on from what it finds")
