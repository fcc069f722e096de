"""Scores a file with one version of a model, by the very code that answers requests.

Rows pass the server's own reader, as JSON, and its own calls of the model, so batch and real time
agree to the last bit. The rows of a file that is refused are neither written nor logged.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import compute

from serving.batcher import ROWS_PER_CALL, answered
from serving.model import prediction_of
from serving.requests import RequestReader, RequestRefused, Row
from tools.artifact import Predictor
from tools.errors import Invalid
from tools.schema import FeatureSchema
from tools.table_files import NULL_TEXTS
from tools.table_stream import InputFile, TableOutput, chunks, copied
from tools.values import Value

if TYPE_CHECKING:
    from serving.batch_log import BatchLog

ADDED = ("request_id", "version", "probability", "prediction")
"""Columns of the output beside those of the input."""
CHUNK_ROWS = 10_240
"""Some ten megabytes while they are JSON."""
_TOLD_ROWS = 100_000


class Scored(Value):
    """What became of a file."""

    input_digest: str
    rows: int
    positives: int
    mean_probability: float
    logged: int


class BatchScorer:
    """One loaded version, and the columns that are masked while a feed is not trusted."""

    def __init__(self, predictor: Predictor, version: str, *, masked: Sequence[str] = ()) -> None:
        """Raises Invalid when the model does not have a masked column."""
        self._predictor, self.version, self.masked = predictor, version, tuple(masked)
        self.schema: FeatureSchema = predictor.schema
        for name in masked:
            if name not in self.schema.names:
                raise Invalid(f"the model has no column {name}", field="mask")

    def score(
        self,
        source: str,
        output: str | None,
        scratch: Path,
        *,
        chunk_rows: int = CHUNK_ROWS,
        log: BatchLog | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Scored:
        """Score every row of ``source`` into ``output``; None checks everything and writes nothing.

        The same input and version give the same bytes. ``log`` gets the rows when the output is
        whole. Raises Invalid naming the row and column that cannot be scored.
        """
        file = copied(source, scratch)
        tally = _Tally()
        scored = self._tables(file, chunk_rows, tally, tell)
        if output is None:
            for _ in scored:
                pass
        else:
            with TableOutput(output, scratch) as target:
                for _, table in scored:
                    target.write(table)
        if not tally.rows:
            raise Invalid(f"{source} holds no rows")
        if output is not None and log is not None:
            tell("writing the prediction log")
            for rows, table in self._tables(file, chunk_rows, _Tally(), lambda _: None):
                log.append(rows, table)
            log.close()
        return Scored(
            input_digest=file.digest,
            rows=tally.rows,
            positives=tally.positives,
            mean_probability=math.fsum(tally.sums) / tally.rows,
            logged=log.rows if output is not None and log is not None else 0,
        )

    def _tables(
        self, file: InputFile, chunk_rows: int, tally: _Tally, tell: Callable[[str], None]
    ) -> Iterator[tuple[list[Row], pa.Table]]:
        # Whole calls of the model: its float32 sums may depend on which rows are called together.
        size = max(1, chunk_rows // ROWS_PER_CALL) * ROWS_PER_CALL
        reader = RequestReader(self.schema, max_rows=size)
        for table in chunks(file, size):
            self._check_columns(table.column_names, file.uri)
            rows = self._rows(reader, table, file, tally.rows)
            masked = dict.fromkeys(self.masked)
            probabilities = answered(self._predictor.predict, [row | masked for row in rows])
            first = tally.rows
            tally.add(probabilities)
            yield rows, self._with_answers(table, file.digest, first, probabilities)
            if tally.rows // _TOLD_ROWS > first // _TOLD_ROWS:
                tell(f"{tally.rows:,} rows scored")

    def _check_columns(self, names: Sequence[str], uri: str) -> None:
        taken = [name for name in ADDED if name in names]
        if taken:
            raise Invalid(f"{uri} has a column {taken[0]} already, which is to be added; rename it")
        needed = [c.name for c in self.schema.columns if not c.nullable]
        for name in (self.schema.time_column, *needed):
            if name not in names:
                raise Invalid(
                    f"{uri} has no column {name}, which the model needs; its columns are "
                    f"{', '.join(names)}"
                )

    def _rows(
        self, reader: RequestReader, table: pa.Table, file: InputFile, first: int
    ) -> list[Row]:
        wanted = (self.schema.time_column, *self.schema.names)
        columns = {
            name: self._values(table, name, file) for name in wanted if name in table.schema.names
        }
        records = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        body = json.dumps({"rows": records}, default=str).encode()
        try:
            return reader.batch(body)[0]
        except RequestRefused as error:
            raise _refusal(error, file.uri, first) from None

    def _values(self, table: pa.Table, name: str, file: InputFile) -> list[Any]:
        """A column as JSON would have it: None where missing, times as text."""
        column = table.column(name)
        if name == self.schema.time_column:
            return _times(column)
        is_number = name in self.schema.numbers
        if file.is_csv:
            column = compute.if_else(
                compute.is_in(column, pa.array(NULL_TEXTS)), pa.scalar(None, pa.string()), column
            )
            return _parsed(column) if is_number else list(column.to_pylist())
        kind = column.type
        if is_number and (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        ):
            column = column.cast(pa.float64(), safe=False)
        return [
            None if isinstance(value, float) and math.isnan(value) else value
            for value in column.to_pylist()
        ]

    def _with_answers(
        self, table: pa.Table, digest: str, first: int, probabilities: list[float]
    ) -> pa.Table:
        count = len(probabilities)
        start = f"batch-{self._run_digest(digest)}-{self.version}-"
        added = (
            pa.array([f"{start}{first + n}" for n in range(count)], pa.string()),
            pa.array([self.version] * count, pa.string()),
            pa.array(probabilities, pa.float64()),
            pa.array([prediction_of(each) for each in probabilities], pa.int8()),
        )
        for name, values in zip(ADDED, added, strict=True):
            table = table.append_column(name, values)
        return table

    def _run_digest(self, digest: str) -> str:
        """Names the answers: other masks give others."""
        if self.masked:
            digest = hashlib.sha256("\n".join((digest, *sorted(self.masked))).encode()).hexdigest()
        return digest[:24]


class _Tally:
    """Counts of the rows so far."""

    def __init__(self) -> None:
        self.rows = self.positives = 0
        self.sums: list[float] = []

    def add(self, probabilities: Sequence[float]) -> None:
        self.rows += len(probabilities)
        self.positives += sum(map(prediction_of, probabilities))
        self.sums.append(math.fsum(probabilities))


def _times(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    return [each.isoformat() if hasattr(each, "isoformat") else each for each in column.to_pylist()]


def _parsed(column: pa.ChunkedArray) -> list[Any]:
    """Numbers of a CSV; what is none stays text, for the reader to refuse by row and name."""
    try:
        return list(column.cast(pa.float64()).to_pylist())
    except pa.ArrowInvalid:
        return [_number_or_text(value) for value in column]


def _number_or_text(value: pa.StringScalar) -> Any:
    try:
        return value.cast(pa.float64()).as_py()
    except pa.ArrowInvalid:
        return value.as_py()


def _refusal(error: RequestRefused, uri: str, first: int) -> Invalid:
    """The server's own words, with the row of the file."""
    found = error.errors[0]
    place, _, column = found.field.removeprefix("rows[").partition("].")
    row = f"row {first + int(place) + 1}" if place.isdigit() else found.field
    return Invalid(
        f"{uri}, {row}: {column}: expected {found.expected}, got {found.got}; nothing was written"
    )
