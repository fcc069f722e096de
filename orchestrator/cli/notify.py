"""``mendloop notify``: tries channels, shows what waits for them, delivers without a controller."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.home import home_option, journal_of
from tools.errors import Invalid, MendloopError

if TYPE_CHECKING:
    from orchestrator.notifications.channels import NotificationChannels

_file = click.option(
    "--notifications",
    "file",
    type=click.Path(path_type=Path),
    help="NotificationChannels document.  [default: notifications.yaml in the home]",
)


@click.group()
def notify() -> None:
    """Tell people and programs what happened, by webhook."""


@notify.command(name="test")
@click.argument("channel")
@_file
@home_option
@click.pass_context
def test_channel(context: click.Context, channel: str, file: Path | None, home: Path) -> None:
    """Send one message to CHANNEL and say what came back.

    Exit code 1 when the receiver did not take it.

    \b
    Example: mendloop notify test ml-oncall
    """
    from datetime import UTC, datetime

    from orchestrator.notifications.message import trial
    from orchestrator.notifications.signature import headers_of
    from tools.http_webhook import HttpWebhook
    from tools.webhook import WebhookRequest

    document = _document(file, home)
    found = {c.name: c for c in document.spec.channels}.get(channel)
    if found is None:
        names = ", ".join(c.name for c in document.spec.channels)
        raise Invalid(f"there is no channel {channel!r}; one of: {names}", field="CHANNEL")
    now = datetime.now(UTC)
    message = trial(
        channel,
        source=document.spec.source,
        form=found.format,
        identity=f"test-{uuid.uuid4().hex[:16]}",
        at=now.isoformat(),
    )
    request = WebhookRequest(
        url=found.address(),
        headers=headers_of(message, found.signing_key(), at=now),
        body=message.body,
        timeout_s=found.timeout.total_seconds(),
        proxy=found.proxy,
    )
    try:
        answer = HttpWebhook().post(request)
    except MendloopError as error:
        click.echo(f"{channel}: {error}")
        context.exit(1)
    click.echo(f"{channel}: the receiver answered {answer.status}")
    if not answer.is_taken:
        context.exit(1)


@notify.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print the channels as a JSON array.")
def status(home: Path, as_json: bool) -> None:
    """Show what waits for each channel, and the last error.

    \b
    Example: mendloop notify status --json
    """
    from orchestrator.notifications.outbox import FILE, open_outbox

    address = journal_of(home)
    if not address.url and not (home / FILE).is_file():
        raise Invalid(f"nothing was ever to be delivered from {home}; see `mendloop notify --help`")
    outbox = open_outbox(address)
    try:
        found = outbox.status()
    finally:
        outbox.close()
    if as_json:
        click.echo(json.dumps([s.model_dump() for s in found], ensure_ascii=False))
        return
    for one in found:
        click.echo(f"{one.channel}: {one.backlog} waiting, {one.delivered} delivered")
        if one.oldest_seq is not None:
            click.echo(f"  the oldest is event {one.oldest_seq}")
        if one.delivered_at:
            click.echo(f"  last delivered {one.delivered_at[:19]} UTC")
        if one.error:
            click.echo(f"  last error {one.error_at[:19]} UTC: {one.error}")


@notify.command()
@_file
@home_option
@click.option(
    "--within",
    "limit_s",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.1, 86_400),
    help="Seconds to go on trying, per channel.",
)
@click.pass_context
def deliver(context: click.Context, file: Path | None, home: Path, limit_s: float) -> None:
    """Deliver what waits now, while no controller does.

    Exit code 1 when something is left; nothing is lost by that.

    \b
    Example: mendloop notify deliver --home .mendloop --within 10
    """
    from agents.catalog import all_tools
    from orchestrator.notifications.service import deliver_backlog, make_senders
    from tools.clock import SystemClock
    from tools.http_webhook import HttpWebhook

    document = _document(file, home)
    senders = make_senders(
        document,
        journal_of(home),
        webhook=HttpWebhook(),
        clock=SystemClock(),
        tools=all_tools(),
    )
    left = False
    for sender in senders:
        done = deliver_backlog(sender, wait=threading.Event(), limit_s=limit_s)
        left = left or not done
        click.echo(f"{sender.channel.name}: {'all delivered' if done else 'something is left'}")
    if left:
        context.exit(1)


def _document(file: Path | None, home: Path) -> NotificationChannels:
    from orchestrator.notifications.channels import FILE, read_channels

    return read_channels(file or home / FILE)
