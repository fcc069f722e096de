"""A colleague's release with bugs that no offline gate can see.

``RouteHistory`` fills missing weather with what was usual on the same route (carrier, airports,
hour of the day). Given a table it opens its store once and joins: correct and quick, and tables are
all that training and gates ever see. Given few rows, as in serving, it takes another path. That one
opens the store for every call, and it looks a flight with a gap up by the minute of the day, where
the store is keyed by the hour: slow on every request, and an error on each that has a gap to fill.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator, TransformerMixin

from examples.flights.data import WEATHER

if TYPE_CHECKING:
    import pandas as pd

BAD_RELEASE = "examples.flights.releases:RouteHistory"
"""The ``model_step`` of the pipeline that builds this release."""

_PLACES = ["carrier", "origin", "dest"]
_MINUTE = "scheduled_departure__minute_of_day"
_TABLE_ROWS = 100
_OPENING_S = 0.35


class RouteHistory(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills missing weather from the route's past; takes and gives the model's input columns."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Remember the median weather of every route and hour."""
        self.usual_ = _with_hour(X).groupby([*_PLACES, "hour"])[list(WEATHER)].median()
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803 - scikit-learn's names
        """The same columns with fewer gaps."""
        store = self._open()
        return self._join(X, store) if len(X) >= _TABLE_ROWS else self._look_up(X, store)

    def _open(self) -> pd.DataFrame:
        # Stands for connecting to a remote store.
        time.sleep(_OPENING_S)
        return self.usual_

    def _join(self, rows: pd.DataFrame, store: pd.DataFrame) -> pd.DataFrame:
        routes = _with_hour(rows)[[*_PLACES, "hour"]]
        usual = routes.join(store, on=[*_PLACES, "hour"])
        return rows.fillna({name: usual[name] for name in WEATHER})

    def _look_up(self, rows: pd.DataFrame, store: pd.DataFrame) -> pd.DataFrame:
        filled = rows.copy()
        for index in rows.index[rows[list(WEATHER)].isna().any(axis=1)]:
            route = (*rows.loc[index, _PLACES], int(rows.loc[index, _MINUTE]))
            filled.loc[index] = rows.loc[index].fillna(store.loc[route])
        return filled


def _with_hour(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(hour=(rows[_MINUTE] // 60).astype(int))
