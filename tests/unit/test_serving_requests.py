"""Requests typed by a schema: what is let in, and what a refusal says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.requests import RequestReader, RequestRefused
from tools.log_parts import feature_types, prediction_schema
from tools.schema import Column, ColumnType, FeatureSchema

SCHEMA = FeatureSchema(
    time_column="departure",
    columns=(
        Column(name="temp", type=ColumnType.NUMBER, unit="degF", nullable=True, maximum=120.0),
        Column(name="distance", type=ColumnType.NUMBER),
        Column(name="carrier", type=ColumnType.CATEGORY),
        Column(name="schema", type=ColumnType.CATEGORY, nullable=True),
    ),
    forbidden=("arr_delay",),
)
READER = RequestReader(SCHEMA, max_rows=3)
GOOD = {"departure": "2013-03-01T05:15:00Z", "temp": 39.0, "distance": 1400, "carrier": "UA"}


def refusal(body: Any, *, batch: bool = False) -> RequestRefused:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RequestRefused) as refused:
        _ = READER.batch(text) if batch else READER.row(text)
    return refused.value


def test_a_row_has_the_time_and_every_column_in_schema_order() -> None:
    """The order in the body does not matter, nor do names that Python reserves."""
    body = json.dumps(dict(reversed(GOOD.items()))).encode()

    row = READER.row(body)

    assert list(row) == ["departure", "temp", "distance", "carrier", "schema"]
    assert row["departure"] == datetime.fromisoformat("2013-03-01T05:15:00")
    assert (row["temp"], row["distance"], row["carrier"], row["schema"]) == (39, 1400, "UA", None)
    assert isinstance(row["distance"], float)


@given(
    st.datetimes(
        min_value=datetime.fromisoformat("1901-01-01"),
        max_value=datetime.fromisoformat("2199-01-01"),
    ),
    st.integers(-14 * 60, 14 * 60),
)
def test_every_offset_becomes_naive_utc(moment: datetime, minutes: int) -> None:
    """A time without an offset is UTC already."""
    local = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    def read(time: datetime) -> datetime:
        row = READER.row(json.dumps(GOOD | {"departure": time.isoformat()}).encode())
        found: datetime = row["departure"]
        return found

    assert read(local) == local.astimezone(UTC).replace(tzinfo=None)
    assert read(moment) == moment


@pytest.mark.parametrize(
    ("change", "field", "expected", "got"),
    [
        ({"distance": "1400"}, "distance", "a finite number", '"1400"'),
        ({"distance": True}, "distance", "a finite number", "true"),
        ({"distance": None}, "distance", "a finite number", "null"),
        ({"distance": float("nan")}, "distance", "a finite number", "NaN"),
        ({"distance": float("inf")}, "distance", "a finite number", "Infinity"),
        ({"temp": "cold"}, "temp", "a finite number (in degF), or null", '"cold"'),
        ({"carrier": 7}, "carrier", "a text of at most 200 characters", "7"),
        ({"carrier": "x" * 201}, "carrier", "a text of at most 200 characters", "xxx..."),
        ({"departure": "yesterday"}, "departure", "an ISO 8601 time", '"yesterday"'),
        ({"departure": 1362114900}, "departure", "an ISO 8601 time", "1362114900"),
        ({"departure": "0001-01-01T00:00:00+14:00"}, "departure", "an ISO 8601 time", "0001"),
        ({"arr_delay": 12}, "arr_delay", "leaks the label", "12"),
        ({"carier": "UA"}, "carier", "no such column; the columns are departure, temp", '"UA"'),
    ],
)
def test_a_wrong_value_is_refused_by_field(
    change: dict[str, Any], field: str, expected: str, got: str
) -> None:
    """Each refusal names the field, what it should have been, and what came."""
    [error] = refusal(GOOD | change).errors

    assert error.field == field
    assert expected in error.expected
    assert got in error.got


def test_every_wrong_field_is_named_at_once() -> None:
    """One round trip tells the caller everything."""
    errors = refusal({"departure": "2013-03-01T05:15:00Z", "temp": "x", "arr_delay": 1}).errors

    assert [e.field for e in errors] == ["temp", "distance", "carrier", "arr_delay"]
    assert errors[1].got == "nothing"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff", b'{"carrier": "\xff"}', b'{"carrier": "\\ud800"}']
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    """Broken text of any kind is the caller's mistake, not a server error."""
    [error] = refusal(body).errors

    assert (error.field, error.expected) == ("(body)", "a JSON object")


def test_a_value_out_of_range_is_let_in() -> None:
    """Judging data is the data validator's work: it must see what arrived."""
    row = READER.row(json.dumps(GOOD | {"temp": 999.0}).encode())

    assert row["temp"] == 999.0


def test_a_batch_names_the_row_that_is_wrong() -> None:
    """The path leads to the field in its row."""
    [error] = refusal({"rows": [GOOD, GOOD | {"temp": "x"}]}, batch=True).errors

    assert error.field == "rows[1].temp"


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"rows": [GOOD] * 4}, "rows", "at most 3 rows"),
        ({"rows": []}, "rows", "at least 1 item"),
        ({"rows": [7]}, "rows[0]", "a JSON object"),
        ({}, "rows", "Field required"),
        ({"rows": [GOOD], "x": 1}, "x", "no such column"),
        ({"rows": [GOOD, GOOD], "request_ids": ["a", "a"]}, "request_ids", "all different"),
        ({"rows": [GOOD, GOOD], "request_ids": ["a"]}, "request_ids", "one id per row"),
        ({"rows": [GOOD], "request_ids": ["a b"]}, "request_ids[0]", "pattern"),
    ],
)
def test_a_wrong_batch_is_refused_whole(body: Any, field: str, expected: str) -> None:
    """The size is capped, ids are as many as rows and differ."""
    errors = refusal(body, batch=True).errors

    assert errors[0].field == field
    assert expected in errors[0].expected


def test_a_batch_keeps_its_order_and_its_ids() -> None:
    """Answers are matched by position."""
    rows, ids = READER.batch(
        json.dumps(
            {"rows": [GOOD | {"temp": t} for t in (3, 1, 2)], "request_ids": [*"xyz"]}
        ).encode()
    )

    assert [row["temp"] for row in rows] == [3, 1, 2]
    assert ids == ["x", "y", "z"]


def test_a_flood_of_errors_is_cut_short() -> None:
    """A wrong batch of thousands of fields is not answered by thousands of lines."""
    many = refusal(GOOD | {f"extra{n}": 1 for n in range(500)}).errors

    assert len(many) == 21
    assert many[-1].got == "480 further errors"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "schema", "arr_delay"]), json_values))
def test_whatever_is_sent_becomes_a_row_that_the_log_can_hold_or_a_refusal(
    change: dict[str, Any],
) -> None:
    """No body makes a server error, and what is let in can be written."""
    import pyarrow as pa

    try:
        row = READER.row(json.dumps(GOOD | change).encode())
    except RequestRefused:
        return
    types = prediction_schema(feature_types(SCHEMA))
    for column in SCHEMA.names:
        assert pa.array([row[column]], type=types.field(column).type).to_pylist() == [row[column]]
