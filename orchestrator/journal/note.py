"""Signed notes: text with Ed25519 signatures below it, in the form of C2SP signed-note.

Any tool that reads such notes (of Go's checksum database, of transparency logs) can check ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tools.errors import Invalid

_ED25519 = b"\x01"
_NAME = re.compile(r"^[^\s+]+$")


class Verifier:
    """A public key with a name."""

    def __init__(self, name: str, public: bytes) -> None:
        if not _NAME.match(name):
            raise Invalid(f"a key's name has no space and no plus, got {name!r}", field="name")
        self.name = name
        self.public = public
        named = name.encode() + b"\n" + _ED25519 + public
        self.key_id = hashlib.sha256(named).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """From ``name+id+key``, as in a ``.pub`` file. Raises Invalid."""
        name, _, rest = text.strip().partition("+")
        claimed, _, encoded = rest.partition("+")
        key = _decoded(encoded)
        if len(key) != 33 or key[:1] != _ED25519:
            raise Invalid("expected an Ed25519 verifier key: name+id+key")
        verifier = cls(name, key[1:])
        if verifier.key_id.hex() != claimed:
            raise Invalid(f"the key {name} does not match its id {claimed}")
        return verifier

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether this key signed ``text``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key with a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Signer:
        """From ``PRIVATE+KEY+name+id+seed``. Raises Invalid without repeating the key."""
        parts = text.strip().split("+", 4)
        seed = _decoded(parts[4]) if len(parts) == 5 else b""
        if parts[:2] != ["PRIVATE", "KEY"] or len(seed) != 33 or seed[:1] != _ED25519:
            raise Invalid("expected an Ed25519 signing key: PRIVATE+KEY+name+id+key")
        signer = cls(parts[2], seed[1:])
        if signer.verifier.key_id.hex() != parts[3]:
            raise Invalid(f"the signing key {parts[2]} does not match its id {parts[3]}")
        return signer

    def secret_text(self) -> str:
        """What ``parse`` reads; for the key file only."""
        encoded = base64.b64encode(_ED25519 + self._seed).decode()
        return f"PRIVATE+KEY+{self.verifier.name}+{self.verifier.key_id.hex()}+{encoded}"

    def sign_bytes(self, text: str) -> str:
        """The bare signature, in base64."""
        return base64.b64encode(self._key.sign(text.encode())).decode()

    def sign(self, text: str) -> str:
        """The note: ``text`` (which ends with a newline), a blank line, the signature."""
        signature = self.verifier.key_id + self._key.sign(text.encode())
        return f"{text}\n— {self.verifier.name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, verifiers: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """The text of a note that one of ``verifiers`` signed, and which of them did.

    Signatures of unknown keys are ignored, as the form demands. Raises Invalid when no known key
    signed it, or when one that is known did not sign this text.
    """
    body, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise Invalid("expected a text, a blank line and signatures")
    text, known = body + "\n", {(v.name, v.key_id): v for v in verifiers}
    accepted: list[Verifier] = []
    for line in signatures.splitlines():
        mark, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        signature = _decoded(encoded)
        if mark != "—" or len(signature) < 5:
            raise Invalid("a signature line is malformed")
        verifier = known.get((name, signature[:4]))
        if verifier is not None:
            if not verifier.accepts(text, signature[4:]):
                raise Invalid(f"the signature of {name} does not fit the text")
            accepted.append(verifier)
    if not accepted:
        raise Invalid("no key that is known here has signed it")
    return text, accepted


def _decoded(text: str) -> bytes:
    """The bytes; nothing for another spelling of them, of which base64 has several."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return found if base64.b64encode(found).decode() == text else b""
