"""Runs the channels' senders beside the controller: a thread each, which no tick ever waits for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Self

import structlog

from agents.contract import Tool
from orchestrator.journal.address import JournalAddress
from orchestrator.notifications.channels import NotificationChannels
from orchestrator.notifications.outbox import open_outbox
from orchestrator.notifications.sender import POLL_S, Sender
from tools.clock import Clock
from tools.errors import MendloopError, Unavailable
from tools.webhook import Webhook

log = structlog.get_logger()

_AFTER_TROUBLE_S = 5.0
_STOPPING_S = 1.0
"""A receiver that hangs must not hold up the controller's end; what it was sent is sent again."""


def make_senders(
    document: NotificationChannels,
    address: JournalAddress,
    *,
    webhook: Webhook,
    clock: Clock,
    tools: Mapping[str, Tool],
) -> list[Sender]:
    """One sender per channel, each with connections of its own. New channels begin here and now.

    Raises Invalid when an address or a secret cannot be had: then nobody is told anything, and
    whoever starts the controller must know.
    """
    channels = document.spec.channels
    addresses = {c.name: (c.address(), c.signing_key()) for c in channels}
    with ExitStack() as held:
        reader = address.open_read_only()
        held.callback(reader.close)
        first = open_outbox(address)
        held.callback(first.close)
        head = reader.head().seq
        for channel in channels:
            first.register(channel.name, head)
    return [
        Sender(
            channel=channel,
            source=document.spec.source,
            journal=address.open_read_only(),
            outbox=open_outbox(address),
            webhook=webhook,
            clock=clock,
            tools=tools,
            address=addresses[channel.name][0],
            key=addresses[channel.name][1],
        )
        for channel in channels
    ]


class Notifier:
    """Threads that deliver until told to stop; the journal and the outbox are what survives."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        self._senders = senders
        self._told = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run, args=(s,), name=f"notify-{s.channel.name}", daemon=True
            )
            for s in senders
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._told.set()
        for thread in self._threads:
            thread.join(timeout=_STOPPING_S)

    def _run(self, sender: Sender) -> None:
        said = ""
        while not self._told.is_set():
            try:
                with sender.outbox.turn(sender.channel.name) as confirm:
                    while not self._told.wait(sender.step()):
                        confirm()
                        said = ""
            except Unavailable as error:
                if str(error) != said:
                    log.warning(
                        "notifications.wait", channel=sender.channel.name, reason=str(error)
                    )
                said = str(error)
            except MendloopError as error:
                log.error("notifications.stopped", channel=sender.channel.name, reason=str(error))
                return
            self._told.wait(_AFTER_TROUBLE_S)


def deliver_backlog(sender: Sender, *, wait: threading.Event, limit_s: float) -> bool:
    """Deliver what waits now, for at most ``limit_s``; whether nothing is left.

    Raises Unavailable when another process delivers for this channel.
    """
    deadline_s = sender.clock.monotonic_s() + limit_s
    with sender.outbox.turn(sender.channel.name):
        while True:
            wait_s = sender.step()
            if not sender.outbox.heads(sender.channel.name, overtaken_after=1) and wait_s:
                return True
            if sender.clock.monotonic_s() >= deadline_s:
                return False
            wait.wait(min(wait_s, POLL_S))
