"""Leases on one machine: a lock per target that the kernel frees when its holder dies.

Adapter of ``tools/lease.py``. Beside each lock stands the last token given out; it is on disk
before the lease is. Deleting the folder makes tokens begin again: never do that while anything
that was written under an old token may still arrive. Use a local disk: file locks of network
file systems differ. A process that forks without starting another program shares its locks with
the child.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from tools.durable_files import write_durably
from tools.errors import Invalid, MendloopError, Refused, Unavailable
from tools.lease import Lease
from tools.values import canonical_json


class FileLeases:
    """Implements Leases; make one per process."""

    def __init__(self, root: Path) -> None:
        """``root`` is the folder of the locks; it is made when it is missing."""
        self._root = root
        self._held: dict[str, tuple[Lease, int]] = {}
        self._lock = threading.Lock()
        with self._translated():
            root.mkdir(parents=True, exist_ok=True)

    def acquire(self, target: str, holder: str) -> Lease | None:
        """See Leases."""
        with self._lock, self._translated():
            mine = self._held.get(target)
            if mine is not None and self._stands(*mine):
                return mine[0] if mine[0].holder == holder else None
            self._forget(target)
            descriptor = self._take(target)
            if descriptor is None:
                return None
            try:
                lease = Lease(target=target, holder=holder, token=self._last_token(target) + 1)
                self._record(lease)
            except BaseException:
                os.close(descriptor)
                raise
            self._held[target] = (lease, descriptor)
            return lease

    def is_held(self, lease: Lease) -> bool:
        """See Leases; also answers for a lease that another process took."""
        with self._lock, self._translated():
            mine = self._held.get(lease.target)
            if mine is not None:
                return mine[0] == lease and self._stands(*mine)
            if self._recorded(lease.target) != lease:
                return False
            descriptor = self._take(lease.target)
            if descriptor is not None:
                os.close(descriptor)
            return descriptor is None

    def release(self, lease: Lease) -> None:
        """See Leases."""
        with self._lock:
            mine = self._held.get(lease.target)
            if mine is not None and mine[0] == lease:
                self._forget(lease.target)

    def _take(self, target: str) -> int | None:
        """An open file that holds the target's lock; None when somebody else does."""
        path = self._path(target, "lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if not _is_at(descriptor, path):
            os.close(descriptor)
            return None
        return descriptor

    def _stands(self, lease: Lease, descriptor: int) -> bool:
        """Whether the lock is still the one that others would meet (its file may be deleted)."""
        return _is_at(descriptor, self._path(lease.target, "lock"))

    def _forget(self, target: str) -> None:
        mine = self._held.pop(target, None)
        if mine is not None:
            os.close(mine[1])

    def _last_token(self, target: str) -> int:
        recorded = self._recorded(target)
        return recorded.token if recorded is not None else 0

    def _recorded(self, target: str) -> Lease | None:
        path = self._path(target, "token")
        try:
            return Lease.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValidationError, ValueError) as error:
            raise Refused(
                f"{path} does not say which token was given out last; make sure that nothing acts "
                f"on {target}, then write a lease with a token higher than any in the journal"
            ) from error

    def _record(self, lease: Lease) -> None:
        """Put the token on disk before anybody acts under it."""
        text = canonical_json(lease.model_dump())
        write_durably(self._path(lease.target, "token"), text)

    def _path(self, target: str, suffix: str) -> Path:
        name = quote(target, safe="")
        if not target or len(name) > 200:
            raise Invalid(f"expected namespace/name, got {target!r}", field="target")
        return self._root / f"{name}.{suffix}"

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._meaning(error) from error

    def _meaning(self, error: OSError) -> MendloopError:
        what = f"leases folder {self._root}: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE):
            return Unavailable(f"{what}; nobody got a lease, free the resource", retry_after_s=30.0)
        return Invalid(f"{what}; it must be a folder that mendloop may write to")


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
