"""What mendloop keeps and who may stop it: journal, checkpoints, leases, kill switch, models."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from orchestrator.journal.settings import CheckpointSettings
from orchestrator.platform.choice import HttpUrl, OneOf, PlainUrl
from orchestrator.platform.connections import Empty
from tools.managed_model import Duration
from tools.schema import DocumentValue
from tools.secret_source import SecretFrom


class JournalPlace(DocumentValue):
    """The journal, the graph's checkpoints and the outbox: one database for all."""

    url: PlainUrl = ""
    """``postgresql://user@host/database``, which several controllers may share. Empty: SQLite files
    in ``home``. The keys that sign are in ``home/keys`` in both cases."""
    password_from: SecretFrom | None = None
    key_from: SecretFrom | None = None
    """The key that signs, where ``home`` does not outlive the pod or several share a journal: all
    need the same. ``mendloop audit make-key`` makes one. None: ``home/keys`` has it, and the first
    start makes it."""

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        if url and not url.startswith("postgresql://"):
            raise ValueError("expected a URL that begins with postgresql://, or none: SQLite")
        return url

    @property
    def is_shared(self) -> bool:
        """Whether several controllers may use it at once."""
        return bool(self.url)


class KubernetesLeaseSettings(DocumentValue):
    """Lease objects in mendloop's namespace."""

    duration: Duration = timedelta(seconds=15)
    """How long a dead controller keeps its targets from others. Kubernetes' own components use 15 s
    too."""
    margin: Duration = timedelta(seconds=3)
    """How much earlier a living one that cannot renew stops to act: more than the slowest write."""

    @model_validator(mode="after")
    def _leaves_time(self) -> Self:
        if self.margin * 2 >= self.duration:
            raise ValueError("expected a margin of less than half the duration")
        return self


class LeasePlace(OneOf):
    """Who decides which controller may act on a target."""

    kubernetes: KubernetesLeaseSettings | None = None
    files: Empty | None = None
    """File locks below ``home``: one machine."""


class CustomResources(DocumentValue):
    """``ManagedModel`` objects of the cluster; their status is written back."""

    namespaces: tuple[str, ...] = ()
    """Those that are looked into; none: all, which needs a ClusterRole."""


class ModelPlace(OneOf):
    """Where the ManagedModel documents come from; all are followed while mendloop runs."""

    files: tuple[Path, ...] | None = None
    folder: Path | None = None
    """Every ``*.yaml`` in it; a mounted ConfigMap is such a folder."""
    custom_resources: CustomResources | None = None


class KillSwitchPlaces(DocumentValue):
    """Whatever of these is on stops every change. The files in ``home`` always count."""

    config_map: str = ""
    """Name of a ConfigMap in mendloop's namespace; empty: none."""


class RuleFolders(DocumentValue):
    """Guardrails of the operators, followed while mendloop runs, beside those in ``home``."""

    folders: tuple[Path, ...] = ()


class NotificationFile(DocumentValue):
    """Who is told."""

    file: Path | None = None
    """NotificationChannels document; None: ``notifications.yaml`` in ``home``, if there."""


class Alerts(DocumentValue):
    """Alerts of others that make mendloop look at once."""

    webhook: bool = False
    """Whether ``POST /alerts`` is answered, in the form in which Alertmanager sends."""
    token_from: SecretFrom | None = None
    """What the sender has to show as bearer token."""
    alertmanager: HttpUrl | None = None
    """Where alerts that were not delivered are read."""
    queue: int = Field(default=1000, ge=1)
    """Alerts that wait to be looked at; a storm beyond it is dropped and counted."""

    @model_validator(mode="after")
    def _authenticated(self) -> Self:
        if self.webhook and self.token_from is None:
            raise ValueError("expected tokenFrom: whoever may raise alerts can make mendloop work")
        return self


class CheckpointPlaces(CheckpointSettings):
    """When the journal is signed, and where the signed checkpoints go."""

    config_map: str = ""
    """Name of a ConfigMap in mendloop's namespace that gets the newest ones; empty: none."""
