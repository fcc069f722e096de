"""Typed requests made from a model's schema, and refusals that say which field, what, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)

from tools.errors import Invalid
from tools.schema import Column, ColumnType, FeatureSchema
from tools.values import Value

Row = dict[str, Any]
"""The time column (naive UTC) and every column of the schema, None where missing."""

REQUEST_ID_PATTERN = r"^[!-~]{1,128}$"
"""Visible ASCII: it travels in a header and ends up in file and log lines."""
_CATEGORY_LENGTH = 200
_ERRORS_SHOWN = 20
_SHOWN_LENGTH = 80
_EARLIEST, _LATEST = 1900, 2200
"""Years between which an event time is believed; also keeps time zone arithmetic in range."""

RequestId = Annotated[str, Field(pattern=REQUEST_ID_PATTERN)]


class FieldError(Value):
    """One reason why a request was not answered."""

    field: str
    """Path in the request, such as ``rows[3].temp``, or (body), (model)."""
    expected: str
    got: str


class RequestRefused(Invalid):
    """The request is wrong; ``errors`` says everything that is wrong with it."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        first = errors[0]
        super().__init__(f"expected {first.expected}, got {first.got}", field=first.field)
        self.errors = tuple(errors)


class RequestReader:
    """Turns request bodies into rows of one schema.

    Types, missing and unknown columns are refused here. Values outside a column's range are not:
    judging the data is the data validator's work, and it must see them in the log.
    """

    def __init__(self, schema: FeatureSchema, *, max_rows: int) -> None:
        self._forbidden = frozenset(schema.forbidden)
        self._names = (schema.time_column, *schema.names)
        self._expected = {schema.time_column: "an ISO 8601 time such as 2013-03-01T05:15:00Z"}
        self._expected |= {column.name: _expectation(column) for column in schema.columns}
        self._max_rows = max_rows
        self.row_model = _row_model(schema)
        self.batch_model = _batch_model(self.row_model, max_rows)

    def row(self, body: bytes) -> Row:
        """The one row of a ``/predict`` body. Raises RequestRefused."""
        try:
            parsed = self.row_model.model_validate_json(body)
        except ValidationError as error:
            raise self._refused(error) from None
        return self._row_of(parsed)

    def batch(self, body: bytes) -> tuple[list[Row], list[str] | None]:
        """Rows of a ``/predict/batch`` body and their request ids if given. Raises RequestRefused:
        a batch is answered as a whole or not at all."""
        try:
            parsed: Any = self.batch_model.model_validate_json(body)
        except ValidationError as error:
            raise self._refused(error) from None
        ids: list[str] | None = parsed.request_ids
        if ids is not None and len(set(ids)) != len(parsed.rows):
            raise RequestRefused(
                [
                    FieldError(
                        field="request_ids",
                        expected=f"one id per row, all different, for {len(parsed.rows)} rows",
                        got=f"{len(set(ids))} different ids",
                    )
                ]
            )
        return [self._row_of(row) for row in parsed.rows], ids

    def _row_of(self, parsed: BaseModel) -> Row:
        # Field values stand in the order of their declaration, whatever the order in the body.
        return dict(zip(self._names, parsed.__dict__.values(), strict=True))

    def _refused(self, error: ValidationError) -> RequestRefused:
        found = error.errors(include_url=False)
        errors = [self._field_error(e) for e in found[:_ERRORS_SHOWN]]
        hidden = len(found) - len(errors)
        if hidden > 0:
            errors.append(
                FieldError(field="(more)", expected="no errors", got=f"{hidden} further errors")
            )
        return RequestRefused(errors)

    def _field_error(self, error: Mapping[str, Any]) -> FieldError:
        location = error["loc"]
        name = str(location[-1]) if location else ""
        got = "nothing" if error["type"] == "missing" else _shown(error["input"])
        if error["type"] == "json_invalid":
            got = f"{error['ctx']['error']} in {got}"
        return FieldError(field=_path(location), expected=self._wanted(error, name), got=got)

    def _wanted(self, error: Mapping[str, Any], name: str) -> str:
        if error["type"] == "extra_forbidden":
            if name in self._forbidden:
                return (
                    "this column to be left out: it is known only after the event and leaks the "
                    "label"
                )
            return f"no such column; the columns are {', '.join(self._names)}"
        if error["type"] in ("json_invalid", "model_type"):
            return "a JSON object"
        if error["type"] == "too_long":
            return f"at most {self._max_rows} rows"
        return self._expected.get(name) or str(error["msg"])


def _row_model(schema: FeatureSchema) -> type[BaseModel]:
    # Fields are numbered and aliased: a column may be called "schema", "copy" or "_id".
    time_field = (_event_time(), Field(alias=schema.time_column, title=schema.time_column))
    fields: dict[str, Any] = {"c0": time_field}
    for number, column in enumerate(schema.columns, start=1):
        fields[f"c{number}"] = _field(column)
    return create_model("Row", __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _batch_model(row: type[BaseModel], max_rows: int) -> type[BaseModel]:
    fields: dict[str, Any] = {
        "rows": (list[row], Field(min_length=1, max_length=max_rows)),  # type: ignore[valid-type]
        "request_ids": (list[RequestId] | None, Field(default=None, max_length=max_rows)),
    }
    return create_model("Batch", __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _field(column: Column) -> tuple[Any, Any]:
    kind: Any = (
        Annotated[float, Field(allow_inf_nan=False)]
        if column.type is ColumnType.NUMBER
        else Annotated[str, Field(max_length=_CATEGORY_LENGTH)]
    )
    about = " ".join(part for part in (column.description, _unit(column)) if part)
    named: dict[str, Any] = {"alias": column.name, "title": column.name, "description": about}
    if column.nullable:
        return kind | None, Field(default=None, **named)
    return kind, Field(**named)


def _event_time() -> Any:
    def naive_utc(moment: datetime) -> datetime:
        if not _EARLIEST <= moment.year < _LATEST:
            raise ValueError("outside the years that are believed")
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)

    return Annotated[datetime, AfterValidator(naive_utc)]


def _expectation(column: Column) -> str:
    if column.type is ColumnType.NUMBER:
        text = f"a finite number{_unit(column)}"
    else:
        text = f"a text of at most {_CATEGORY_LENGTH} characters"
    return f"{text}, or null" if column.nullable else text


def _unit(column: Column) -> str:
    return f" (in {column.unit})" if column.unit else ""


def _path(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(body)"


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        text = value[:_SHOWN_LENGTH].decode(errors="replace")
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
