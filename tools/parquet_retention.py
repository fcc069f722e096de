"""Adapter: takes old rows out of a prediction log in Parquet folders.

Parts are never changed: one that holds old and newer rows is written again without the old ones
beside it, then removed. For that instant readers see the newer rows in both, and count them once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from tools.errors import Unavailable
from tools.log_parts import part_name, require_naive, target_folder, write_part
from tools.log_retention import OldRows

log = structlog.get_logger(__name__)


class ParquetRetention:
    """Implements LogRetention."""

    def __init__(self, predictions_root: Path, labels_root: Path) -> None:
        """The roots that ``tools/parquet_log.py`` reads."""
        self._predictions, self._labels = predictions_root, labels_root

    def old(self, target: str, before: datetime) -> OldRows:
        """See LogRetention; reads times and ids."""
        return self._told(target, self._old_ids(target, before))

    def forget(self, target: str, before: datetime) -> OldRows:
        """See LogRetention. Predictions go first, since nobody reads labels without them, and the
        newest parts before those whose answers they repeat."""
        ids = self._old_ids(target, before)
        found = self._told(target, ids)
        for root in (self._predictions, self._labels):
            for path in reversed(list(_parts(target_folder(root, target)))):
                _without(path, _among(path, ids))
        return found

    def _told(self, target: str, ids: pa.ChunkedArray) -> OldRows:
        known = {
            i
            for path in _parts(target_folder(self._labels, target))
            for i in _column(path, "request_id").filter(_among(path, ids)).to_pylist()
        }
        return OldRows(rows=len(ids), labels=len(known))

    def _old_ids(self, target: str, before: datetime) -> pa.ChunkedArray:
        """Of several answers to a request the one served first is what the log tells of."""
        require_naive(before=before)
        columns = ["request_id", "event_time", "served_at"]
        parts = [
            pq.ParquetFile(path).read(columns)
            for path in _parts(target_folder(self._predictions, target))
        ]
        if not parts:
            return pa.chunked_array([], pa.string())
        table = pa.concat_tables(parts).sort_by("served_at")
        first = table.group_by("request_id", use_threads=False).aggregate([("event_time", "first")])
        return first["request_id"].filter(pc.less(first["event_time_first"], pa.scalar(before)))


def _parts(folder: Path) -> Iterator[Path]:
    """Whole parts; what is no part of a log is left to ``mendloop``'s readers to report."""
    try:
        found = sorted(folder.glob("[!.]*.parquet"))
    except OSError as error:
        raise Unavailable(f"cannot list {folder}: {error.strerror}") from error
    for path in found:
        try:
            names = pq.read_schema(path).names
        except (OSError, pa.ArrowException) as error:
            log.warning("prediction_log.part_left_alone", path=str(path), reason=str(error))
            continue
        if "request_id" in names:
            yield path


def _column(path: Path, name: str) -> pa.ChunkedArray:
    return pq.ParquetFile(path).read([name]).column(name)


def _among(path: Path, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(_column(path, "request_id"), value_set=ids)


def _without(path: Path, is_gone: pa.ChunkedArray) -> None:
    """Rows out of a part. Raises Unavailable; then it is whole, or beside what is left of it."""
    gone = pc.sum(is_gone).as_py() or 0
    if not gone:
        return
    if gone < len(is_gone):
        left = pq.ParquetFile(path).read().filter(pc.invert(is_gone))
        write_part(path.parent, part_name(), left)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot remove {path}: {error.strerror}") from error
