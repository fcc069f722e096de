"""``kind: NotificationChannels``: who is told what, where, and in which form."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import Field, field_validator, model_validator

from tools.documents import parse_document
from tools.errors import Invalid
from tools.managed_model import Duration
from tools.schema import DocumentValue
from tools.secret_source import SecretFrom

FILE = "notifications.yaml"
"""In the home, where nothing else is said."""

NAMES = {
    "opened": "an incident was opened",
    "needs_approval": "a step waits for a person",
    "unanswered": "nobody answered a request in time",
    "acted": "a step changed production",
    "undone": "a step took a change back",
    "closed": "an incident is over",
    "escalated": "an incident needs a person",
    "taken_over": "a person has a target in hand",
    "handed_back": "a person gave a target back",
    "paused": "a person stopped changes",
    "resumed": "a person allowed changes again",
    "autonomy_changed": "a target climbed or fell on the autonomy ladder",
    "policies_rejected": "a broken policy was refused",
    "models_rejected": "a broken model document was refused",
}
"""What a channel may ask for."""


class Channel(DocumentValue):
    """One receiver."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    url: str = ""
    url_from: SecretFrom | None = None
    """For addresses that are secrets themselves, as those of chat tools."""
    format: Literal["cloudevents", "slack"] = "cloudevents"
    events: tuple[str, ...] = tuple(NAMES)
    targets: tuple[str, ...] = Field(default=("*",), min_length=1)
    """``namespace/name`` or globs."""
    secret_from: SecretFrom | None = None
    """Signs each message (HMAC-SHA256); ``whsec_`` and base64, or any text."""
    timeout: Duration = timedelta(seconds=5)
    proxy: str = ""
    """Address of an HTTP proxy; those of the environment are not used."""

    @field_validator("events")
    @classmethod
    def _known(cls, events: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(events) - set(NAMES))
        if unknown or not events:
            raise ValueError(f"expected some of {', '.join(NAMES)}, got {', '.join(unknown)}")
        return events

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.url) == (self.url_from is not None):
            raise ValueError("expected exactly one of url and urlFrom")
        if self.url and urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError("expected a url that begins with https:// or http://")
        return self

    def wants(self, name: str, target: str, *, contact: str = "") -> bool:
        """Whether it is told; a question for the contact of its own name always is."""
        if contact and contact == self.name:
            return True
        return name in self.events and (
            not target or any(fnmatchcase(target, glob) for glob in self.targets)
        )

    def address(self) -> str:
        """Where to post. Raises Invalid when it cannot be had."""
        if self.url_from is None:
            return self.url
        found = self.url_from.read(f"channel {self.name}, urlFrom")
        if urlsplit(found).scheme not in ("http", "https"):
            raise Invalid(f"channel {self.name}: urlFrom holds no http or https address")
        return found

    def signing_key(self) -> bytes | None:
        """What signs; None for an unsigned channel. Raises Invalid when it cannot be had."""
        if self.secret_from is None:
            return None
        text = self.secret_from.read(f"channel {self.name}, secretFrom")
        if not text.startswith("whsec_"):
            return text.encode()
        try:
            return base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise Invalid(f"channel {self.name}: after whsec_ comes no base64") from error


class ChannelsMetadata(DocumentValue):
    """Names the document."""

    name: str


class NotificationChannelsSpec(DocumentValue):
    """The ``spec`` of NotificationChannels."""

    source: str = Field(default="/mendloop", min_length=1, pattern=r"^\S+$")
    """``source`` of the CloudEvents: a URI reference that tells installations apart."""
    channels: tuple[Channel, ...]

    @field_validator("channels")
    @classmethod
    def _named_once(cls, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        names = [channel.name for channel in channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"channels named twice: {', '.join(twice)}")
        return channels


class NotificationChannels(DocumentValue):
    """Everybody who is told."""

    api_version: Literal["mendloop.dev/v1alpha1"]
    kind: Literal["NotificationChannels"]
    metadata: ChannelsMetadata
    spec: NotificationChannelsSpec


def read_channels(path: Path) -> NotificationChannels:
    """The document at ``path``. Raises Invalid, naming the wrong field."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {error}; check the path") from error
    except yaml.YAMLError as error:
        raise Invalid(f"{path} is not valid YAML: {error}") from error
    return parse_document(data, NotificationChannels, source=str(path))
