"""Signed statements "the log had this many events and this root", in C2SP tlog-checkpoint form.

They are kept as files; copies kept elsewhere are what shows a rewritten or shortened journal, for
whoever can write the journal may be able to write this folder and read the key too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.journal.note import Signer, Verifier, open_note
from tools.durable_files import write_durably
from tools.errors import Invalid, Unavailable
from tools.values import Value


class Checkpoint(Value):
    """The journal's size and Merkle root at one moment."""

    origin: str
    """Names the log: the name of the key that it was begun with."""
    size: int
    root: str
    """Base64, as it stands in the note."""
    signed_by: tuple[str, ...] = ()
    """Ids of the known keys that signed it."""

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{self.root}\n"


def parse_checkpoint(note: str, verifiers: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint in a signed note. Raises Invalid when it is malformed or not signed by us."""
    text, accepted = open_note(note, verifiers)
    lines = text.split("\n")
    if len(lines) < 4 or not lines[1].isdecimal() or str(int(lines[1])) != lines[1]:
        raise Invalid("expected origin, size and root, one per line")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except binascii.Error:
        root = b""
    if len(root) != 32:
        raise Invalid("the root is not 32 bytes of base64")
    signed_by = tuple(verifier.key_id.hex() for verifier in accepted)
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=lines[2], signed_by=signed_by)


def claimed_size(note: str) -> int:
    """How many events a note says that it covers, before anybody checked it; 0 if malformed."""
    lines = note.split("\n")
    return int(lines[1]) if len(lines) > 1 and lines[1].isdecimal() else 0


Named = tuple[str, Checkpoint]
"""A checkpoint and what to call it in a sentence."""


def parse_notes(notes: Iterable[tuple[str, str]], verifiers: Sequence[Verifier]) -> list[Named]:
    """The checkpoints in notes by name, smallest first. Raises Invalid that names the bad one."""
    found = []
    for name, note in notes:
        try:
            found.append((name, parse_checkpoint(note, verifiers)))
        except Invalid as error:
            raise Invalid(f"checkpoint {name}: {error}") from error
    return sorted(found, key=lambda named: named[1].size)


class Checkpoints(Protocol):
    """The checkpoints of one journal, by size."""

    def write(self, checkpoint: Checkpoint, signer: Signer) -> None:
        """Sign and keep it. Raises Unavailable when it cannot be written."""

    def notes(self) -> list[tuple[str, str]]:
        """Every signed note by its name, smallest first. Raises Invalid."""

    def newest(self) -> tuple[str, str] | None:
        """The note over most events; None when nothing was signed yet."""

    def newest_size(self) -> int:
        """How many events the largest checkpoint covers; 0 when there is none."""

    def covering(self, event: int) -> str | None:
        """The note of the smallest checkpoint that covers the event; None when none does yet."""

    def after(self, size: int) -> list[tuple[str, str]]:
        """The notes over more than ``size`` events."""


class CheckpointFolder:
    """Implements Checkpoints with one file each."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, checkpoint: Checkpoint, signer: Signer) -> None:
        """See Checkpoints."""
        path = self._root / f"{checkpoint.size:012d}.checkpoint"
        try:
            write_durably(path, signer.sign(checkpoint.text()))
        except OSError as error:
            raise Unavailable(
                f"cannot write checkpoint {path}: {error.strerror}; make the folder writable"
            ) from error

    def notes(self) -> list[tuple[str, str]]:
        """Every signed note by the name of its file, smallest first. Raises Invalid."""
        return [(path.name, _text(path)) for path in self._paths()]

    def newest(self) -> tuple[str, str] | None:
        """The note over most events; None when nothing was signed yet."""
        paths = self._paths()
        return (paths[-1].name, _text(paths[-1])) if paths else None

    def newest_size(self) -> int:
        """How many events the largest checkpoint covers, by its name; 0 when there is none."""
        paths = self._paths()
        return int(paths[-1].stem) if paths else 0

    def covering(self, event: int) -> str | None:
        """The note of the smallest checkpoint that covers the event; None when none does yet."""
        found = (path for path in self._paths() if int(path.stem) >= event)
        path = next(found, None)
        return None if path is None else _text(path)

    def after(self, size: int) -> list[tuple[str, str]]:
        """The notes over more than ``size`` events."""
        return [(path.name, _text(path)) for path in self._paths() if int(path.stem) > size]

    def _paths(self) -> list[Path]:
        found = (path for path in self._root.glob("*.checkpoint") if path.stem.isdecimal())
        return sorted(found, key=lambda path: int(path.stem))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"checkpoint {path.name}: cannot be read: {error}") from error
