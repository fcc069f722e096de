"""Processes that outlive the one that started them, and records that find them again.

A record names a process by pid and start mark: the boot and the tick at which it started. A pid
that the system gave to another process meanwhile, or before a reboot, is never taken for it, and a
clock that jumps changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import ValidationError

from tools.durable_files import write_durably
from tools.errors import Invalid, Unavailable
from tools.values import Value

RECORD_NAME = "process.json"
"""File name under which the embedded platform looks for records of what mendloop started."""

_POLL_S = 0.02
_KILL_S = 5.0


class ProcessRecord(Value):
    """One process, for as long as it lives."""

    pid: int
    start: str
    """Start mark: differs for every process that ever gets this pid."""


def spawn(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> ProcessRecord:
    """Start ``command`` in a session of its own, its output appended to ``log``.

    It survives the end of this process. Raises Invalid when the program cannot be run, Unavailable
    when the machine has no room for it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    variables = {**os.environ, **(environment or {})}
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        pid = os.posix_spawn(
            command[0], list(command), variables, file_actions=actions, setsid=True
        )
    except (FileNotFoundError, PermissionError) as error:
        raise Invalid(f"cannot run {command[0]}: {error.strerror}; check the path") from error
    except OSError as error:
        raise Unavailable(f"cannot start {command[0]}: {error.strerror}") from error
    return ProcessRecord(pid=pid, start=_start_mark(pid) or "gone")


def record_of(pid: int) -> ProcessRecord | None:
    """The record of a running process; None when there is none or it has ended."""
    start = _start_mark(pid)
    return ProcessRecord(pid=pid, start=start) if start else None


def is_alive(record: ProcessRecord) -> bool:
    """Whether this very process still runs. Reaps it when it is an ended child of ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)
    return _start_mark(record.pid) == record.start


def end(record: ProcessRecord, *, grace_s: float) -> bool:
    """Ask the process to end, make it end after ``grace_s``. False: it had to be made.

    Raises Unavailable when it outlives even that (stuck in the kernel).
    """
    return end_all([record], grace_s=grace_s)[0]


def end_all(records: Sequence[ProcessRecord], *, grace_s: float) -> list[bool]:
    """Like ``end`` for several at once, which share the grace."""
    for record in records:
        _send(record, signal.SIGTERM)
    _await_end(records, grace_s)
    survivors = [record for record in records if is_alive(record)]
    for record in survivors:
        _send(record, signal.SIGKILL, group=True)
    _await_end(survivors, _KILL_S)
    for record in survivors:
        if is_alive(record):
            raise Unavailable(f"process {record.pid} does not die; look at its state with ps")
    return [record not in survivors for record in records]


def write_record(path: Path, record: ProcessRecord) -> None:
    """Store a record. Raises OSError."""
    write_durably(path, record.model_dump_json())


def read_record(path: Path) -> ProcessRecord | None:
    """The record at ``path``; None when there is none or it is not one."""
    try:
        return ProcessRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None


def find_by_argument(argument: str) -> list[ProcessRecord]:
    """Running processes of this user that were started with exactly this argument.

    Finds what was started just before a crash could be followed by its record.
    """
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "uids"]):
        uids = process.info["uids"]
        if uids and uids.real == os.getuid() and argument in (process.info["cmdline"] or []):
            found.append(record_of(process.info["pid"]))
    return [record for record in found if record]


def _send(record: ProcessRecord, number: int, *, group: bool = False) -> None:
    if not is_alive(record):
        return
    with contextlib.suppress(ProcessLookupError):
        # A session of its own makes the pid its process group as well.
        if group and os.getpgid(record.pid) == record.pid:
            os.killpg(record.pid, number)
        else:
            os.kill(record.pid, number)


def _await_end(records: Sequence[ProcessRecord], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while any(is_alive(record) for record in records) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _start_mark(pid: int) -> str | None:
    """None for a process that is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return _portable_start_mark(pid)
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _portable_start_mark(pid: int) -> str | None:
    """For systems without /proc, where the start time is the best there is."""
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return None if ended else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
