"""One MLflow client, opened on first use, with MLflow's failures in mendloop's words.

A SQLite file needs no server, but MLflow assumes a server's care of it: two processes that make its
tables at once break it, and searching before writing is no transaction. Locks beside the file give
both. How a server is asked is said in ``tools/mlflow_http.py``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tools.durable_files import locked
from tools.errors import MendloopError
from tools.mlflow_errors import meaning_on_file, meaning_on_server, password_of, redacted
from tools.mlflow_http import Exchanges, MlflowAccess, mount

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "mendloop"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # What may be repeated is known to tools/mlflow_http.py and above; MLflow repeats writes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
_SQLITE = "sqlite:///"
_LOCK_S = 60.0
_BUSY_S = 2.0


class MlflowConnection:
    """The client of one tracking URI and the experiment that mendloop's runs belong to."""

    def __init__(self, uri: str, artifact_root: str, access: MlflowAccess | None = None) -> None:
        """``artifact_root`` (folder or URI) is where a new experiment puts its artifacts; empty:
        where the server itself puts them, which passes them on."""
        self._uri = uri
        self._artifact_root = artifact_root
        self._access = access or MlflowAccess.from_environment()
        self._exchanges: Exchanges | None = None
        self._opened: MlflowClient | None = None
        self._lock = threading.Lock()
        self._experiment = ""

    def client(self) -> MlflowClient:
        """The client; the first call imports MLflow, which takes seconds."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
        self._probe("SELECT 1 FROM sqlite_master")
        return self._opened

    def experiment(self, client: MlflowClient) -> str:
        """Id of the experiment; on a server made when the first run needs it."""
        with self._lock:
            if not self._experiment:
                self._experiment = self._ensure_experiment(client)
        return self._experiment

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One writer at a time in a SQLite file, so that one key cannot make two versions."""
        file = self._file()
        with locked(file.with_name(f"{file.name}.writing"), timeout_s=_LOCK_S) if file else _free():
            self._probe("BEGIN IMMEDIATE")
            yield

    @contextlib.contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Turn MLflow's failures into those of ``tools/errors.py``.

        A write whose answer was lost is Uncertain; what a server does not allow is Refused.
        """
        import sqlalchemy.exc
        from google.protobuf.json_format import ParseError
        from mlflow.exceptions import MlflowException

        if self._exchanges is not None:
            self._exchanges.begin()
        try:
            yield
        except (
            MlflowException,
            ParseError,
            json.JSONDecodeError,
            sqlalchemy.exc.SQLAlchemyError,
            sqlite3.Error,
            OSError,
        ) as error:
            raise self._meaning(error, what) from _harmless(error, self._secrets())

    @property
    def account(self) -> str:
        """Who asks, for people."""
        return self._access.account

    @property
    def is_server(self) -> bool:
        """Whether a tracking server stands behind the address."""
        return self._uri.startswith(("http://", "https://"))

    def _open(self) -> MlflowClient:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)
        # It logs every error with its traceback before raising it; ours says the same in a line.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        if self.is_server:
            self._exchanges = mount(self._uri, self._access)
        file = self._file()
        with locked(file.with_name(f"{file.name}.opening"), timeout_s=_LOCK_S) if file else _free():
            client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
            if not self.is_server:
                self._experiment = self._ensure_experiment(client)
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
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        root = self._artifact_root
        location = root if not root or "://" in root else Path(root).resolve().as_uri()
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=location or None))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        again = client.get_experiment_by_name(EXPERIMENT)  # another process was first
        assert again is not None
        return str(again.experiment_id)

    def _meaning(self, error: Exception, what: str) -> MendloopError:
        said = str(error) if self.is_server else str(error).partition("\n")[0]
        told = redacted(f"cannot {what}: registry {self._uri}: {said}", self._secrets())
        if self._exchanges is None:
            return meaning_on_file(error, told)
        return meaning_on_server(error, told, self._exchanges, self.account)

    def _secrets(self) -> tuple[str, ...]:
        return (*self._access.secrets(), *password_of(self._uri))

    def _file(self) -> Path | None:
        if not self._uri.startswith(_SQLITE):
            return None
        return Path(self._uri.removeprefix(_SQLITE).split("?")[0])


@contextlib.contextmanager
def _free() -> Iterator[None]:
    yield


def _harmless(error: Exception, secrets: tuple[str, ...]) -> Exception | None:
    """The cause, for the log; none where it would tell a secret."""
    return None if any(secret in str(error) for secret in secrets) else error
