"""Adapter: takes old rows out of the prediction log's tables in PostgreSQL, some at a time."""

from __future__ import annotations

from datetime import datetime

from tools import log_queries
from tools.log_parts import require_naive
from tools.log_retention import OldRows
from tools.postgres import ANSWER_S, Database
from tools.postgres_log import SCHEMA, columns_of, quoted

AT_ONCE = 20_000
"""Predictions per transaction: servers go on appending in between, and no statement takes long."""
_COUNT_S = 12 * ANSWER_S

_OLD = (
    "SELECT (SELECT count(*) FROM {p} WHERE event_time < %(before)s), (SELECT count(DISTINCT"
    " l.request_id) FROM {l} l JOIN {p} p USING (request_id) WHERE p.event_time < %(before)s)"
)
_FORGET = (
    "WITH old AS (SELECT request_id FROM {p} WHERE event_time < %(before)s"
    " ORDER BY event_time, request_id LIMIT %(most)s),"
    " gone AS (DELETE FROM {p} p USING old WHERE p.request_id = old.request_id"
    " RETURNING p.request_id),"
    " away AS (DELETE FROM {l} l USING old WHERE l.request_id = old.request_id"
    " RETURNING l.request_id)"
    " SELECT (SELECT count(*) FROM gone), (SELECT count(DISTINCT request_id) FROM away)"
)
_COUNTED = (
    "UPDATE extents SET rows = rows - %(rows)s, labels = labels - %(labels)s"
    " WHERE target = %(target)s"
)


class PostgresRetention:
    """Implements LogRetention; needs the right to delete, which the servers' login has."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises Invalid for a malformed URL."""
        self._database = Database(
            url, application="mendloop-retention", answer_s=_COUNT_S, search_path=SCHEMA
        )

    def old(self, target: str, before: datetime) -> OldRows:
        """See LogRetention."""
        require_naive(before=before)
        if not self._has_tables(target):
            return OldRows(rows=0, labels=0)
        with self._database.connection() as connection:
            [found] = connection.execute(_on(_OLD, target), {"before": before}).fetchall()
        return OldRows(rows=found[0], labels=found[1])

    def forget(self, target: str, before: datetime) -> OldRows:
        """See LogRetention; what is gone and what is counted changes together."""
        require_naive(before=before)
        rows = labels = 0
        while self._has_tables(target):
            with self._database.transaction() as connection:
                [(gone, away)] = connection.execute(
                    _on(_FORGET, target), {"before": before, "most": AT_ONCE}
                ).fetchall()
                connection.execute(
                    _COUNTED.encode(), {"rows": gone, "labels": away, "target": target}
                )
            rows, labels = rows + gone, labels + away
            if gone < AT_ONCE:
                break
        return OldRows(rows=rows, labels=labels)

    def _has_tables(self, target: str) -> bool:
        with self._database.connection() as connection:
            return bool(columns_of(connection, log_queries.table_names(target)[0]))


def _on(query: str, target: str) -> bytes:
    predictions, labels = log_queries.table_names(target)
    return query.format(p=quoted(predictions), l=quoted(labels)).encode()
