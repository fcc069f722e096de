"""Port: where ManagedModel documents come from, and its adapter for files.

Whoever reads one has the last word on what is done with a document that is broken: it is named with
its place and its error, and the others are not held up by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml
from pydantic import ValidationError

from tools.documents import load_document
from tools.errors import Invalid
from tools.managed_model import ManagedModel, Metadata

Stamp = tuple[str, int, int, int]


@dataclass(frozen=True)
class ModelDocument:
    """One document that can be followed."""

    model: ManagedModel
    folder: Path
    """What its relative paths are taken from."""

    @property
    def history(self) -> str:
        """Where the data from before the prediction log is."""
        return self.model.history_path(self.folder)


@dataclass(frozen=True)
class Broken:
    """One document that cannot."""

    error: str
    folder: Path
    target: str = ""
    """Whom it is about, where that much can be read."""


Documents = Mapping[str, ModelDocument | Broken]
"""Each by the place where it stands."""


class ModelSource(Protocol):
    """Gives every document that there is now."""

    @property
    def may_be_empty(self) -> bool:
        """Whether no document at all is what somebody wants, and not a lost mount."""

    def read(self) -> Documents:
        """All of them; the very same object as before when nothing has changed.

        Quick: it is asked at every tick. Raises any MendloopError when nobody knows what there is.
        """


class ModelFiles:
    """Implements ModelSource with YAML files, or every ``*.yaml`` of a folder."""

    may_be_empty = False

    def __init__(self, files: Sequence[Path] = (), *, folder: Path | None = None) -> None:
        self._files, self._folder = tuple(files), folder
        self._stamps: dict[Path, Stamp] = {}
        self._documents: dict[str, ModelDocument | Broken] = {}

    def read(self) -> Documents:
        """See ModelSource. Only files that changed are read."""
        files = self._listed()
        stamps = {file: _stamp(file) for file in files}
        if stamps != self._stamps:
            self._documents = {
                str(file): self._documents[str(file)]
                if self._stamps.get(file) == stamp and stamp[2]
                else _read(file)
                for file, stamp in stamps.items()
            }
            self._stamps = stamps
        return self._documents

    def _listed(self) -> tuple[Path, ...]:
        if self._folder is None:
            return self._files
        if not self._folder.is_dir():
            raise Invalid(f"there is no folder {self._folder} with model documents")
        return tuple(sorted(self._folder.glob("*.yaml")))


def broken(error: str, data: object, folder: Path = Path()) -> Broken:
    """A document of which at least the name may be readable."""
    metadata = data.get("metadata") if isinstance(data, dict) else None
    try:
        named = Metadata.model_validate(metadata)
    except ValidationError:
        return Broken(error, folder)
    return Broken(error, folder, target=f"{named.namespace}/{named.name}")


def _read(file: Path) -> ModelDocument | Broken:
    try:
        return ModelDocument(load_document(file, ManagedModel), file.parent)
    except Invalid as error:
        return broken(str(error), _data(file), file.parent)


def _data(file: Path) -> object:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _stamp(file: Path) -> Stamp:
    """Time, size and place on the disk: cheap enough for every tick."""
    try:
        stat = file.stat()
    except OSError:
        return (str(file), 0, 0, 0)
    return (str(file), stat.st_size, stat.st_mtime_ns, stat.st_ino)
