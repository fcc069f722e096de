"""The ManagedModel resource in a real API server: definition, status, watch, events."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.resources.reporter import StatusReporter
from orchestrator.resources.source import ManagedModelResources
from orchestrator.resources.standing import Standing
from tests.promises.test_reads import until
from tools.kubernetes_api import KubernetesApi, NotAsRead
from tools.kubernetes_events import Regarding, Told, tell
from tools.kubernetes_kinds import EVENT, MANAGED_MODEL

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (ROOT / "examples" / "flights" / "model.yaml").read_text(encoding="utf-8")
)


@pytest.fixture
def source(defined: KubernetesApi, namespace: str) -> Iterator[ManagedModelResources]:
    found = ManagedModelResources.of(defined, [namespace])
    assert found.start(timeout_s=30)
    yield found
    found.stop()


def resource(namespace: str, **spec: Any) -> dict[str, Any]:
    body = copy.deepcopy(EXAMPLE)
    body["metadata"] = {"namespace": namespace, "name": "flights"}
    body["spec"]["data"]["history"] = "s3://history/flights.parquet"
    body["spec"].update(spec)
    return body


def test_the_example_is_taken_with_its_defaults(defined: KubernetesApi, namespace: str) -> None:
    """And what is wrong is refused with the field's path."""
    stored = defined.create(MANAGED_MODEL, resource(namespace))

    assert stored["spec"]["guardrails"]["autonomy"]
    assert stored["spec"]["evidence"]["alpha"] == 0.05
    assert stored["metadata"]["generation"] == 1
    with pytest.raises(NotAsRead, match=r"spec\.rollout\.harmBudget"):
        defined.patch(
            MANAGED_MODEL,
            namespace,
            "flights",
            [{"op": "add", "path": "/spec/rollout", "value": {"harmBudget": 0}}],
        )
    broken = resource(namespace, gates=[])
    broken["metadata"]["name"] = "broken"
    with pytest.raises(NotAsRead, match="gates"):
        defined.create(MANAGED_MODEL, broken)


def test_models_are_followed_and_told_how_they_are(
    defined: KubernetesApi, namespace: str, source: ManagedModelResources
) -> None:
    """Created, judged, written back, changed, deleted; a status is no new generation."""
    target = f"{namespace}/flights"
    reporter = StatusReporter(defined, instance="tests", now=lambda: datetime.now(UTC))
    defined.create(MANAGED_MODEL, resource(namespace))
    assert until(lambda: [m.target for m in source.models()] == [target])
    reporter.take_in(source.resources())
    reporter.report(Standing(target=target, is_ready=True, champion="3", shares={"3": 100}))
    assert reporter.flush()
    found = defined.read(MANAGED_MODEL, namespace, "flights")

    assert found["status"]["phase"] == "Healthy"
    assert found["status"]["versions"]["champion"] == "3"
    assert {c["type"] for c in found["status"]["conditions"]} == {"Accepted", "Healthy"}
    assert "lastIncident" not in found["status"]
    assert found["metadata"]["generation"] == 1
    assert until(lambda: source.resources()[target].status.get("phase") == "Healthy")
    steps = [{"op": "add", "path": "/spec/rollout/stepsPercent", "value": [10, 100]}]
    changed = defined.patch(MANAGED_MODEL, namespace, "flights", steps)
    assert changed["metadata"]["generation"] == 2
    assert until(lambda: source.models()[0].spec.rollout.steps_percent == (10, 100))
    defined.delete(MANAGED_MODEL, namespace, "flights")
    assert until(lambda: source.models() == [])


def test_what_only_pydantic_refuses_is_told_in_a_condition(
    defined: KubernetesApi, namespace: str, source: ManagedModelResources
) -> None:
    """The API server lets it pass; its owner reads why nothing happens."""
    reporter = StatusReporter(defined, instance="tests", now=lambda: datetime.now(UTC))
    defined.create(MANAGED_MODEL, resource(namespace, rollout={"stepsPercent": [50, 5]}))
    assert until(lambda: len(source.resources()) == 1)
    reporter.take_in(source.resources())
    assert reporter.flush()
    status = defined.read(MANAGED_MODEL, namespace, "flights")["status"]
    [told] = [c for c in status["conditions"] if c["type"] == "Accepted"]

    assert (told["status"], told["reason"]) == ("False", "Invalid")
    assert "stepsPercent" in told["message"]


def test_an_event_is_told_once(defined: KubernetesApi, namespace: str) -> None:
    """As the API server wants it: time, action, reason, reporting controller."""
    made = defined.create(MANAGED_MODEL, resource(namespace))
    about = Regarding(
        kind=MANAGED_MODEL, namespace=namespace, name="flights", uid=made["metadata"]["uid"]
    )
    told = Told(
        key="inc-1/IncidentOpened",
        type="Warning",
        reason="IncidentOpened",
        action="Diagnosing",
        note="quality is degraded " * 100,
    )
    for _ in range(2):
        tell(defined, about, told, instance="tests", now=datetime.now(UTC))
    mine = [e for e in defined.list(EVENT, namespace) if e.get("reason") == "IncidentOpened"]

    assert [e["regarding"]["name"] for e in mine] == ["flights"]


def test_kubectl_shows_how_a_model_is(defined: KubernetesApi, namespace: str) -> None:
    """The columns of `kubectl get managedmodels`: the API server makes the table."""
    defined.create(MANAGED_MODEL, resource(namespace))
    incident = {"id": "inc-7", "status": "open", "openedAt": "2026-01-05T12:00:00Z"}
    told = {"phase": "Repairing", "versions": {"champion": "3"}, "lastIncident": incident}
    defined.patch_status(MANAGED_MODEL, namespace, "flights", told)
    table = defined._client.call_api(
        MANAGED_MODEL.path(namespace),
        "GET",
        header_params={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
        auth_settings=["BearerToken"],
        response_type="object",
        _return_http_data_only=True,
    )
    [row] = table["rows"]
    shown = dict(zip((c["name"] for c in table["columnDefinitions"]), row["cells"], strict=True))

    assert shown.pop("Age")
    assert {name: shown[name] for name in ("Name", "Phase", "Champion", "Incident")} == {
        "Name": "flights",
        "Phase": "Repairing",
        "Champion": "3",
        "Incident": "inc-7",
    }
    assert shown["Autonomy"] == EXAMPLE["spec"]["guardrails"]["autonomy"]
