"""Tables in Parquet or CSV files, read and pinned by the digest of their content.

What was hashed is what is read: the bytes are taken once, so a file that changes in between cannot
slip past its digest. A pin is a Parquet file named by its own SHA-256 and never changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from tools.errors import Invalid, Refused, Unavailable
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd

_PARQUET_MAGIC = b"PAR1"


class Pin(Value):
    """Training data that cannot change any more."""

    uri: str
    digest: str
    """SHA-256 of the file, 64 hexadecimal digits."""
    rows: int


def read_table(uri: str, *, digest: str = "", text_columns: Sequence[str] = ()) -> pd.DataFrame:
    """The table at ``uri``: a path or an fsspec URL ending in .parquet, .csv or .csv.gz.

    With ``digest`` the content must have that SHA-256, else Refused. ``text_columns`` of a CSV are
    read as text, so that a code such as 007 stays one. Raises Invalid when the file is missing,
    unreadable, truncated, empty or in another format.
    """
    content = _read_bytes(uri)
    actual = hashlib.sha256(content).hexdigest()
    if digest and actual != digest:
        raise Refused(
            f"{uri} has SHA-256 {actual}, expected {digest}: it changed since it was pinned; "
            "pin the data again and submit a new run"
        )
    name = urlparse(uri).path if "://" in uri else uri
    if name.endswith(".parquet"):
        return _parse_parquet(content, uri)
    if name.endswith((".csv", ".csv.gz")):
        return _parse_csv(content, uri, text_columns, compressed=name.endswith(".gz"))
    raise Invalid(f"{uri} has an unknown format; expected .parquet, .csv or .csv.gz")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in blocks. Raises Invalid when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(str(path), error) from error


def content_digest(uri: str) -> str:
    """SHA-256 of what is at ``uri``, a path or an fsspec URL. Raises Invalid as ``read_table``."""
    return hashlib.sha256(_read_bytes(uri)).hexdigest()


def pin_table(frame: pd.DataFrame, pins: Path) -> Pin:
    """Write ``frame`` as ``<pins>/<sha256>.parquet``; the same frame gives the same pin.

    Raises Invalid for a frame without rows or with values that Parquet cannot hold, Unavailable
    when the disk refuses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if frame.empty:
        raise Invalid("there are no rows to pin; widen the window of training data")
    buffer = io.BytesIO()
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table, buffer, compression="zstd")
    except pa.ArrowException as error:
        raise Invalid(f"the frame cannot be written as Parquet: {error}") from error
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    path = pins / f"{digest}.parquet"
    if not path.is_file() or path.stat().st_size != len(content):
        _write_whole(path, content)
    return Pin(uri=str(path), digest=digest, rows=len(frame))


def _read_bytes(uri: str) -> bytes:
    parsed = urlparse(uri)
    try:
        if "://" not in uri:
            return Path(uri).read_bytes()
        if parsed.scheme == "file":
            return Path(unquote(parsed.path)).read_bytes()
        import fsspec

        with fsspec.open(uri, "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise _unreadable(uri, error) from error
    except (ImportError, ValueError) as error:
        raise Invalid(f"cannot open {uri}: {error}") from error


def _unreadable(uri: str, error: OSError) -> Invalid:
    reason = error.strerror or str(error) or type(error).__name__
    return Invalid(f"cannot read {uri}: {reason}; check the path and its permissions")


def _parse_parquet(content: bytes, uri: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not content:
        raise Invalid(f"{uri} is empty; expected a Parquet file")
    if not content.startswith(_PARQUET_MAGIC):
        raise Invalid(f"{uri} is not a Parquet file, whatever its name says")
    if not content.endswith(_PARQUET_MAGIC):
        raise Invalid(f"{uri} is a truncated Parquet file ({len(content)} bytes); copy it again")
    try:
        frame: pd.DataFrame = pq.read_table(pa.BufferReader(content)).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise Invalid(f"{uri} is a damaged Parquet file: {error}; copy it again") from error
    return _with_rows(frame, uri)


def _parse_csv(
    content: bytes, uri: str, text_columns: Sequence[str], *, compressed: bool
) -> pd.DataFrame:
    import zlib

    import pandas as pd

    try:
        frame = pd.read_csv(
            io.BytesIO(content),
            compression="gzip" if compressed else None,
            dtype=dict.fromkeys(text_columns, str),
        )
    except pd.errors.EmptyDataError as error:
        raise Invalid(f"{uri} is empty; expected a header line and rows") from error
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise Invalid(f"{uri} is not a readable CSV file: {error}") from error
    return _with_rows(frame, uri)


def _with_rows(frame: pd.DataFrame, uri: str) -> pd.DataFrame:
    if frame.empty:
        raise Invalid(f"{uri} holds no rows")
    return frame


def _write_whole(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise Unavailable(
            f"cannot write {path}: {error.strerror}; free some space or correct its permissions",
            retry_after_s=30.0,
        ) from error
