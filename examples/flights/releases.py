"""A colleague's release with bugs that no offline gate can see.

``RouteHistory`` fills missing weather with what was usual on the same route (carrier, airports) at
the same hour of the week. Given a table it opens its store once and joins: correct and quick, and
tables are all that training and gates ever see. Given few rows, as in serving, it takes another
path. That one opens the store for every call, and it takes it for granted that a route it knows has
flown at every hour: slow on every request, and an error on each flight at an unusual hour.
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

_ROUTE = ["carrier", "origin", "dest"]
_HOUR = ["weekday", "hour"]
_MINUTE, _WEEKDAY = "scheduled_departure__minute_of_day", "scheduled_departure__weekday"
_TABLE_ROWS = 100
_OPENING_S = 0.35


class RouteHistory(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills missing weather from the route's past; takes and gives the model's input columns."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Remember the median weather of every route and hour of the week."""
        self.usual_ = _with_hour(X).groupby([*_ROUTE, *_HOUR])[list(WEATHER)].median()
        self.routes_ = set(self.usual_.index.droplevel(_HOUR))
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
        keys = _with_hour(rows)[[*_ROUTE, *_HOUR]]
        usual = keys.join(store, on=[*_ROUTE, *_HOUR])
        return rows.fillna({name: usual[name] for name in WEATHER})

    def _look_up(self, rows: pd.DataFrame, store: pd.DataFrame) -> pd.DataFrame:
        filled = rows.copy()
        keys = _with_hour(rows)
        for index in rows.index:
            route: Any = tuple(keys.loc[index, _ROUTE])
            hour = tuple(keys.loc[index, _HOUR])
            if route in self.routes_:
                usual = store.loc[(*route, *hour)]  # the bug: KeyError where the join has a gap
                filled.loc[index] = rows.loc[index].fillna(usual)
        return filled


def _with_hour(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(weekday=rows[_WEEKDAY].astype(int), hour=(rows[_MINUTE] // 60).astype(int))
