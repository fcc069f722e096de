"""What an installation remembers with and holds on by: journal, threads, leases, notifications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agents.catalog import all_tools
from infra.embedded.home import Home
from orchestrator.assembly import notified_channels
from orchestrator.durable import Durable, open_durable
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.attended import Tracing
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.place_config_map import ConfigMapOfCheckpoints
from orchestrator.journal.places import Place
from orchestrator.journal.settings import (
    CheckpointSettings,
    ConfigMapPlace,
    JournalSettings,
    JournalSpec,
)
from orchestrator.notifications.channels import NotificationChannels
from orchestrator.notifications.service import Notifier, make_senders
from orchestrator.platform.adapters import Adapters
from orchestrator.platform.document import PlatformSpec
from orchestrator.platform.reach import put_key
from tools.clock import Clock, SystemClock
from tools.errors import MendloopError
from tools.file_lease import FileLeases
from tools.http_webhook import HttpWebhook
from tools.kubernetes_lease import KubernetesLeases
from tools.lease import Lease, Leases
from tools.postgres_errors import url_with_password

_PROBED = Lease(target="mendloop/readiness", holder="nobody", token=0)
"""A lease that nobody ever holds: asking for it shows whether anybody answers."""


class Followers:
    """Implements Tracing for several."""

    def __init__(self, followers: Sequence[Tracing | None]) -> None:
        self._followers = [each for each in followers if each is not None]

    def follow(self, journal: Journal, events: Sequence[Event]) -> None:
        """See Tracing."""
        for each in self._followers:
            each.follow(journal, events)

    def close(self) -> None:
        """See Tracing."""
        for each in self._followers:
            each.close()


def durable_of(
    spec: PlatformSpec, adapters: Adapters, *, at: datetime, tracing: Tracing
) -> Durable:
    """The journal and the threads."""
    put_key(spec)
    wanted = spec.checkpoints
    places: list[Place] = []
    if wanted.config_map:
        cluster = adapters.cluster
        name = ConfigMapPlace(config_map=f"{cluster.namespace}/{wanted.config_map}")
        places.append(ConfigMapOfCheckpoints(name, connect=lambda: cluster.api))
    kept = CheckpointSettings(
        every_events=wanted.every_events, every=wanted.every, places=wanted.places
    )
    return open_durable(
        spec.home,
        journal_url(spec),
        at=at,
        settings=JournalSettings(spec=JournalSpec(checkpoints=kept)),
        places=places,
        tracing=tracing,
    )


def journal_url(spec: PlatformSpec) -> str:
    """With its password, for nobody's eyes; empty for files in the home."""
    secret = spec.journal.password_from
    if not spec.journal.url or secret is None:
        return spec.journal.url
    return url_with_password(spec.journal.url, secret.read("journal.passwordFrom"))


def leases_of(
    spec: PlatformSpec, adapters: Adapters, clock: Clock
) -> FileLeases | KubernetesLeases:
    """Who decides which controller may act on a target."""
    settings = spec.leases.kubernetes
    if settings is None:
        return FileLeases(Home(spec.home).leases)
    cluster = adapters.cluster
    return KubernetesLeases(
        cluster.api,
        clock,
        namespace=cluster.namespace,
        ttl_s=settings.duration.total_seconds(),
        margin_s=settings.margin.total_seconds(),
    )


def channels_of(spec: PlatformSpec) -> NotificationChannels | None:
    """Who is told; None where nobody wrote it down."""
    return notified_channels(Home(spec.home), spec.notifications.file)


def notifier_of(channels: NotificationChannels, address: JournalAddress) -> Notifier:
    """The senders beside the controller."""
    return Notifier(
        make_senders(
            channels, address, webhook=HttpWebhook(), clock=SystemClock(), tools=all_tools()
        )
    )


def trouble_of(journal: Journal, leases: Leases) -> str:
    """Why journal or leases cannot be counted on; empty when they answer."""
    for name, ask in (("journal", journal.head), ("leases", lambda: leases.is_held(_PROBED))):
        try:
            ask()
        except MendloopError as error:
            return f"{name}: {error}"
    return ""
