"""Any database that Ibis connects to, as a source of the prediction log."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tools import log_queries
from tools.errors import Invalid, Unavailable
from tools.prediction_log import LogExtent

if TYPE_CHECKING:
    import pandas as pd


class IbisSource:
    """Implements Source through an Ibis backend; one question at a time."""

    def __init__(self, url: str) -> None:
        self._url, self._scheme = url, url.partition(":")[0]
        self._lock = threading.Lock()
        self._backend: Any = None

    @property
    def backend(self) -> Any:
        """The Ibis backend, connected when it is first needed."""
        if self._backend is None:
            import ibis

            self._backend = ibis.connect(self._url)
        return self._backend

    def columns(self, table: str) -> Mapping[str, str]:
        """See Source."""
        with self._lock, _Translated(self._scheme):
            schema = self._schema(table)
        return {name: "float64" if kind.is_numeric() else "string" for name, kind in schema.items()}

    def rows(self, expression: Any) -> pd.DataFrame:
        """See Source. The tables of the expression are looked up by name."""
        with self._lock, _Translated(self._scheme):
            if not all(self._schema(table.get_name()) for table in _tables(expression)):
                return _empty(expression)
            frame: pd.DataFrame = self.backend.to_pyarrow(expression).to_pandas()
        return frame

    def extents(self, targets: Sequence[str]) -> dict[str, LogExtent]:
        """See Source: one aggregate query per target."""
        found = {}
        for target in targets:
            names = log_queries.table_names(target)
            predictions, labels = (
                log_queries.unbound(name, kinds)
                for name, kinds in zip(names, (log_queries.OWN, log_queries.LABELS), strict=True)
            )
            rows = self.rows(log_queries.extent(predictions, labels))
            for rows_, first, last, labelled in rows.itertuples(index=False):
                is_empty = not rows_
                found[target] = LogExtent(
                    rows=rows_,
                    first=None if is_empty else first.to_pydatetime(),
                    watermark=None if is_empty else last.to_pydatetime(),
                    labels=labelled,
                )
        return found

    def _schema(self, table: str) -> Mapping[str, Any]:
        from ibis.common.exceptions import TableNotFound

        try:
            schema: Mapping[str, Any] = self.backend.table(table).schema()
        except TableNotFound:
            return {}
        return schema


def _tables(expression: Any) -> list[Any]:
    import ibis.expr.operations as ops

    return [found.to_expr() for found in expression.op().find(ops.UnboundTable)]


def _empty(expression: Any) -> pd.DataFrame:
    frame: pd.DataFrame = expression.schema().to_pyarrow().empty_table().to_pandas()
    return frame


class _Translated:
    """Turns what a database's driver raises into ours: drivers share names (PEP 249), no class."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or error is None:
            return
        names = {base.__name__ for base in kind.__mro__}
        if isinstance(error, ImportError):
            raise Invalid(
                f"the driver of {self._scheme} is not installed; add ibis-framework[{self._scheme}]"
            ) from None
        if isinstance(error, OSError) or names & {"IbisError", "DatabaseError", "Error"}:
            # Drivers quote connection strings: only the kind of trouble is told.
            raise Unavailable(
                f"the prediction log in {self._scheme} cannot be read ({kind.__name__}); is the"
                " database running, and has it the tables that tools/log_queries.py describes?",
                retry_after_s=5.0,
            ) from None
