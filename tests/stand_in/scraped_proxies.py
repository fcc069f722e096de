"""A real Prometheus, and a page of counters as Istio's proxies expose them, for it to scrape."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from typing import Any

import httpx
import pytest

_EDGES = ("100", "250", "500", "+Inf")
_DEADLINE_S = 30.0
_CONFIG = """
scrape_configs:
  - job_name: proxies
    scrape_interval: 200ms
    scrape_timeout: 200ms
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Scraped:
    """The counters of all services, by what a proxy would label them."""

    def __init__(self, namespace: str) -> None:
        self.url, self._namespace = "", namespace
        self.nobody = f"http://127.0.0.1:{_free_port()}"
        """Where no Prometheus listens."""
        self._counts: Counter[tuple[str, str, str, str, str]] = Counter()
        self._lock = threading.Lock()

    def begin(self, service: str, version: str) -> None:
        """Its proxy starts: everything is 0."""
        with self._lock:
            for code in ("200", "422", "500"):
                for what in ("total", *_EDGES):
                    self._counts[("source", service, version, code, what)] = 0

    def answer(
        self,
        service: str,
        version: str,
        requests: int = 0,
        *,
        errors: int = 0,
        slow: int = 0,
        slow_errors: int = 0,
        cut: int = 0,
        missing: int = 0,
        mirrored: bool = False,
    ) -> None:
        """Count requests as the caller's proxy would; a connection that was cut is a 503. Copies
        (``mirrored``) are counted by the server's proxy alone."""
        reporter = "destination" if mirrored else "source"
        with self._lock:
            for code, wanted, is_slow in (
                ("200", requests, False),
                ("200", slow, True),
                ("422", missing, False),
                ("500", errors + cut, False),
                ("500", slow_errors, True),
            ):
                self._counts[(reporter, service, version, code, "total")] += wanted
                for edge in _EDGES[2:] if is_slow else _EDGES:
                    self._counts[(reporter, service, version, code, edge)] += wanted

    def page(self) -> str:
        """The exposition text."""
        with self._lock:
            counts = dict(self._counts)
        lines = []
        for (reporter, service, version, code, what), value in counts.items():
            labels = (
                f'reporter="{reporter}",destination_service_name="{service}",'
                f'destination_service_namespace="{self._namespace}",destination_version="v{version}",'
                f'response_code="{code}"'
            )
            if what == "total":
                lines.append(f"istio_requests_total{{{labels}}} {value}")
                continue
            name = "istio_request_duration_milliseconds"
            lines.append(f'{name}_bucket{{{labels},le="{what}"}} {value}')
            if what == "+Inf":
                lines.append(f"{name}_count{{{labels}}} {value}")
        return "\n".join(lines) + "\n"


@contextmanager
def scraped_proxies(folder: Path, *, namespace: str = "default") -> Iterator[Scraped]:
    """Prometheus on a free port, scraping five times a second; both end with the block."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs Prometheus (Debian package prometheus)")
    proxies = Scraped(namespace)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = proxies.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            with suppress(OSError):  # Prometheus gave up waiting
                self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    (folder / "prometheus.yml").write_text(_CONFIG.format(port=server.server_address[1]))
    port = _free_port()
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        proxies.url = f"http://127.0.0.1:{port}"
        _await_ready(proxies.url)
        yield proxies
    finally:
        process.terminate()
        process.wait()
        server.shutdown()
        thread.join()
        server.server_close()


def _await_ready(url: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "Prometheus does not get ready"
        threading.Event().wait(0.05)


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
