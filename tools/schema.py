"""The columns of a managed model: what a request and a training row may and may not hold.

The same schema makes the server's typed requests, the validator's rules, the MLflow signature and
the derived time features, so training and serving cannot disagree about a column.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import AliasGenerator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from tools.values import Value


class DocumentValue(Value):
    """Part of a document that people write: camelCase keys, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=AliasGenerator(alias=to_camel),
    )


class ColumnType(StrEnum):
    """NUMBER: float64, finite or missing. CATEGORY: a short string or missing."""

    NUMBER = "number"
    CATEGORY = "category"


TimeFeature = Literal["minute_of_day", "weekday", "hour", "month", "day_of_year"]
"""Derived from the time column; Monday is weekday 0."""


class Column(DocumentValue):
    """One column of a request."""

    name: str
    type: ColumnType
    unit: str = ""
    """For people and for the search for changed units, for example ``degF``, ``mile``, ``hPa``."""
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False
    """Whether a request may leave it out. Missing values are imputed by the fitted features."""
    feed: str | None = None
    """The upstream feed that delivers it, if it does not come from the caller's own records."""
    description: str = ""


class Feed(DocumentValue):
    """An upstream source of several columns, trusted as one."""

    name: str
    key: str
    """Column that tells the feed's series apart (for weather: the airport)."""
    max_repeat_hours: float = Field(gt=0)
    """Longest event time over which all its values may repeat unchanged in one series."""
    fallback: Literal["impute", "none"] = "none"
    """What serving does while the feed is not trusted: serve its columns as missing, or nothing."""


class FeatureSchema(DocumentValue):
    """Every column that the model may see, and those that it must never see."""

    time_column: str
    """ISO 8601 event time of the prediction, for example the scheduled departure."""
    time_features: tuple[TimeFeature, ...] = ()
    columns: tuple[Column, ...] = Field(min_length=1)
    feeds: tuple[Feed, ...] = ()
    forbidden: tuple[str, ...] = ()
    """Columns that are known only after the event: they leak the label and are refused."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns named twice: {', '.join(twice)}")
        leaking = sorted(set(names) & set(self.forbidden))
        if leaking:
            raise ValueError(f"columns are both features and forbidden: {', '.join(leaking)}")
        feeds = {feed.name for feed in self.feeds}
        unknown = sorted({c.feed for c in self.columns if c.feed is not None} - feeds)
        if unknown:
            raise ValueError(f"columns name feeds that are not declared: {', '.join(unknown)}")
        for feed in self.feeds:
            if feed.key not in names:
                raise ValueError(f"feed {feed.name}: key {feed.key} is not a column")
        return self

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the number columns, in order."""
        return tuple(c.name for c in self.columns if c.type is ColumnType.NUMBER)

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the category columns, in order."""
        return tuple(c.name for c in self.columns if c.type is ColumnType.CATEGORY)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in order, without the time column."""
        return tuple(c.name for c in self.columns)

    def feed_columns(self, feed: str) -> tuple[str, ...]:
        """Names of the columns that a feed delivers."""
        return tuple(c.name for c in self.columns if c.feed == feed)
