"""Every connection, broken in every way: told as what it is, soon, without half a change.

The rows of the failure table that are about adapters. MLflow's are in test_mlflow_server.py, beside
its server.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.postgres import PostgresJournal
from simulations.clock import VirtualClock
from tests.stand_in import postgres
from tests.stand_in.alertmanager import intake_endpoint, small_alertmanager
from tests.stand_in.kubeflow_api import kubeflow_api
from tests.stand_in.kubernetes_api import api_server
from tests.stand_in.receiver import receiving
from tests.stand_in.tcp_proxy import BROKEN, DELIVERED, Fault, TcpProxy, tcp_proxy
from tools.alert_intake import AlertIntake
from tools.alertmanager import Alertmanager
from tools.errors import MendloopError, Refused, Unavailable, Uncertain
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
SOON_S = 15.0
"""Longer than any sum of waits, on a machine that others use too; no adapter's own default."""
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAMES = (f"change-{number}" for number in itertools.count())


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


@pytest.fixture(scope="module", params=list(MAKERS))
def connection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    """Every adapter with its server."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr("tools.postgres._PAUSE_S", 0.05)
        patch.syspath_prepend(str(Path(__file__).parent.parent / "stand_in"))
        yield MAKERS[request.param](stack, tmp_path_factory.mktemp("outputs"))


@pytest.fixture
def proxy(connection: Any) -> Iterator[TcpProxy]:
    """The proxy before it, healthy before and after."""
    found: TcpProxy = connection.proxy
    yield found
    found.fault = Fault.NONE


def test_a_slow_answer_is_an_answer(connection: Connection, proxy: TcpProxy) -> None:
    """Pieces that keep coming are waited for."""
    proxy.fault = Fault.SLOW
    name = next(NAMES)
    if connection.reads:
        assert connection.read()
    if connection.writes:
        connection.write(name)
        assert connection.effects(name) == 1


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_read_is_unavailable_and_comes_back(
    connection: Connection, proxy: TcpProxy, fault: Fault
) -> None:
    """Never an empty answer, never a hang; nothing has to be opened anew."""
    if not connection.reads or fault in connection.spared:
        pytest.skip("nothing is read here, or another fault is the same")
    before = connection.read()
    proxy.fault = fault
    began_s = time.monotonic()
    with pytest.raises(Unavailable) as failed:
        connection.read()
    took_s = time.monotonic() - began_s
    proxy.fault = Fault.NONE

    assert took_s < SOON_S
    assert "planted" not in str(failed.value)
    assert eventually(connection.read) == before


@pytest.mark.parametrize("fault", BROKEN)
def test_a_write_that_fails_is_told_as_what_it_is_and_made_once(
    connection: Connection, proxy: TcpProxy, fault: Fault
) -> None:
    """Unavailable only where nothing can have happened; the same write again ends in one effect."""
    if not connection.writes or fault in connection.spared:
        pytest.skip("nothing is written here, or another fault is the same")
    name = next(NAMES)
    proxy.fault = fault
    began_s, failure = time.monotonic(), None
    try:
        connection.write(name)
    except MendloopError as error:
        failure = error
    took_s = time.monotonic() - began_s
    proxy.fault = Fault.NONE
    happened = connection.effects(name)

    assert took_s < SOON_S
    assert happened in (0, 1) if fault in DELIVERED else happened == 0
    if failure is not None:
        assert isinstance(failure, Unavailable | Uncertain)
        assert not (happened and isinstance(failure, Unavailable))
        assert "planted" not in str(failure)
    eventually(lambda: connection.write(name))
    assert connection.effects(name) == 1


def test_an_expired_token_is_refused(connection: Connection, proxy: TcpProxy) -> None:
    """Asking again would not help: somebody has to renew it, and is told so."""
    if not connection.knows_tokens:
        pytest.skip("no token is sent here")
    proxy.fault = Fault.EXPIRED
    with pytest.raises(Refused, match=r"token|credentials"):
        connection.read()
    if connection.writes:
        with pytest.raises(Refused):
            connection.write(next(NAMES))


def test_an_intake_survives_whatever_is_sent_to_its_endpoint() -> None:
    """Bodies that break off or never come do not keep others from being heard."""
    intake = AlertIntake(
        token=lambda: "secret", targets=lambda: {"default/flights"}, clock=VirtualClock()
    )
    labels = {"alertname": "Slow", "mendloop_target": "default/flights"}
    body = json.dumps({"version": "4", "alerts": [{"status": "firing", "labels": labels}]})
    with intake_endpoint(intake) as endpoint, tcp_proxy(port_of(endpoint)) as proxy:
        request = WebhookRequest(
            url=f"http://127.0.0.1:{proxy.port}/alerts",
            headers={"authorization": "Bearer secret"},
            body=body,
            timeout_s=SILENCE_S,
        )
        for fault in (Fault.HANG, Fault.LOST, Fault.RESET):
            proxy.fault = fault
            with pytest.raises(Uncertain):
                HttpWebhook().post(request)
        proxy.fault = Fault.NONE
        answer = HttpWebhook().post(request)

    assert answer.status == 200
    assert [alert.name for alert in intake.of("default/flights")] == ["Slow"]


def eventually(call: Callable[[], Any]) -> Any:
    """What it returns once it does not fail any more: some adapters tell others of a trouble for a
    while instead of letting each of them wait."""
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            return call()
        except (Unavailable, Uncertain):
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _prometheus() -> Any:
    """Port of what answers the adapter's queries like a Prometheus with one version's counters."""
    from contextlib import contextmanager

    @contextmanager
    def running() -> Iterator[int]:
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

    return running()


def _result(query: str) -> dict[str, Any]:
    if query == "time()":
        return {"resultType": "scalar", "result": [1000.0, "1000"]}
    if query.startswith("max("):
        return {"resultType": "vector", "result": [{"metric": {}, "value": [1000.0, "999"]}]}
    labels = {
        "__name__": "istio_requests_total",
        "destination_version": "v1",
        "response_code": "200",
    }
    return {"resultType": "vector", "result": [{"metric": labels, "value": [1000.0, "7"]}]}
