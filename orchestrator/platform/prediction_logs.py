"""An installation's prediction log: to read, and to take old rows out of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra.embedded.home import Home
from tools.errors import Invalid
from tools.log_retention import LogRetention
from tools.postgres_errors import is_postgres, url_with_password
from tools.prediction_log import PredictionLog

if TYPE_CHECKING:
    from orchestrator.platform.document import PlatformSpec


def log_from(home: Home, spec: PlatformSpec | None) -> PredictionLog:
    """Where predictions and labels are read; ``spec`` instead of the home's own where given."""
    url = log_url(spec)
    if url is None:
        from tools.parquet_log import ParquetPredictionLog

        return ParquetPredictionLog(*log_folders(home, spec))
    from tools.database_log import DatabasePredictionLog

    return DatabasePredictionLog(url)


def retention_from(home: Home, spec: PlatformSpec | None) -> LogRetention:
    """What takes old rows out of it. Raises Invalid where the rows are not mendloop's."""
    url = log_url(spec)
    if url is None:
        from tools.parquet_retention import ParquetRetention

        return ParquetRetention(*log_folders(home, spec))
    if not is_postgres(url):
        raise Invalid(
            "its rows are written by your own ingestion, and deleted there",
            field="spec.predictionLog.database",
        )
    from tools.postgres_retention import PostgresRetention

    return PostgresRetention(url)


def log_folders(home: Home, spec: PlatformSpec | None) -> tuple[Path, Path]:
    """Of predictions and labels, where they are in folders."""
    folders = None if spec is None else spec.prediction_log.parquet
    if folders is None:
        return home.predictions, home.labels
    return folders.predictions or home.predictions, folders.labels or home.labels


def log_url(spec: PlatformSpec | None) -> str | None:
    """Of the database, with its password; None where the log is in folders."""
    database = None if spec is None else spec.prediction_log.database
    if database is None:
        return None
    secret, url = database.password_from, database.url
    if secret is None:
        return url
    if not is_postgres(url):
        raise Invalid(
            "expected postgresql:// with passwordFrom; other databases take their credentials "
            "from their own environment",
            field="spec.predictionLog.database",
        )
    return url_with_password(url, secret.read("predictionLog.database.passwordFrom"))
