"""Alertmanagers for tests: a real one where it is installed, and a small list over HTTP."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from typing import Any

import httpx
import yaml

from tools.alert_intake import AlertIntake
from tools.values import digest

NO_ALERTMANAGER = "needs Alertmanager (Debian: apt-get install prometheus-alertmanager)"
_DEADLINE_S = 30.0


def alertmanager_program() -> str | None:
    """The program, where it is installed."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@contextmanager
def real_alertmanager(folder: Path, *, webhook: str = "", token: str = "") -> Iterator[str]:
    """URL of a real one that sends at once to ``webhook``, or to nobody."""
    program = alertmanager_program()
    assert program is not None, NO_ALERTMANAGER
    receiver: dict[str, Any] = {"name": "mendloop"}
    if webhook:
        http = {"authorization": {"credentials": token}}
        receiver["webhook_configs"] = [{"url": webhook, "http_config": http}]
    route = {
        "receiver": "mendloop",
        "group_by": ["..."],
        "group_wait": "10ms",
        "group_interval": "50ms",
        "repeat_interval": "1h",
    }
    configuration = folder / "alertmanager.yml"
    configuration.write_text(yaml.safe_dump({"route": route, "receivers": [receiver]}))
    with create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    command = [program, f"--config.file={configuration}", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        await_(lambda: _is_ready(url), "Alertmanager does not get ready")
        yield url
    finally:
        process.kill()
        process.wait()


@dataclass
class Listed:
    """What the small one lists, and how it answers."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    body: bytes | None = None
    """Instead of the list."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """Headers of the requests so far."""

    def fire(self, labels: dict[str, str], *, state: str = "active", **more: Any) -> None:
        """List an alert."""
        status = {"state": state, "silencedBy": [], "inhibitedBy": []}
        alert = {"labels": labels, "annotations": {}, "fingerprint": digest(labels)[:16]}
        self.alerts.append({**alert, "status": status, "startsAt": "2026-01-05T12:00:00Z", **more})

    def end(self, labels: dict[str, str]) -> None:
        """List it no more."""
        self.alerts = [alert for alert in self.alerts if alert["labels"] != labels]


@contextmanager
def small_alertmanager() -> Iterator[tuple[str, Listed]]:
    """URL, and what it lists."""
    listed = Listed()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            listed.asked.append({k.lower(): v for k, v in self.headers.items()})
            body = json.dumps(listed.alerts).encode() if listed.body is None else listed.body
            self.answer(listed.status, body)

    with _serving(Handler) as url:
        yield url, listed


@contextmanager
def intake_endpoint(intake: AlertIntake) -> Iterator[str]:
    """URL at which the intake takes webhooks."""

    class Handler(_Quiet):
        def do_POST(self) -> None:
            given = self.headers.get("Authorization", "")
            answer = intake.receive(given, self.headers.get("Content-Length", ""), self.rfile.read)
            self.close_connection = answer.status != 200
            self.answer(answer.status, answer.text.encode())

    with _serving(Handler) as url:
        yield f"{url}/alerts"


def await_(holds: Any, complaint: str) -> None:
    """Return as soon as it holds."""
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, complaint
        threading.Event().wait(0.02)


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
