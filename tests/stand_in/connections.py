"""Adapters behind a proxy that breaks their connections, and what their servers really know."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from orchestrator.journal import kinds
from orchestrator.journal.postgres import PostgresJournal
from simulations.clock import VirtualClock
from tests.stand_in import postgres
from tests.stand_in.alertmanager import small_alertmanager
from tests.stand_in.kubeflow_api import kubeflow_api
from tests.stand_in.kubernetes_api import api_server
from tests.stand_in.receiver import receiving
from tests.stand_in.tcp_proxy import Fault, tcp_proxy
from tools.alertmanager import Alertmanager
from tools.errors import Unavailable
from tools.http_webhook import HttpWebhook
from tools.kubeflow import Kubeflow
from tools.kubeflow_api import KubeflowApi
from tools.kubernetes_api import CONFIG_MAP, Exists, KubernetesApi
from tools.metrics import NoReading, Reading
from tools.pipeline_runs import RunRequest
from tools.postgres import Database
from tools.prometheus import PrometheusMetrics, Watched
from tools.webhook import WebhookRequest

SILENCE_S = 0.4
"""How long an adapter waits here; the servers answer within milliseconds."""
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Connection(Protocol):
    """One adapter behind the proxy, and what its server really knows."""

    reads: bool
    writes: bool
    knows_tokens: bool
    spared: tuple[Fault, ...]
    """Faults that mean the same here as another one, and take seconds."""

    def read(self) -> Any:
        """Something that is always the same."""

    def write(self, name: str) -> None:
        """Make a change of this name, once."""

    def effects(self, name: str) -> int:
        """How often the server has it."""


class KubernetesConnection:
    """Objects in an API server."""

    reads = writes = knows_tokens = True
    spared: tuple[Fault, ...] = ()

    def __init__(self, stack: ExitStack) -> None:
        url, self.cluster = stack.enter_context(api_server())
        self.proxy = stack.enter_context(tcp_proxy(port_of(url)))
        self.api = KubernetesApi.at(f"http://127.0.0.1:{self.proxy.port}")
        self.api.timeout_s = (SILENCE_S, SILENCE_S)
        self.write("standing")

    def read(self) -> Any:
        found = self.api.list(CONFIG_MAP, "default")
        return [o["metadata"]["name"] for o in found if o["metadata"]["name"] == "standing"]

    def write(self, name: str) -> None:
        meta = {"namespace": "default", "name": name}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}}
        try:
            self.api.create(CONFIG_MAP, body)
        except Exists:
            return  # looked at first by the adapters above

    def effects(self, name: str) -> int:
        return sum(key[-1] == name for key in self.cluster.objects)


class KubeflowConnection:
    """Runs in Kubeflow Pipelines."""

    reads = writes = knows_tokens = True
    spared: tuple[Fault, ...] = ()

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        url, self.known = stack.enter_context(kubeflow_api())
        self.proxy = stack.enter_context(tcp_proxy(port_of(url)))
        api = KubeflowApi(f"http://127.0.0.1:{self.proxy.port}", timeout_s=(SILENCE_S, SILENCE_S))
        self.runs = Kubeflow(api, {"toy": "toy_pipeline:toy"}, outputs_root=str(folder))
        self.write("standing")

    def read(self) -> Any:
        return self.runs.read("standing").phase

    def write(self, name: str) -> None:
        self.runs.submit(RunRequest(pipeline="toy", arguments={"log": "a"}), key=name)

    def effects(self, name: str) -> int:
        return sum(run.display_name == name for run in self.known.runs)


class WebhookConnection:
    """Messages to somebody's endpoint; sent again, they bear the same id."""

    reads = knows_tokens = False
    writes = True
    spared: tuple[Fault, ...] = ()

    def __init__(self, stack: ExitStack) -> None:
        self.receiver = stack.enter_context(receiving())
        self.proxy = stack.enter_context(tcp_proxy(self.receiver.port))

    def read(self) -> Any:
        raise NotImplementedError

    def write(self, name: str) -> None:
        url = f"http://127.0.0.1:{self.proxy.port}/hook"
        headers = {"webhook-id": name}
        HttpWebhook().post(WebhookRequest(url=url, headers=headers, body="{}", timeout_s=SILENCE_S))

    def effects(self, name: str) -> int:
        return len(set(self.receiver.ids) & {name})


