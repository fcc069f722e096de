"""What answers probes and Prometheus beside the loop: honest, and in nobody's way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from orchestrator import metrics_words as words
from orchestrator.meter import Meter
from orchestrator.platform.alerting import Alerting
from orchestrator.platform.heartbeat import FIRST_TICK_S, Heartbeat
from orchestrator.platform.http import Endpoint
from orchestrator.platform.keeping import Alerts
from simulations.clock import VirtualClock
from tools.errors import Invalid
from tools.secret_source import SecretFrom

TARGET = "default/parcels"


def alert(fingerprint: str) -> dict[str, object]:
    """As Alertmanager tells it."""
    return {
        "status": "firing",
        "labels": {"alertname": "Slow", "namespace": "default", "model": "parcels"},
        "annotations": {},
        "startsAt": "2026-01-05T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint,
    }


class Site:
    """An endpoint with a loop that a test plays."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.heart = Heartbeat(every_s=10, missing=6, monotonic_s=self.clock.monotonic_s)
        self.unready = ""
        self.meter, self.woken = Meter(), 0
        settings = Alerts(webhook=True, token_from=SecretFrom(env="ALERTS_TOKEN"))
        self.alerting = Alerting(settings, self.clock, lambda: {TARGET}, self._wake)
        self.endpoint = Endpoint(
            "127.0.0.1",
            0,
            healthy=self.heart.trouble,
            ready=lambda: self.unready,
            metrics=self._metrics,
            intake=self.alerting.intake,
        )

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.endpoint.port}{path}", trust_env=False)

    def post(self, token: str, *alerts: dict[str, object]) -> httpx.Response:
        body = {"version": "4", "status": "firing", "alerts": list(alerts)}
        return httpx.post(
            f"http://127.0.0.1:{self.endpoint.port}/alerts",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )

    def _wake(self) -> None:
        self.woken += 1

    def _metrics(self) -> bytes:
        self.alerting.count(self.meter)
        return self.meter.exposition()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("ALERTS_TOKEN", "open sesame")
    found = Site()
    with found.endpoint:
        yield found


def test_a_loop_that_ticks_is_healthy_and_one_that_hangs_is_not(site: Site) -> None:
    """Six ticks of silence and the pod is restarted; a tick that ends in time makes it well."""
    site.heart.beat()
    site.clock.advance(timedelta(seconds=60))
    assert site.get("/healthz").status_code == 200

    site.clock.advance(timedelta(seconds=1))
    answer = site.get("/healthz")
    assert answer.status_code == 503
    assert answer.text == "no tick has ended for 61 s; expected one within 60 s\n"

    site.heart.beat()
    assert site.get("/healthz").status_code == 200


def test_the_first_tick_may_take_longer_and_the_end_is_no_fault(site: Site) -> None:
    """Libraries load once; a loop that was told to stop is not restarted for it."""
    site.clock.advance(timedelta(seconds=FIRST_TICK_S))
    assert site.get("/healthz").status_code == 200

    site.clock.advance(timedelta(seconds=1))
    assert site.get("/healthz").status_code == 503

    site.heart.stop()
    assert site.get("/healthz").status_code == 200


def test_readiness_says_what_is_missing(site: Site) -> None:
    """Whoever looks at a pod that is not ready reads why."""
    site.unready = "journal: the database does not answer"
    answer = site.get("/readyz")

    assert answer.status_code == 503
    assert answer.text == "journal: the database does not answer\n"


def test_metrics_are_in_prometheus_own_form(site: Site) -> None:
    """Every name is there from the start, so that a dashboard is not empty before the first."""
    site.meter.set(words.TARGETS, 3)
    answer = site.get("/metrics?x=1")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "mendloop_targets 3.0" in answer.text
    assert all(f"# TYPE {word.name.removesuffix('_total')}" in answer.text for word in words.WORDS)


def test_an_alert_wakes_the_loop_once_and_only_with_the_token(site: Site) -> None:
    """A storm of one alert is one look; a stranger is no look at all."""
    assert site.post("guessed", alert("a")).status_code == 401
    assert site.woken == 0

    assert site.post("open sesame", alert("a")).status_code == 200
    assert site.post("open sesame", alert("a")).status_code == 200
    assert site.woken == 1
    text = site.get("/metrics").text
    assert 'mendloop_alerts_received_total{result="fired"} 1.0' in text
    assert 'mendloop_alerts_received_total{result="repeated"} 1.0' in text
    assert 'mendloop_alerts_received_total{result="refused"} 1.0' in text


@pytest.mark.parametrize("path", ["/", "/healthzz", "/alerts"])
def test_nothing_else_is_served(site: Site, path: str) -> None:
    """No listing, no debugging page."""
    assert site.get(path).status_code == 404


def test_a_client_that_says_nothing_holds_up_nobody(site: Site) -> None:
    """Each client has a thread of its own."""
    with socket.create_connection(("127.0.0.1", site.endpoint.port)) as silent:
        silent.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert site.get("/readyz").status_code == 200


def test_a_port_that_is_taken_is_an_error_that_says_so(site: Site) -> None:
    """Two mendloops on one machine."""
    with pytest.raises(Invalid, match=r"spec\.http\.port: cannot listen on 127\.0\.0\.1:"):
        Endpoint(
            "127.0.0.1",
            site.endpoint.port,
            healthy=str,
            ready=str,
            metrics=bytes,
        )
