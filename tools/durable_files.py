"""Files that are whole or absent, and locks on them that die with their holder.

Used by the adapters of the embedded platform, where a file stands in for an API server's object.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tools.errors import Unavailable

_POLL_S = 0.01


def write_durably(path: Path, content: str | bytes) -> None:
    """Replace ``path`` so that a reader or a crash sees the old content or the new one, whole.

    Text becomes UTF-8. Written beside it, synced, renamed over it, and the folder synced. Raises
    OSError; the rename is the only step after which the new content can be seen.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float = 10.0) -> Iterator[None]:
    """Hold the advisory lock on ``path``; the kernel gives it back when the process dies.

    Raises Unavailable when somebody else holds it for ``timeout_s``. Not reentrant.
    """
    deadline = time.monotonic() + timeout_s
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise Unavailable(
            f"cannot open the lock {path}: {error.strerror}; check that the folder is writable"
        ) from error
    try:
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{path} stayed locked for {timeout_s:g} s; another process is busy with it"
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
