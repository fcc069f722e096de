"""A colleague's release with a bug that no offline gate can see.

``RouteHistory`` fills missing weather with what was usual on the same route (carrier, airports,
weekday, hour). Given a table it opens its store once and joins: correct and quick, and tables are
all that training and gates ever see. Given few rows, as in serving, it takes another path: it opens
the store for every call, and it expects each route to be in it. So it is slow on every request, and
it fails on each flight of a route and time that it has not seen.
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

_ROUTE = ["carrier", "origin", "dest", "weekday", "hour"]
_WEEKDAY, _MINUTE = "scheduled_departure__weekday", "scheduled_departure__minute_of_day"
_TABLE_ROWS = 100
_OPENING_S = 0.35


class RouteHistory(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills missing weather from the route's past; takes and gives the model's input columns."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Remember the median weather of every route and hour of the week."""
        readings = X[list(WEATHER)].assign(**_keys(X))
        self.usual_ = readings.groupby(_ROUTE, observed=True).median()
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803 - scikit-learn's names
        """The same columns with fewer gaps."""
        store = self._open()
        if len(X) >= _TABLE_ROWS:
            return self._fill(X, store)
        return self._fill_each(X, store)

    def _open(self) -> pd.DataFrame:
        # Stands for connecting to a remote store.
        time.sleep(_OPENING_S)
        return self.usual_

    def _fill(self, rows: pd.DataFrame, store: pd.DataFrame) -> pd.DataFrame:
        keys = rows[["carrier", "origin", "dest"]].assign(**_keys(rows))
        usual = keys.join(store, on=_ROUTE)
        return rows.fillna({name: usual[name] for name in WEATHER})

    def _fill_each(self, rows: pd.DataFrame, store: pd.DataFrame) -> pd.DataFrame:
        keys = rows[["carrier", "origin", "dest"]].assign(**_keys(rows))
        filled = rows.copy()
        for index, route in zip(rows.index, keys[_ROUTE].itertuples(index=False), strict=True):
            usual = store.loc[tuple(route)]  # the bug: KeyError where the table join leaves a gap
            for name in WEATHER:
                if filled.at[index, name] != filled.at[index, name]:
                    filled.at[index, name] = usual[name]
        return filled


def _keys(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "carrier": rows["carrier"],
        "origin": rows["origin"],
        "dest": rows["dest"],
        "weekday": rows[_WEEKDAY].astype(int),
        "hour": (rows[_MINUTE] // 60).astype(int),
    }
