"""One MLflow client, opened on first use, with MLflow's failures in mendloop's words.

A SQLite file needs no server, but MLflow assumes a server's care of it: two processes that make its
tables at once break it, and searching before writing is no transaction. Locks beside the file give
both.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from tools.durable_files import locked
from tools.errors import Invalid, MendloopError, Unavailable

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

EXPERIMENT = "mendloop"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # The caller retries with its own budget; MLflow's defaults would block it for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
_SQLITE = "sqlite:///"
_LOCK_S = 60.0
_BUSY_S = 2.0
_INPUT_ERRORS = frozenset(
    {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS"}
)


class MlflowConnection:
    """The client of one tracking URI and the experiment that mendloop's runs belong to."""

    def __init__(self, uri: str, artifact_root: str) -> None:
        """``artifact_root`` (folder or URI) is where a new experiment puts its artifacts."""
        self._uri = uri
        self._artifact_root = artifact_root
        self._opened: MlflowClient | None = None
        self._lock = threading.Lock()
        self.experiment = ""

    def client(self) -> MlflowClient:
        """The client; the first call imports MLflow, which takes seconds."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
        self._probe("SELECT 1 FROM sqlite_master")
        return self._opened

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One writer at a time in a SQLite file, so that one key cannot make two versions."""
        file = self._file()
        with locked(file.with_name(f"{file.name}.writing"), timeout_s=_LOCK_S) if file else _free():
            self._probe("BEGIN IMMEDIATE")
            yield

    @contextlib.contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Turn MLflow's failures into Invalid (wrong input) or Unavailable (try again)."""
        import sqlalchemy.exc
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise self._meaning(error, what) from error
        except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise Unavailable(self._text(error, what)) from error

    def _open(self) -> MlflowClient:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)
        # It logs every error with its traceback before raising it; ours says the same in a line.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        file = self._file()
        with locked(file.with_name(f"{file.name}.opening"), timeout_s=_LOCK_S) if file else _free():
            client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
            self.experiment = self._ensure_experiment(client)
        return client

    def _probe(self, statement: str) -> None:
        """Fail soon when the database is locked: MLflow itself would wait for 20 s each time."""
        file = self._file()
        if file is None or not file.exists():
            return
        with contextlib.closing(sqlite3.connect(file, timeout=_BUSY_S)) as probe:
            probe.isolation_level = None
            probe.execute(statement).close()

    def _ensure_experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        root = self._artifact_root
        location = root if "://" in root else Path(root).resolve().as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def _meaning(self, error: MlflowException, what: str) -> MendloopError:
        text = self._text(error, what)
        return Invalid(text) if error.error_code in _INPUT_ERRORS else Unavailable(text)

    def _text(self, error: Exception, what: str) -> str:
        """What failed, without the password that a URI may hold."""
        first_line = str(error).partition("\n")[0]
        text = f"cannot {what}: registry {self._uri}: {first_line}"
        password = urlparse(self._uri).password
        return text.replace(f":{password}@", ":***@") if password else text

    def _file(self) -> Path | None:
        if not self._uri.startswith(_SQLITE):
            return None
        return Path(self._uri.removeprefix(_SQLITE).split("?")[0])


@contextlib.contextmanager
def _free() -> Iterator[None]:
    yield
