"""``/healthz``, ``/readyz``, ``/metrics`` and the alerts' intake, in threads beside the controller.

Nothing here takes a lock that a tick holds for long, and no tick waits for a client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import structlog

from tools.alert_intake import AlertIntake
from tools.errors import Invalid

log = structlog.get_logger()

_CLIENT_S = 10.0
"""A client that says nothing for so long is let go."""
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
Check = Callable[[], str]
"""Why not; empty when all is well."""


class Endpoint:
    """Serves until it is closed."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        healthy: Check,
        ready: Check,
        metrics: Callable[[], bytes],
        intake: AlertIntake | None = None,
    ) -> None:
        """Listens from now on. Raises Invalid when the port cannot be had."""
        bound: dict[str, Any] = {
            "checks": {"/healthz": healthy, "/readyz": ready},
            "metrics": staticmethod(metrics),
            "intake": intake,
        }
        try:
            self._server = _Server((host, port), type("Handler", (_Handler,), bound))
        except (OSError, OverflowError) as error:
            raise Invalid(
                f"cannot listen on {host}:{port}: {error}; is another mendloop running here? "
                "choose another port",
                field="spec.http.port",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="http"
        )
        self._thread.daemon = True

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        log.info("http.listening", host=self._server.server_address[0], port=self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own affair."""
        log.debug("http.client_lost", client=str(client_address))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _CLIENT_S
    server_version = "mendloop"
    sys_version = ""
    checks: dict[str, Check]
    metrics: Callable[[], bytes]
    intake: AlertIntake | None

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.checks:
            trouble = self.checks[path]()
            self._send(503 if trouble else 200, f"{trouble or 'ok'}\n".encode())
        elif path == "/metrics":
            self._send(200, self.metrics(), kind=_METRICS)
        else:
            self._send(404, b"expected /healthz, /readyz or /metrics\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.close_connection = True  # a body that was not read would be taken for a request
        if self.intake is None or self.path.partition("?")[0] != "/alerts":
            self._send(404, b"alerts are not taken here\n")
            return
        answer = self.intake.receive(
            self.headers.get("Authorization", ""),
            self.headers.get("Content-Length", ""),
            self.rfile.read,
        )
        self._send(answer.status, f"{answer.text}\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds: not a line each."""

    def _send(self, status: int, body: bytes, *, kind: str = _TEXT) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