class AlertmanagerConnection:
    """Alerts of others."""

    reads = knows_tokens = True
    writes = False
    spared: tuple[Fault, ...] = ()

    def __init__(self, stack: ExitStack) -> None:
        url, listed = stack.enter_context(small_alertmanager())
        listed.fire({"alertname": "Slow", "mendloop_target": "default/flights"})
        self.proxy = stack.enter_context(tcp_proxy(port_of(url)))
        self.alerts = Alertmanager(
            f"http://127.0.0.1:{self.proxy.port}",
            clock=VirtualClock(),
            token=lambda: "planted-token",
            timeout_s=SILENCE_S,
            fresh_s=0.0,
        )

    def read(self) -> Any:
        return [alert.name for alert in self.alerts.of("default/flights")]

    def write(self, name: str) -> None:
        raise NotImplementedError

    def effects(self, name: str) -> int:
        raise NotImplementedError


class PrometheusConnection:
    """Counters; what cannot be read is a value and no error."""

    reads = True
    writes = knows_tokens = False
    spared: tuple[Fault, ...] = ()

    def __init__(self, stack: ExitStack) -> None:
        port = stack.enter_context(_prometheus())
        self.proxy = stack.enter_context(tcp_proxy(port))
        self.metrics = PrometheusMetrics(
            f"http://127.0.0.1:{self.proxy.port}",
            {"default/flights": Watched(namespace="default", service="flights", objective_ms=250)},
            monotonic_s=time.monotonic,
            timeout_s=SILENCE_S,
        )

    def read(self) -> Any:
        found = self.metrics.read("default/flights")
        if isinstance(found, NoReading):
            raise Unavailable(found.reason)
        assert isinstance(found, Reading)
        return [(each.version, each.requests) for each in found.versions]

    def write(self, name: str) -> None:
        raise NotImplementedError

    def effects(self, name: str) -> int:
        raise NotImplementedError


class PostgresConnection:
    """The journal."""

    reads = writes = True
    knows_tokens = False
    spared: tuple[Fault, ...] = (Fault.HANG, Fault.CUT, Fault.PAGE)

    def __init__(self, stack: ExitStack) -> None:
        server = stack.enter_context(postgres.running_postgres(**postgres.QUICK))
        name = server.make_database()
        self.direct = PostgresJournal(Database(server.url(name)))
        stack.callback(self.direct.close)
        self.proxy = stack.enter_context(tcp_proxy(server.port))
        url = server.url(name).replace(f":{server.port}/", f":{self.proxy.port}/")
        self.journal = PostgresJournal(Database(f"{url}?connect_timeout=2", answer_s=SILENCE_S))
        stack.callback(self.journal.close)
        self.write("standing")

    def read(self) -> Any:
        return [event.payload["reason"] for event in self.journal.events() if event.seq == 1]

    def write(self, name: str) -> None:
        if not any(event.payload["reason"] == name for event in self.journal.events()):
            said = {"by": "kim", "reason": name}
            self.journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=said)

    def effects(self, name: str) -> int:
        return sum(event.payload["reason"] == name for event in self.direct.events())


MAKERS: dict[str, Callable[[ExitStack, Path], Connection]] = {
    "kubernetes": lambda stack, _: KubernetesConnection(stack),
    "kubeflow": KubeflowConnection,
    "webhook": lambda stack, _: WebhookConnection(stack),
    "alertmanager": lambda stack, _: AlertmanagerConnection(stack),
    "prometheus": lambda stack, _: PrometheusConnection(stack),
    "postgres": lambda stack, _: PostgresConnection(stack),
}


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@contextmanager
def _prometheus() -> Iterator[int]:
    """Port of what answers the adapter's queries like a Prometheus with one version's counters."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)["query"][0]
            body = json.dumps({"status": "success", "data": _result(query)}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _result(query: str) -> dict[str, Any]:
    assert "istio_requests_total" in query
    place = {"destination_service_namespace": "default", "destination_service_name": "flights"}
    counter = {
        **place,
        "__name__": "istio_requests_total",
        "destination_version": "v1",
        "response_code": "200",
    }
    newest = {**place, "mendloop_newest_sample": "1"}
    result = [
        {"metric": counter, "value": [1000.0, "7"]},
        {"metric": newest, "value": [1000.0, "999"]},
    ]
    return {"resultType": "vector", "result": result}
