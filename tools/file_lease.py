"""Leases on one machine: a lock per target that the kernel frees when its holder dies.

Adapter of ``tools/lease.py``. Beside each lock stands the last token given out; it is on disk
before the lease is. Deleting the folder makes tokens begin again: never do that while anything
that was written under an old token may still arrive. Use a local disk: file locks of network
file systems differ. A process that forks without starting another program shares its locks with
the child. A replica lives as long as it holds the lock that bears its name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from pydantic import ValidationError

from tools.durable_files import write_durably
from tools.errors import Invalid, MendloopError, Refused, Unavailable
from tools.lease import Lease
from tools.values import canonical_json

_REPLICAS = "replicas"


class FileLeases:
    """Implements SharedLeases; make one per process."""

    def __init__(self, root: Path) -> None:
        """``root`` is the folder of the locks; it is made when it is missing."""
        self._root = root
        self._held: dict[str, tuple[Lease, int]] = {}
        self._announced: dict[str, int] = {}
        self._lock = threading.Lock()
        with self._translated():
            (root / _REPLICAS).mkdir(parents=True, exist_ok=True)

    def acquire(self, target: str, holder: str) -> Lease | None:
        """See Leases."""
        with self._lock, self._translated():
            mine = self._held.get(target)
            if mine is not None and self._stands(*mine):
                return mine[0] if mine[0].holder == holder else None
            self._forget(target)
            descriptor = _locked(self._path(target, "lock"))
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

    def acquire_many(self, targets: Collection[str], holder: str) -> dict[str, Lease]:
        """See SharedLeases."""
        found: dict[str, Lease] = {}
        for target in targets:
            with contextlib.suppress(MendloopError):  # asked again, one by one, at the next tick
                lease = self.acquire(target, holder)
                if lease is not None:
                    found[target] = lease
        return found

    def is_held(self, lease: Lease) -> bool:
        """See Leases; also answers for a lease that another process took."""
        with self._lock, self._translated():
            mine = self._held.get(lease.target)
            if mine is not None:
                return mine[0] == lease and self._stands(*mine)
            if self._recorded(lease.target) != lease:
                return False
            descriptor = _locked(self._path(lease.target, "lock"))
            if descriptor is not None:
                os.close(descriptor)
            return descriptor is None

    def release(self, lease: Lease) -> None:
        """See Leases."""
        with self._lock:
            mine = self._held.get(lease.target)
            if mine is not None and mine[0] == lease:
                self._forget(lease.target)

    def replicas(self, holder: str) -> frozenset[str]:
        """See SharedLeases; one that died is gone at once."""
        with self._lock, self._translated():
            mine = self._announced.get(holder)
            if mine is None or not _is_at(mine, self._place_of(holder)):
                self._announce(holder)
            places = list((self._root / _REPLICAS).glob("*.lock"))
            found = {unquote(place.stem) for place in places if self._is_alive(place)}
            return frozenset(found | {holder})

    def leave(self, holder: str) -> None:
        """See SharedLeases."""
        with self._lock, self._translated():
            for target in [t for t, (lease, _) in self._held.items() if lease.holder == holder]:
                self._forget(target)
            mine = self._announced.pop(holder, None)
            if mine is not None:
                self._place_of(holder).unlink(missing_ok=True)
                os.close(mine)

    @contextlib.contextmanager
    def renewed(self, holder: str) -> Iterator[None]:
        """Locks need no renewal."""
        yield

    def _announce(self, holder: str) -> None:
        stale = self._announced.pop(holder, None)
        if stale is not None:
            os.close(stale)
        descriptor = _locked(self._place_of(holder))
        if descriptor is None:
            raise Unavailable(f"another replica calls itself {holder}, or looks at it just now")
        self._announced[holder] = descriptor

    def _is_alive(self, place: Path) -> bool:
        """Whether somebody holds its lock; what a dead one left is cleared away."""
        if unquote(place.stem) in self._announced:
            return True
        descriptor = _locked(place)
        if descriptor is None:
            return True
        place.unlink(missing_ok=True)
        os.close(descriptor)
        return False

    def _place_of(self, holder: str) -> Path:
        return self._root / _REPLICAS / f"{quote(holder, safe='')}.lock"

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


def _locked(path: Path) -> int | None:
    """An open file that holds the lock at ``path``; None when somebody else does."""
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


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
