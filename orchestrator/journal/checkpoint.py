"""Signed statements "the log had this many events and this root", in C2SP tlog-checkpoint form.

They are kept as files; copies kept elsewhere are what shows a rewritten or shortened journal, for
whoever can write the journal may be able to write this folder and read the key too.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from orchestrator.journal.note import Signer, Verifier, open_note
from tools.durable_files import write_durably
from tools.errors import Invalid, Refused, Unavailable
from tools.values import Value


class Checkpoint(Value):
    """The journal's size and Merkle root at one moment."""

    origin: str
    """Names the log: the name of the key that it was begun with."""
    size: int
    root: str
    """Base64, as it stands in the note."""

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{self.root}\n"


def parse_checkpoint(note: str, verifiers: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint in a signed note. Raises Invalid when it is malformed or not signed by us."""
    lines = open_note(note, verifiers).split("\n")
    if len(lines) < 4 or not lines[1].isdecimal() or str(int(lines[1])) != lines[1]:
        raise Invalid("expected origin, size and root, one per line")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except binascii.Error:
        root = b""
    if len(root) != 32:
        raise Invalid("the root is not 32 bytes of base64")
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=lines[2])


class CheckpointFolder:
    """The checkpoints of one journal, one file each, named by size."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, checkpoint: Checkpoint, signer: Signer) -> Path:
        """Sign and keep it. Raises Unavailable when the folder cannot be written."""
        path = self._root / f"{checkpoint.size:012d}.checkpoint"
        try:
            write_durably(path, signer.sign(checkpoint.text()))
        except OSError as error:
            raise Unavailable(
                f"cannot write checkpoint {path}: {error.strerror}; make the folder writable"
            ) from error
        return path

    def read(self, verifiers: Sequence[Verifier]) -> list[tuple[Path, Checkpoint]]:
        """Every checkpoint, smallest first. Raises Invalid that names the first bad file."""
        found = []
        for path in sorted(self._root.glob("*.checkpoint")):
            try:
                note = path.read_text(encoding="utf-8")
                found.append((path, parse_checkpoint(note, verifiers)))
            except (Invalid, UnicodeDecodeError) as error:
                raise Invalid(f"checkpoint {path}: {error}") from error
        return sorted(found, key=lambda pair: pair[1].size)


SIGNING_KEY = "journal.key"


def load_or_make_signer(folder: Path) -> Signer:
    """The signing key in ``folder``, made (readable by its owner only) when there is none.

    The public key stands beside it as ``journal-ID.pub`` and stays there after a rotation, which
    is: move ``journal.key`` away and start again. Raises Refused for a key that others may read.
    """
    path = folder / SIGNING_KEY
    try:
        if not path.exists():
            _make_key(folder, path)
        if path.stat().st_mode & 0o077:
            raise Refused(f"{path} may be read by others; chmod 600 it, or make a new key")
        return Signer.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unavailable(f"signing key {path}: {error.strerror}; check the folder") from error


def read_verifiers(folder: Path) -> list[Verifier]:
    """Every public key in ``folder``. Raises Invalid that names a bad file."""
    found = []
    for path in sorted(folder.glob("*.pub")):
        try:
            found.append(Verifier.parse(path.read_text(encoding="utf-8")))
        except (Invalid, UnicodeDecodeError) as error:
            raise Invalid(f"public key {path}: {error}") from error
    return found


def _make_key(folder: Path, path: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed = secrets.token_bytes(32)
    name = f"mendloop-journal-{Signer('new', seed).verifier.public.hex()[:12]}"
    signer = Signer(name, seed)
    write_durably(folder / f"journal-{signer.verifier.key_id.hex()}.pub", f"{signer.verifier}\n")
    fresh = folder / f".{SIGNING_KEY}.{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(signer.secret_text() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, unlike a rename, fails when another process was first: its key stands.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
