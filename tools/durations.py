"""Durations in documents: ``90s``, ``30m``, ``12h``, ``14d``; the unit is never left out."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")


def _parse_duration(value: Any) -> Any:
    if isinstance(value, str):
        match = _DURATION.match(value)
        if match is None:
            raise ValueError(f"expected a duration such as 90s, 30m, 12h or 14d, got {value!r}")
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    if isinstance(value, int | float):
        raise ValueError(f"expected a duration with its unit such as 90s or 14d, got {value!r}")
    return value


def _format_duration(value: timedelta) -> str:
    return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


Duration = Annotated[
    timedelta,
    BeforeValidator(_parse_duration),
    PlainSerializer(_format_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern}),
]


class DocumentSchema(GenerateJsonSchema):
    """The JSON Schema of a document; default durations are written as a person has to write them,
    not in ISO 8601, which the pattern beside them refuses."""

    def encode_default(self, dft: Any) -> Any:
        """See GenerateJsonSchema."""
        return _written(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def _written(value: timedelta) -> str:
    """In the largest unit that divides it."""
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
        count, rest = divmod(value, timedelta(seconds=seconds))
        if count and not rest:
            return f"{count}{unit}"
    return _format_duration(value)
