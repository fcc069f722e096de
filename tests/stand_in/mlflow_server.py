"""A real ``mlflow server`` process with accounts and its artifact proxy, on a port of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server

from tests.stand_in.mlflow_accounts import ACCOUNTS

ADMIN, PASSWORD = "admin", "correct horse battery"
_DEADLINE_S = 120.0


@dataclass(frozen=True)
class MlflowServer:
    """A running server."""

    url: str
    tokens: Path
    """A file per account, named like it, holding its bearer token."""
    artifacts: Path


@contextmanager
def mlflow_server(folder: Path, *, database: str = "") -> Iterator[MlflowServer]:
    """A server that answers; ``database`` is a SQLAlchemy URI, without one a file in ``folder``."""
    port = _free_port()
    tokens = folder / "tokens"
    tokens.mkdir()
    configuration = folder / "accounts.ini"
    configuration.write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{folder / 'accounts.db'}\n"
        f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
        "authorization_function = tests.stand_in.mlflow_accounts:authenticate\n"
    )
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    command += ["--workers=1", "--app-name=basic-auth", "--serve-artifacts"]
    store = database or f"sqlite:///{folder / 'mlflow.db'}"
    command += [f"--backend-store-uri={store}"]
    command += [f"--artifacts-destination={folder / 'artifacts'}"]
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "MLFLOW_AUTH_CONFIG_PATH": str(configuration),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "tests",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        ACCOUNTS: str(tokens),
        "PYTHONPATH": str(root),
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        _await_health(f"http://127.0.0.1:{port}/health", process, log)
        yield MlflowServer(f"http://127.0.0.1:{port}", tokens, folder / "artifacts")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import httpx

    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"MLflow does not start:\n{log.read_text()[-3000:]}")
        threading.Event().wait(0.1)


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
