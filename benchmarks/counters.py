"""Answers like a Prometheus that watches a fleet of healthy services: growing counters, no errors.

It keeps no samples: what is measured with it is what an answer costs the controller, which is asked
for all of its targets at once; what the query costs Prometheus is not measured.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BETWEEN_S = 61.0
"""Between two readings: more than the minute whose requests are one bet."""
_REQUESTS = 600
_LABELS = {
    "app": "caller",
    "connection_security_policy": "mutual_tls",
    "destination_app": "server",
    "destination_cluster": "Kubernetes",
    "destination_service_namespace": "default",
    "destination_version": "v1",
    "destination_workload": "server",
    "instance": "10.0.0.7:15020",
    "job": "kubernetes-pods",
    "reporter": "source",
    "request_protocol": "http",
    "response_code": "200",
    "response_flags": "-",
    "source_app": "caller",
    "source_workload": "caller",
}
_COUNTERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("istio_requests_total", {}),
    ("istio_request_duration_milliseconds_count", {}),
    ("istio_request_duration_milliseconds_bucket", {"le": "250"}),
)


@contextmanager
def counters(services: Sequence[str], namespace: str) -> Iterator[str]:
    """The address of one that watches these."""
    asked = 0
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            nonlocal asked
            with lock:
                asked += 1
                count = asked * _REQUESTS
            body = json.dumps(_answer(services, namespace, count)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(services: Sequence[str], namespace: str, count: int) -> dict[str, object]:
    now = time.time()
    found: list[dict[str, object]] = []
    for service in services:
        place = {"destination_service_namespace": namespace, "destination_service_name": service}
        newest = {**place, "mendloop_newest_sample": "1"}
        found.append({"metric": newest, "value": [now, str(now - 5)]})
        for name, extra in _COUNTERS:
            labels = {**_LABELS, **place, **extra, "__name__": name}
            found.append({"metric": labels, "value": [now, str(count)]})
    return {"status": "success", "data": {"resultType": "vector", "result": found}}
