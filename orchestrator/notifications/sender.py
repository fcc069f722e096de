"""Delivers one channel's messages: in order per target, again and again until they are taken.

A receiver that does not answer rests the whole channel; one that refuses a message rests that
target's, and after some refusals the message is overtaken by later ones but tried on. Nothing is
ever dropped. ``step`` does what is due now and says when to come again; the caller waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.contract import Tool
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.notifications.channels import Channel
from orchestrator.notifications.message import (
    NOTIFIED,
    Message,
    cloud_event,
    name_of,
    slack_message,
)
from orchestrator.notifications.outbox import Outbox, Waiting
from orchestrator.notifications.signature import headers_of
from tools.clock import Clock
from tools.errors import Unavailable, Uncertain
from tools.webhook import Webhook, WebhookAnswer, WebhookRequest

POLL_S = 0.5
"""How often the journal is looked at: a human does not notice, the disk does not either."""
FIRST_BACKOFF_S = 1.0
MOST_BACKOFF_S = 300.0
OVERTAKEN_AFTER = 8
"""Refusals after which later messages of the target no longer wait for this one: some ten minutes
of trying."""
_EVENTS_AT_ONCE = 5_000
_MESSAGES_AT_ONCE = 32
_TOO_MANY_REQUESTS = 429


@dataclass
class Sender:
    """One channel's deliveries; used by one thread."""

    channel: Channel
    source: str
    journal: Journal
    outbox: Outbox
    webhook: Webhook
    clock: Clock
    tools: Mapping[str, Tool]
    address: str
    key: bytes | None = None
    _rests_until_s: float = 0.0
    _silences: int = 0
    """Attempts in a row that got no answer."""
    _due_s: dict[int, float] = field(default_factory=dict)
    """Event number -> monotonic time of its next attempt."""

    def step(self) -> float:
        """Take in what is new, deliver what is due; seconds until there may be something again.

        Raises Unavailable when the journal or the outbox cannot be read or written.
        """
        is_caught_up = self._take_in()
        now_s = self.clock.monotonic_s()
        if now_s < self._rests_until_s:
            return min(POLL_S, self._rests_until_s - now_s)
        delivered = 0
        for head in self.outbox.heads(self.channel.name, overtaken_after=OVERTAKEN_AFTER):
            delivered += self._deliver_from(head)
            if self.clock.monotonic_s() < self._rests_until_s:
                break
        return POLL_S if is_caught_up and not delivered else 0.0

    def _deliver_from(self, head: Waiting) -> int:
        """The head, then what waits for it; how many were taken before one was not."""
        if self._due_s.get(head.seq, 0.0) > self.clock.monotonic_s():
            return 0
        if not self._deliver(head):
            return 0
        taken = 1
        for one in self.outbox.following(self.channel.name, head, most=_MESSAGES_AT_ONCE):
            if one.refusals >= OVERTAKEN_AFTER:
                continue
            if not self._deliver(one):
                break
            taken += 1
        return taken

    def _take_in(self) -> bool:
        """Whether the end of the journal was reached."""
        read, newest = self.outbox.read_until(self.channel.name), self.journal.head().seq
        until = min(newest, read + _EVENTS_AT_ONCE)
        if until > read:
            events = self.journal.events(kinds=NOTIFIED, after=read, until=until)
            found = [one for event in events if (one := self._wanted(event)) is not None]
            self.outbox.take_in(self.channel.name, found, until=until)
        return until >= newest

    def _wanted(self, event: Event) -> Waiting | None:
        name = name_of(event, self.tools)
        contact = str(event.payload.get("contact", ""))
        if not name or not self.channel.wants(name, event.target, contact=contact):
            return None
        return Waiting(seq=event.seq, target=event.target, name=name)

    def _deliver(self, one: Waiting) -> bool:
        (event,) = self.journal.events(after=one.seq - 1, until=one.seq)
        try:
            answer = self.post(self._message(event, one.name))
        except (Unavailable, Uncertain) as error:
            self._silences += 1
            self._rest(self._silences, event.id, None)
            self._note(one, str(error), is_refusal=False)
            return False
        self._silences = 0
        if answer.is_taken:
            self._due_s.pop(one.seq, None)
            self.outbox.delivered(
                self.channel.name, one.seq, at=self.clock.now().isoformat(timespec="seconds")
            )
            return True
        self._refused(one, event.id, answer)
        return False

    def post(self, message: Message) -> WebhookAnswer:
        """One attempt. Raises Unavailable or Uncertain when there is no answer."""
        return self.webhook.post(
            WebhookRequest(
                url=self.address,
                headers=headers_of(message, self.key, at=self.clock.now()),
                body=message.body,
                timeout_s=self.channel.timeout.total_seconds(),
                proxy=self.channel.proxy,
            )
        )

    def _message(self, event: Event, name: str) -> Message:
        if self.channel.format == "slack":
            return slack_message(event)
        return cloud_event(event, name=name, source=self.source)

    def _refused(self, one: Waiting, identity: str, answer: WebhookAnswer) -> None:
        if answer.status == _TOO_MANY_REQUESTS or answer.retry_after_s is not None:
            self._rest(one.refusals + 1, identity, answer.retry_after_s)
        wait_s = backoff_s(one.refusals + 1, identity)
        self._due_s[one.seq] = self.clock.monotonic_s() + wait_s
        self._note(one, f"the receiver answered {answer.status}", is_refusal=True)

    def _rest(self, attempt: int, identity: str, wanted_s: float | None) -> None:
        wait_s = backoff_s(attempt, identity) if wanted_s is None else wanted_s
        self._rests_until_s = self.clock.monotonic_s() + wait_s

    def _note(self, one: Waiting, error: str, *, is_refusal: bool) -> None:
        self.outbox.failed(
            self.channel.name,
            one.seq,
            at=self.clock.now().isoformat(timespec="seconds"),
            error=f"event {one.seq}: {error}",
            is_refusal=is_refusal,
        )


def backoff_s(attempt: int, identity: str) -> float:
    """Doubling from a second to five minutes; half of it is jitter, drawn from the message's id so
    that a rehearsal repeats and many senders do not come back at the same moment."""
    full = min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(attempt - 1, 30))
    drawn = hashlib.sha256(f"{identity}/{attempt}".encode()).digest()
    return full * (0.5 + int.from_bytes(drawn[:4], "big") / 2**33)
