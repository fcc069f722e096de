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
from pathlib import Path
from typing import Any

import pytest

from simulations.clock import VirtualClock
from tests.stand_in.alertmanager import intake_endpoint
from tests.stand_in.connections import MAKERS, SILENCE_S, Connection, port_of
from tests.stand_in.tcp_proxy import BROKEN, DELIVERED, Fault, TcpProxy, tcp_proxy
from tools.alert_intake import AlertIntake
from tools.errors import MendloopError, Refused, Unavailable, Uncertain
from tools.http_webhook import HttpWebhook
from tools.webhook import WebhookRequest

SOON_S = 15.0
"""Longer than any sum of waits, on a machine that others use too; no adapter's own default."""
NAMES = (f"change-{number}" for number in itertools.count())


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
        assert eventually(connection.read)
    if connection.writes:
        eventually(lambda: connection.write(name))
        assert connection.effects(name) == 1


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_read_is_unavailable_and_comes_back(
    connection: Connection, proxy: TcpProxy, fault: Fault
) -> None:
    """Never an empty answer, never a hang; nothing has to be opened anew."""
    if not connection.reads or fault in connection.spared:
        pytest.skip("nothing is read here, or another fault is the same")
    before = eventually(connection.read)
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
    while instead of letting each of them wait, and a busy machine takes its time."""
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            return call()
        except (Unavailable, Uncertain):
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)
