"""The key that signs checkpoints: made at the first start, handed over by a signature, trusted.

``keys/journal.key`` may be read by its owner only. The public keys (``journal-ID.pub``) stay when a
key is rotated: older checkpoints need them. A hand-over is an event of the journal in which the old
key signs the new one, so whoever trusts the first public key can follow to the last.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestrator.journal.note import Signer, Verifier
from orchestrator.journal.operations import JournalKeyed
from tools.durable_files import locked, write_durably
from tools.errors import Invalid, Refused, Unavailable

SIGNING_KEY = "journal.key"
NEXT_KEY = "journal.key.next"
"""The new key while a rotation is under way."""


def load_or_make_signer(folder: Path) -> Signer:
    """The signing key in ``folder``, made (readable by its owner only) when there is none.

    Raises Refused for a key that others may read.
    """
    path = folder / SIGNING_KEY
    try:
        if not path.exists():
            _put_key(folder, path, _new_signer())
        return _load(path)
    except OSError as error:
        raise Unavailable(f"signing key {path}: {error.strerror}; check the folder") from error


def shared_signer(folder: Path, recorded: str) -> Signer:
    """The signing key of a journal that several homes share; made only for the very first.

    Raises Refused where the journal's key (``recorded``, the newest on record) is another one: two
    keys that take turns would look like a forgery.
    """
    path = folder / SIGNING_KEY
    if recorded and not path.exists():
        raise Refused(
            f"the journal is signed with a key that {folder} does not have; put the file"
            f" {SIGNING_KEY} there that the other controllers have (in a cluster: a Secret)"
        )
    try:
        signer = load_or_make_signer(folder)
    except Unavailable as error:
        raise Unavailable(
            f"{error}; `mendloop audit make-key` makes the {SIGNING_KEY} that belongs there"
        ) from error
    if recorded and str(signer.verifier) != recorded:
        raise Refused(
            f"the journal is signed with another key than {path}; give every controller that shares"
            " a journal the same key (after a rotation: the new one)"
        )
    return signer


def put_given_key(folder: Path, text: str) -> None:
    """Make a key that is kept elsewhere (a Secret of the cluster) the one in ``folder``.

    What was there before gives way, because after a rotation the Secret has the new one; it is kept
    beside it, because somebody may have rotated here and not told the Secret yet. Raises Invalid
    for something that is no key.
    """
    signer, path = Signer.parse(text), folder / SIGNING_KEY
    try:
        if path.exists():
            former = _load(path).verifier
            if str(former) == str(signer.verifier):
                return
            path.rename(folder / f"{SIGNING_KEY}.{former.key_id.hex()}")
        _put_key(folder, path, signer)
    except OSError as error:
        raise Unavailable(f"signing key {path}: {error.strerror}; check the folder") from error


def read_verifiers(place: Path) -> list[Verifier]:
    """The public key in the file ``place``, or every ``*.pub`` in that folder, if there is one.

    Raises Invalid that names a bad file.
    """
    found = []
    for path in [place] if place.is_file() else sorted(place.glob("*.pub")):
        try:
            found.append(Verifier.parse(path.read_text(encoding="utf-8")))
        except (Invalid, UnicodeDecodeError, OSError) as error:
            raise Invalid(f"public key {path}: {error}") from error
    return found


@contextmanager
def signing(folder: Path) -> Iterator[None]:
    """Nobody else signs or rotates meanwhile: a retired key signs nothing after its hand-over."""
    with locked(folder / ".signing.lock", timeout_s=1.0):
        yield


def prepare_rotation(folder: Path) -> tuple[Signer, Signer]:
    """The key in force and its successor, which is written down but not in force yet."""
    old, new = _load(folder / SIGNING_KEY), _new_signer()
    (folder / NEXT_KEY).unlink(missing_ok=True)
    _put_key(folder, folder / NEXT_KEY, new)
    return old, new


def finish_rotation(folder: Path, recorded: str) -> bool:
    """Put the next key in force if ``recorded`` (the journal's newest) is its public key; a
    rotation that died before it was recorded is forgotten. Says whether the key changed."""
    path = folder / NEXT_KEY
    if not path.exists():
        return False
    verifier = _load(path).verifier
    if str(verifier) != recorded:
        path.unlink()
        (folder / _public_name(verifier)).unlink(missing_ok=True)
        return False
    os.replace(path, folder / SIGNING_KEY)
    return True


def hand_over(old: Signer, new: Verifier) -> JournalKeyed:
    """The event in which the old key signs the new one."""
    text = _handed_over(old.verifier, new)
    return JournalKeyed(
        verifier=str(new), previous=str(old.verifier), signature=old.sign_bytes(text)
    )


def follow_keys(
    given: Sequence[Verifier], keyed: Iterable[tuple[int, JournalKeyed]]
) -> tuple[list[Verifier], dict[str, int]]:
    """Every key that ``given`` leads to through the journal's own events, and the number of the
    event from which on each retired key (by its id) may no longer sign."""
    trusted = {str(verifier): verifier for verifier in given}
    retired: dict[str, int] = {}
    current = ""
    for seq, event in keyed:
        if event.verifier not in trusted and _is_handed_over(event, trusted):
            trusted[event.verifier] = Verifier.parse(event.verifier)
        if event.verifier not in trusted:
            continue  # anybody could have written that
        if current and current != event.verifier:
            retired[trusted[current].key_id.hex()] = seq
        current = event.verifier
        retired.pop(trusted[current].key_id.hex(), None)
    return list(trusted.values()), retired


def _is_handed_over(event: JournalKeyed, trusted: dict[str, Verifier]) -> bool:
    old = trusted.get(event.previous)
    if old is None:
        return False
    try:
        text = _handed_over(old, Verifier.parse(event.verifier))
        return old.accepts(text, base64.b64decode(event.signature, validate=True))
    except (Invalid, ValueError):
        return False


def _handed_over(old: Verifier, new: Verifier) -> str:
    return f"mendloop journal key\n{old}\n{new}\n"


def _load(path: Path) -> Signer:
    found = path.stat()
    # A Secret that is mounted with an fsGroup belongs to root and can be read by our group.
    is_mounted = found.st_uid == 0 and os.geteuid() != 0
    if found.st_mode & (0o037 if is_mounted else 0o077):
        raise Refused(f"{path} may be read by others; chmod 600 it, or rotate the key")
    return Signer.parse(path.read_text(encoding="utf-8"))


def _new_signer() -> Signer:
    seed = secrets.token_bytes(32)
    return Signer(f"mendloop-journal-{Signer('new', seed).verifier.public.hex()[:12]}", seed)


def _public_name(verifier: Verifier) -> str:
    return f"journal-{verifier.key_id.hex()}.pub"


def _put_key(folder: Path, path: Path, signer: Signer) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(folder / _public_name(signer.verifier), f"{signer.verifier}\n")
    fresh = folder / f".{path.name}.{os.getpid()}"
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
