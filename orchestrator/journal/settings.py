"""How the journal of a home is looked after: when it is signed, and where checkpoints go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field

from tools.documents import load_document
from tools.managed_model import Duration
from tools.schema import DocumentValue

SETTINGS = "journal.yaml"


class FolderPlace(DocumentValue):
    """A folder, best one that mendloop's own account can add to but not change."""

    folder: Path


class GitPlace(DocumentValue):
    """A git working copy; with a remote, whoever rewrites the journal must rewrite that too."""

    git: Path
    path: str = Field(default="checkpoints", pattern=r"^[\w.-]+(/[\w.-]+)*$")
    """Folder in the repository."""
    push: bool = False


class ConfigMapPlace(DocumentValue):
    """A ConfigMap of the cluster that mendloop runs in, or that of the kubeconfig."""

    config_map: str = Field(pattern=r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-.a-z0-9]*$")
    """``namespace/name``; made when it is not there."""
    keep: int = Field(default=500, ge=1, le=2000)
    """Newest checkpoints that stay: an object holds 1 MiB, and the newest covers all before it."""


class CheckpointSettings(DocumentValue):
    """What can be cut off or rewritten unseen is what came after the last checkpoint elsewhere."""

    every_events: int = Field(default=256, ge=1)
    """A tile of the Merkle tree."""
    every: Duration = timedelta(seconds=60)
    """A quiet controller's events do not stay unsigned for longer."""
    places: tuple[FolderPlace | GitPlace | ConfigMapPlace, ...] = ()


class JournalSpec(DocumentValue):
    """See JournalSettings."""

    checkpoints: CheckpointSettings = CheckpointSettings()


class JournalSettings(DocumentValue):
    """The document ``HOME/journal.yaml``; without it the defaults hold and no copies are kept."""

    api_version: Literal["mendloop.dev/v1alpha1"] = "mendloop.dev/v1alpha1"
    kind: Literal["JournalSettings"] = "JournalSettings"
    spec: JournalSpec = JournalSpec()


def settings_of(home: Path) -> JournalSettings:
    """The home's settings. Raises Invalid where the document is wrong."""
    path = home / SETTINGS
    return load_document(path, JournalSettings) if path.is_file() else JournalSettings()
