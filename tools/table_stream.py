"""Tables of any size, read and written a chunk at a time: memory does not grow with their rows.

What was hashed is what is read: the file is copied once, hashed on the way, and read from the copy.
CSV values are read as the text that they are, so that columns which nobody interprets are written
as they came. An output is whole or absent: it gets its name when its last row is in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlparse

import pyarrow as pa

from tools.errors import Invalid, Unavailable

FORMATS = (".parquet", ".csv", ".csv.gz")
_BLOCK_BYTES = 1 << 20
_GROUP_ROWS = 1 << 16
"""Written at once, whatever the chunks are: row groups of a Parquet file depend on nothing else."""


class InputFile(NamedTuple):
    """A copy of what is to be read, under a name that tells its format."""

    uri: str
    path: Path
    digest: str
    """SHA-256 of the content, 64 hexadecimal digits."""

    @property
    def is_csv(self) -> bool:
        """Whether values come as text."""
        return format_of(self.uri) != ".parquet"


def format_of(uri: str) -> str:
    """Which of FORMATS a path or URL names. Raises Invalid for any other."""
    name = urlparse(uri).path if "://" in uri else uri
    for ending in FORMATS:
        if name.endswith(ending):
            return ending
    raise Invalid(f"{uri} has an unknown format; expected a name ending in {', '.join(FORMATS)}")


def copied(uri: str, folder: Path) -> InputFile:
    """Bring the file at ``uri`` (a path or an fsspec URL) into ``folder``, hashed on the way.

    Raises Invalid when it is missing or unreadable, Unavailable when there is no room for it.
    """
    copy, digest = folder / f"input{format_of(uri)}", hashlib.sha256()
    with copy.open("wb") as target, _reading(uri) as source:
        while block := _next_block(source, uri):
            digest.update(block)
            try:
                target.write(block)
            except OSError as error:
                raise Unavailable(f"cannot copy {uri} to {folder}: {error.strerror}") from error
    return InputFile(uri, copy, digest.hexdigest())


def chunks(file: InputFile, rows: int) -> Iterator[pa.Table]:
    """The table in pieces of exactly ``rows`` rows, the last one shorter; none for no rows.

    Raises Invalid where the file is empty, damaged, or names a column twice.
    """
    waiting: list[pa.Table] = []
    held = 0
    for batch in _batches(file, rows):
        waiting.append(pa.Table.from_batches([batch]))
        held += batch.num_rows
        if held < rows:
            continue
        table = pa.concat_tables(waiting)
        whole = held - held % rows
        for start in range(0, whole, rows):
            yield table.slice(start, rows)
        waiting, held = [table.slice(whole)], held - whole
    if held:
        yield pa.concat_tables(waiting)


class TableOutput:
    """Writes a table chunk by chunk; use as a context manager. Leaving it by an error discards."""

    def __init__(self, uri: str, scratch: Path) -> None:
        """``scratch`` holds what goes to a URL until it is whole."""
        self._uri, self._format = uri, format_of(uri)
        local = _local_path(uri)
        self._path = local
        name = f".{local.name}.{os.getpid()}.new" if local else f"output{self._format}"
        self._beside = (local.parent if local else scratch) / name
        self._writer: Any = None
        self._waiting: list[pa.Table] = []
        self._held = 0
        self._open = contextlib.ExitStack()

    def __enter__(self) -> TableOutput:
        return self

    def write(self, table: pa.Table) -> None:
        """Add rows; all chunks have the columns of the first. Raises Invalid where one has others,
        Unavailable when the disk refuses."""
        if self._waiting and table.schema != self._waiting[0].schema:
            raise Invalid(f"the rows cannot be written to {self._uri}: their columns change")
        self._waiting.append(table)
        self._held += table.num_rows
        while self._held >= _GROUP_ROWS:
            self._write(_GROUP_ROWS)

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and self._held:
                self._write(self._held)
            self._open.close()
            if kind is None and self._writer is not None:
                self._put_in_place()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._open.close()
            with contextlib.suppress(OSError):
                self._beside.unlink(missing_ok=True)

    def _write(self, count: int) -> None:
        table = pa.concat_tables(self._waiting)
        try:
            if self._writer is None:
                self._writer = self._open.enter_context(self._make(table.schema))
            self._writer.write_table(table.slice(0, count).combine_chunks())
        except OSError as error:
            raise self._unwritable(error) from error
        except pa.ArrowException as error:
            raise Invalid(f"the rows cannot be written to {self._uri}: {error}") from error
        self._waiting, self._held = [table.slice(count)], self._held - count

    def _make(self, schema: pa.Schema) -> Any:
        self._beside.parent.mkdir(parents=True, exist_ok=True)
        if self._path is not None:
            _sweep(self._path)
            self._open.enter_context(_taken(self._beside))
        if self._format == ".parquet":
            import pyarrow.parquet as pq

            return pq.ParquetWriter(self._beside, schema, compression="zstd")
        from pyarrow import csv

        compression = "gzip" if self._format == ".csv.gz" else None
        stream = pa.output_stream(str(self._beside), compression=compression)
        return csv.CSVWriter(self._open.enter_context(stream), schema)

    def _put_in_place(self) -> None:
        with self._beside.open("rb") as file:
            os.fsync(file.fileno())
        if self._path is not None:
            os.replace(self._beside, self._path)
            _sync(self._path.parent)
            return
        _translated(self._uri, lambda fsspec: _upload(fsspec, self._beside, self._uri))

    def _unwritable(self, error: OSError) -> Unavailable:
        reason = error.strerror or str(error)
        return Unavailable(
            f"cannot write {self._uri}: {reason}; free some space or correct its permissions"
        )


@contextlib.contextmanager
def _taken(path: Path) -> Iterator[None]:
    """The file is somebody's while this lasts: the system forgets the lock with its process."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(path: Path) -> None:
    """Remove what processes left beside the output that were killed while they wrote it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError: its writer is at work
            left.unlink()


def _local_path(uri: str) -> Path | None:
    if "://" not in uri:
        return Path(uri)
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _translated(uri: str, call: Callable[[Any], Any]) -> Any:
    """``call`` with fsspec; what it says of a URL that it cannot open is Invalid."""
    import fsspec

    try:
        return call(fsspec)
    except (ImportError, ValueError) as error:
        raise Invalid(f"cannot open {uri}: {error}") from error


def _upload(fsspec: Any, source: Path, uri: str) -> None:
    system, place = fsspec.core.url_to_fs(uri)
    system.put_file(str(source), place)


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[IO[bytes]]:
    local = _local_path(uri)
    try:
        opened = (
            local.open("rb") if local else _translated(uri, lambda fs: fs.open(uri, "rb").open())
        )
    except OSError as error:
        raise _unreadable(uri, error) from error
    with opened:
        yield opened


def _next_block(source: IO[bytes], uri: str) -> bytes:
    try:
        return source.read(_BLOCK_BYTES)
    except OSError as error:
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: OSError) -> Invalid:
    reason = error.strerror or str(error) or type(error).__name__
    return Invalid(f"cannot read {uri}: {reason}; check the path and its permissions")


def _batches(file: InputFile, rows: int) -> Iterator[pa.RecordBatch]:
    if not file.path.stat().st_size:
        raise Invalid(f"{file.uri} is empty (0 bytes)")
    try:
        yield from _csv_batches(file) if file.is_csv else _parquet_batches(file, rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "CSV" if file.is_csv else "Parquet"
        raise Invalid(f"{file.uri} is not a readable {kind} file: {error}") from error


def _parquet_batches(file: InputFile, rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path, pre_buffer=False) as opened:
        _named_once(opened.schema_arrow.names, file.uri)
        yield from opened.iter_batches(batch_size=rows)


def _csv_batches(file: InputFile) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    how: dict[str, Any] = {
        # Without threads nothing is read ahead, which would hold many blocks.
        "read_options": csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        "parse_options": csv.ParseOptions(newlines_in_values=True),
    }
    with csv.open_csv(file.path, **how) as opened:
        names = opened.schema.names
    _named_once(names, file.uri)
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    with csv.open_csv(file.path, convert_options=as_text, **how) as opened:
        yield from opened


def _named_once(names: list[str], uri: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"{uri} has columns of the same name: {', '.join(twice)}; rename them")


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
