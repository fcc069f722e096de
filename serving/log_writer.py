"""Writes the prediction log off the request path, and loses nothing that it accepted.

Requests append to a bounded queue, which cannot fail or block. A thread writes what waits as a part
every half second, or as soon as a part's worth waits. While the disk or the database refuses, rows
stay in the queue and are tried again; only when the queue is full are new rows dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import structlog

from serving.log_sinks import FolderSink, LogSink
from tools.errors import MendloopError
from tools.log_parts import part_name
from tools.values import Value

log = structlog.get_logger(__name__)

_RETRY_S = 0.5
_CLOSING_RETRY_S = 0.05


class LogEntry(NamedTuple):
    """One answered request."""

    request_id: str
    event_time: datetime
    probability: float
    masked: tuple[str, ...]
    served_at: datetime
    row: Mapping[str, Any]
    """What really arrived, before masking."""


class LogStatus(Value):
    """How the log is doing. ``problem`` is empty while the disk takes what it is given."""

    queued: int
    written: int
    lost: int
    problem: str


class LogWriter:
    """One target's writer. ``append`` may be called from any one thread."""

    def __init__(
        self,
        sink: Path | LogSink,
        schema: pa.Schema,
        *,
        version: str,
        rows_per_part: int = 2_000,
        flush_s: float = 0.5,
        bound: int = 100_000,
    ) -> None:
        self._sink = FolderSink(sink) if isinstance(sink, Path) else sink
        self._schema = schema
        self._version = version
        self._rows_per_part = rows_per_part
        self._flush_s = flush_s
        self._bound = bound
        self._queue: deque[LogEntry] = deque()
        self._part: tuple[str, list[LogEntry]] = ("", [])
        self._written = 0
        self._lost = 0
        self._problem = ""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def warm_up(self) -> None:
        """Make the first part cheap: Arrow imports pandas with the first values it converts, which
        would take the interpreter for half a second while requests wait."""
        self._table([])
        self._sink.warm_up()

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Accept entries for writing, or drop and count them when the queue is full."""
        if len(self._queue) + len(self._part[1]) + len(entries) > self._bound:
            self._lost += len(entries)
            return
        self._queue.extend(entries)
        if len(self._queue) >= self._rows_per_part:
            self._wake.set()

    def status(self) -> LogStatus:
        """Counts as of now."""
        problem = self._problem
        if not problem and not self._closing.is_set() and not self._thread.is_alive():
            problem = "the log writer is not running; restart the server"
        queued = len(self._queue) + len(self._part[1])
        return LogStatus(queued=queued, written=self._written, lost=self._lost, problem=problem)

    def close(self, *, deadline_s: float = 5.0) -> LogStatus:
        """Write what waits and end. Rows still ``queued`` in the answer could not be written."""
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        give_up = time.monotonic() + deadline_s
        while not self._write_waiting() and time.monotonic() < give_up:
            time.sleep(_CLOSING_RETRY_S)
        return self.status()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._flush_s)
            self._wake.clear()
            if not self._write_waiting():
                self._closing.wait(_RETRY_S)

    def _write_waiting(self) -> bool:
        """Write what waits now, not what arrives meanwhile: that would make many small parts.

        False when the disk refused.
        """
        waiting = len(self._queue)
        while self._part[1] or waiting:
            if not self._part[1]:
                count = min(waiting, self._rows_per_part)
                # The name stays with the rows: a part tried twice cannot be there twice.
                self._part = (part_name(), [self._queue.popleft() for _ in range(count)])
                waiting -= count
            if not self._write(*self._part):
                return False
            self._part = ("", [])
        return True

    def _write(self, name: str, entries: list[LogEntry]) -> bool:
        try:
            self._sink.write(name, self._table(entries))
        except MendloopError as error:
            if not self._problem:
                log.error("prediction_log.refused", reason=str(error))
            self._problem = str(error)
            return False
        if self._problem:
            log.info("prediction_log.recovered", log=self._sink.name)
        self._problem = ""
        self._written += len(entries)
        return True

    def _table(self, entries: list[LogEntry]) -> pa.Table:
        columns: dict[str, Any] = {
            "request_id": [entry.request_id for entry in entries],
            "event_time": [entry.event_time for entry in entries],
            "version": [self._version] * len(entries),
            "probability": [entry.probability for entry in entries],
            "masked": [entry.masked for entry in entries],
            "served_at": [entry.served_at for entry in entries],
        }
        for name in self._schema.names[len(columns) :]:
            columns[name] = [entry.row[name] for entry in entries]
        return pa.Table.from_pydict(columns, schema=self._schema)
