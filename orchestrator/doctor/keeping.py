"""What mendloop keeps and is told: home, signing key, rules, notification channels, models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.doctor.check import Check, Finding
from orchestrator.journal.keys import SIGNING_KEY, load_or_make_signer
from orchestrator.journal.note import Signer
from orchestrator.notifications.channels import Channel, read_channels
from orchestrator.policy_files import read_policies
from orchestrator.resources.source import Resource
from orchestrator.rules import load_rules
from tools.documents import load_document
from tools.errors import Invalid, MendloopError
from tools.managed_model import ManagedModel
from tools.secret_source import SecretFrom

LEAST_FREE_BYTES = 1 << 30
"""A pinned training set and a few artifacts; a full disk stops every change."""


class HomeFolder(Check):
    """Whether the home can be written, and has room."""

    about = "home"

    def __init__(self, home: Path) -> None:
        self._home = home

    def findings(self) -> Iterable[Finding]:
        """See Check. A home that is not there yet is made by the first start."""
        standing = next(p for p in (self._home, *self._home.absolute().parents) if p.exists())
        if not standing.is_dir():
            yield self.missing(f"{standing} is no folder", "choose another home")
        elif not os.access(standing, os.W_OK | os.X_OK):
            yield self.missing(f"{standing} cannot be written to", "change its rights or owner")
        else:
            free = shutil.disk_usage(standing).free
            said = f"{self._home} can be written, {free / (1 << 30):.1f} GiB are free"
            yield self.ok(said) if free >= LEAST_FREE_BYTES else self.warning(said, "make room")


class SigningKey(Check):
    """Whether the journal's key is there, or can be made, and is nobody else's to read."""

    about = "signing key"

    def __init__(self, folder: Path, kept_in: SecretFrom | None = None) -> None:
        """``kept_in``: where the key comes from, if not from the folder."""
        self._folder, self._kept_in = folder, kept_in

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        if self._kept_in is not None:
            Signer.parse(self._kept_in.read("journal.keyFrom"))
            yield self.ok("the key that is kept elsewhere can be read, and is one")
            return
        path = self._folder / SIGNING_KEY
        if not path.exists():
            yield self.ok(f"there is no {path} yet; the first start makes it")
            return
        load_or_make_signer(self._folder)  # it is there, so it is only read
        yield self.ok(f"{path} is readable by its owner only")


class Rules(Check):
    """Whether the operators' rules load together with the shipped ones."""

    about = "rules"

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        texts: dict[str, str] = {}
        for folder in self._folders:
            if folder.is_dir():
                texts |= read_policies(folder) if _documents(folder) else {}
            else:
                yield self.warning(f"there is no folder {folder} with rules")
        names = load_rules(texts).names
        yield self.ok(f"{len(names)} in force, of which {len(texts)} files are yours")


class Channels(Check):
    """Whether the notification channels can be read, and their secrets are there."""

    about = "notifications"

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def findings(self) -> Iterable[Finding]:
        """See Check. Nothing is sent."""
        if self._file is None:
            yield self.warning("nobody is told of incidents", "write a NotificationChannels file")
            return
        channels = read_channels(self._file).spec.channels
        for channel in channels:
            yield self._of(channel)

    def _of(self, channel: Channel) -> Finding:
        try:
            host = urlsplit(channel.address()).hostname
            channel.signing_key()
        except Invalid as error:
            return self.missing(str(error), "set the variable, or mount the file")
        if not host:
            return self.missing(f"channel {channel.name}: its address names no host")
        return self.ok(f"channel {channel.name} goes to {host}")


class ModelFiles(Check):
    """Whether every ManagedModel document is valid."""

    about = "models"

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        if not self._files:
            yield self.warning("there is no ManagedModel document yet")
        for path in self._files:
            try:
                model = load_document(path, ManagedModel)
            except MendloopError as error:
                yield self.missing(str(error))
            else:
                yield self.ok(f"{model.target} ({path})")


class ModelResources(Check):
    """Whether every ManagedModel object of the cluster is one to pydantic too."""

    about = "models"

    def __init__(self, read: Callable[[], Sequence[Resource]]) -> None:
        self._read = read

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        found = self._read()
        if not found:
            yield self.warning("there is no ManagedModel in the cluster yet")
        for resource in found:
            if resource.model is None:
                yield self.missing(resource.problem)
            else:
                yield self.ok(f"{resource.ref.target} (generation {resource.ref.generation})")


class Program(Check):
    """Whether a program is there."""

    about = "programs"

    def __init__(self, name: str, find: Callable[[], Path]) -> None:
        self._name, self._find = name, find

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        path = self._find()
        if not path.is_file() or not os.access(path, os.X_OK):
            raise Invalid(f"{self._name}: {path} cannot be executed; install it again")
        yield self.ok(f"{self._name} ({path})")


def _documents(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
