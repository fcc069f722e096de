"""Models that live in a cluster: followed by a watch, judged one by one, states written back."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.journal.incidents import IncidentSummary
from orchestrator.resources.reporter import StatusReporter
from orchestrator.resources.source import ManagedModelResources
from orchestrator.resources.standing import Standing
from tests.promises.test_reads import until
from tests.stand_in.kubernetes_api import Cluster, Failure, api_server
from tools.custom_resource import managed_model_definition
from tools.errors import Unavailable
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_kinds import CUSTOM_RESOURCE_DEFINITION, EVENT, MANAGED_MODEL

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (ROOT / "examples" / "flights" / "model.yaml").read_text(encoding="utf-8")
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def resource(name: str = "flights", **spec: Any) -> dict[str, Any]:
    body = copy.deepcopy(EXAMPLE)
    body["metadata"] = {"namespace": "default", "name": name}
    body["spec"]["data"]["history"] = "s3://history/flights.parquet"
    body["spec"].update(spec)
    return body


@dataclass
class Stage:
    """A cluster with the definition in it, what is read of it, and who writes back."""

    api: KubernetesApi
    cluster: Cluster
    source: ManagedModelResources
    reporter: StatusReporter
    now: datetime = NOW

    def settled(self, *targets: str) -> bool:
        """Take in what is there; whether it is these."""
        found = self.source.resources()
        self.reporter.take_in(found)
        return set(found) == set(targets)

    def told(self, target: str) -> str:
        """The phase that the watch has told of."""
        return str(self.source.resources()[target].status.get("phase", ""))

    def shows_what_is_written(self) -> bool:
        """Whether the watch has told of the newest status; before, the same is written again."""
        return dict(self.source.resources()["default/flights"].status) == self.status()

    def status(self, name: str = "flights") -> dict[str, Any]:
        found = self.api.read(MANAGED_MODEL, "default", name).get("status") or {}
        return dict(found)

    def condition(self, kind: str, name: str = "flights") -> dict[str, Any]:
        found = {c["type"]: c for c in self.status(name).get("conditions", [])}
        return dict(found.get(kind, {}))

    def writes(self) -> int:
        return sum(path.endswith("/status") for _, path in self.cluster.requests)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with api_server() as (url, cluster):
        api = KubernetesApi.at(url)
        api.create(CUSTOM_RESOURCE_DEFINITION, managed_model_definition())
        source = ManagedModelResources.of(api)
        made = Stage(api, cluster, source, None)  # type: ignore[arg-type]
        made.reporter = StatusReporter(api, instance="controller-1", now=lambda: made.now)
        assert source.start()
        yield made
        source.stop()


def incident(**changed: Any) -> IncidentSummary:
    fields: dict[str, Any] = {
        "id": "inc-1",
        "target": "default/flights",
        "goal": "the served model meets its objectives",
        "trigger": "performance",
        "summary": "quality = degraded",
        "detected_at": NOW.isoformat(),
    }
    return IncidentSummary(**{**fields, **changed})


HEALTHY = Standing(
    target="default/flights",
    facts={"service": "answers", "quality": "meets"},
    champion="3",
    shares={"3": 95, "4": 5},
    challenger="4",
)


def test_models_come_change_and_go(stage: Stage) -> None:
    """As somebody applies, edits and deletes them."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    [model] = stage.source.models()
    assert model.target == "default/flights"
    change = {"op": "add", "path": "/spec/rollout/stepsPercent", "value": [10, 100]}
    stage.api.patch(MANAGED_MODEL, "default", "flights", [change])
    assert until(lambda: stage.source.models()[0].spec.rollout.steps_percent == (10, 100))
    stage.api.delete(MANAGED_MODEL, "default", "flights")

    assert until(lambda: stage.settled())


def test_a_resource_that_only_pydantic_refuses_is_told_so_and_hurts_no_other(stage: Stage) -> None:
    """The field's path stands in the condition; the others are looked after."""
    stage.api.create(MANAGED_MODEL, resource("good"))
    stage.api.create(MANAGED_MODEL, resource("bad", rollout={"stepsPercent": [50, 5, 100]}))
    assert until(lambda: stage.settled("default/good", "default/bad"))
    assert stage.reporter.flush()
    told = stage.condition("Accepted", "bad")

    assert [model.metadata.name for model in stage.source.models()] == ["good"]
    assert (told["status"], told["reason"]) == ("False", "Invalid")
    assert "spec.rollout.stepsPercent" in told["message"]
    assert "rising percentages" in told["message"]
    assert told["observedGeneration"] == 1
    assert stage.status("bad")["phase"] == "Unknown"
    assert stage.status("good") == {}


def test_a_corrected_resource_is_taken_up(stage: Stage) -> None:
    """And one that is broken later leaves the fleet: its old words are not what its owner says."""
    stage.api.create(MANAGED_MODEL, resource(rollout={"stepsPercent": [50, 5, 100]}))
    assert until(lambda: stage.settled("default/flights"))
    assert stage.source.models() == []
    good = {"op": "replace", "path": "/spec/rollout/stepsPercent", "value": [5, 100]}
    stage.api.patch(MANAGED_MODEL, "default", "flights", [good])
    assert until(lambda: len(stage.source.models()) == 1)
    bad = {"op": "replace", "path": "/spec/rollout/stepsPercent", "value": [100, 5]}
    stage.api.patch(MANAGED_MODEL, "default", "flights", [bad])

    assert until(lambda: stage.source.models() == [])


def test_a_model_that_is_kept_by_its_former_spec_says_both(stage: Stage) -> None:
    """Somebody breaks the document of a healthy model: not accepted, and healthy; no flapping."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    stage.reporter.report(HEALTHY)
    assert stage.reporter.flush()
    assert until(stage.shows_what_is_written)
    broken = {"op": "add", "path": "/spec/rollout/stepsPercent", "value": [50, 5]}
    stage.api.patch(MANAGED_MODEL, "default", "flights", [broken])
    assert until(lambda: stage.source.models() == [])
    for _ in range(4):
        assert stage.settled("default/flights")
        stage.reporter.report(HEALTHY)
        assert stage.reporter.flush()
        assert until(stage.shows_what_is_written)

    assert stage.writes() == 2
    assert stage.status()["phase"] == "Healthy"
    assert "works by the spec before: spec.rollout.stepsPercent" in stage.status()["message"]
    assert stage.condition("Accepted")["status"] == "False"
    assert stage.condition("Healthy")["status"] == "True"
    mended = {"op": "replace", "path": "/spec/rollout/stepsPercent", "value": [5, 100]}
    stage.api.patch(MANAGED_MODEL, "default", "flights", [mended])
    assert until(lambda: len(stage.source.models()) == 1)
    assert stage.settled("default/flights")
    stage.reporter.report(HEALTHY)
    assert stage.reporter.flush()
    assert stage.condition("Accepted")["status"] == "True"
    assert stage.status()["message"] == ""


def test_a_relative_path_is_refused(stage: Stage) -> None:
    """A custom resource lies in no folder."""
    stage.api.create(MANAGED_MODEL, resource(data={"history": "history.parquet"}))
    assert until(lambda: stage.settled("default/flights"))

    [found] = stage.source.resources().values()
    assert "spec.data.history" in found.problem


def test_the_state_is_written_back_for_kubectl(stage: Stage) -> None:
    """Phase, versions, conditions; the spec is left alone."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    stage.reporter.report(HEALTHY)
    assert stage.reporter.flush()

    status = stage.status()
    assert status["phase"] == "Healthy"
    assert status["versions"] == {
        "champion": "3",
        "challenger": "4",
        "stablePercent": 95,
        "canaryPercent": 5,
    }
    assert stage.condition("Healthy")["lastTransitionTime"] == "2026-03-01T12:00:00Z"
    assert stage.api.read(MANAGED_MODEL, "default", "flights")["metadata"]["generation"] == 1


def test_only_what_changed_is_written(stage: Stage) -> None:
    """A quiet fleet writes nothing, tick after tick, and a restarted controller nothing either."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    for _ in range(5):
        stage.reporter.report(HEALTHY)
        assert stage.reporter.flush()
    assert stage.writes() == 1
    assert until(
        lambda: stage.source.resources()["default/flights"].status.get("phase") == "Healthy"
    )
    stage.now += timedelta(hours=1)
    again = StatusReporter(stage.api, instance="controller-2", now=lambda: stage.now)
    again.take_in(stage.source.resources())
    again.report(HEALTHY)
    assert again.flush()

    assert stage.writes() == 1
    assert stage.condition("Healthy")["lastTransitionTime"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("code", [403, 409, 422, 429, 500, 503])
def test_a_status_that_cannot_be_written_is_kept_and_overtaken(stage: Stage, code: int) -> None:
    """Nothing is raised; the newest is written once the API server takes it."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    failure = Failure(code, "Odd", "because")
    stage.cluster.fault = lambda method, path: failure if path.endswith("/status") else None
    stage.reporter.report(HEALTHY)
    assert stage.reporter.flush() is False
    stage.reporter.report(HEALTHY.model_copy(update={"trouble": "Prometheus is silent"}))
    assert stage.reporter.flush() is False
    stage.cluster.fault = lambda method, path: None

    assert stage.reporter.flush()
    assert stage.status()["phase"] == "Unknown"
    assert stage.status()["message"] == "Prometheus is silent"


def test_one_refused_status_does_not_hold_up_the_others(stage: Stage) -> None:
    """A namespace where mendloop may not write is that namespace's trouble."""
    for name in ("one", "two"):
        stage.api.create(MANAGED_MODEL, resource(name))
    assert until(lambda: stage.settled("default/one", "default/two"))
    forbidden = Failure(403, "Forbidden", "no")
    stage.cluster.fault = lambda method, path: forbidden if "/one/" in path else None
    for name in ("one", "two"):
        stage.reporter.report(HEALTHY.model_copy(update={"target": f"default/{name}"}))

    assert stage.reporter.flush() is False
    assert stage.status("two")["phase"] == "Healthy"


def test_a_resource_that_is_gone_gets_no_status(stage: Stage) -> None:
    """Deleted between the look and the writing: no error, and no resource made."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    stage.reporter.report(HEALTHY)
    stage.api.delete(MANAGED_MODEL, "default", "flights")

    assert stage.reporter.flush()
    assert stage.api.list(MANAGED_MODEL, "default") == []
    assert until(lambda: stage.settled())
    stage.reporter.report(HEALTHY)
    assert stage.reporter.flush()


def test_incidents_are_told_as_events_once(stage: Stage) -> None:
    """Opened and closed; what an API server may have taken is sent again, and is there once."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    opened = HEALTHY.model_copy(update={"incident": incident(), "open_incidents": 1})
    stage.reporter.report(opened)
    stage.cluster.fault = lambda method, path: (
        Failure(500, "Odd", "because") if "/events" in path else None
    )
    assert stage.reporter.flush() is False
    stage.cluster.fault = lambda method, path: None
    closed = incident(status="escalated", outcome="escalated", resolved_at=NOW.isoformat())
    for _ in range(3):
        stage.reporter.report(opened)
        stage.reporter.report(HEALTHY.model_copy(update={"incident": closed}))
        assert stage.reporter.flush()

    events = stage.api.list(EVENT, "default")
    uid = stage.api.read(MANAGED_MODEL, "default", "flights")["metadata"]["uid"]
    assert sorted((e["reason"], e["type"]) for e in events) == [
        ("IncidentEscalated", "Warning"),
        ("IncidentOpened", "Warning"),
    ]
    assert {e["regarding"]["uid"] for e in events} == {uid}
    assert all(e["eventTime"] and e["action"] and e["reportingInstance"] for e in events)
    assert stage.status()["lastIncident"]["status"] == "escalated"


def test_an_incident_of_long_ago_is_no_event(stage: Stage) -> None:
    """A controller that restarts does not ring the bells of last week."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    old = (NOW - timedelta(days=7)).isoformat()
    ended = incident(status="resolved", outcome="promoted", detected_at=old, resolved_at=old)
    stage.reporter.report(HEALTHY.model_copy(update={"incident": ended}))
    assert stage.reporter.flush()

    assert stage.api.list(EVENT, "default") == []
    assert stage.status()["lastIncident"]["outcome"] == "promoted"


def test_writing_goes_on_beside_the_loop(stage: Stage) -> None:
    """Started, told and stopped: what was told last is there."""
    stage.api.create(MANAGED_MODEL, resource())
    assert until(lambda: stage.settled("default/flights"))
    stage.reporter.start()
    stage.reporter.report(HEALTHY)
    assert until(lambda: stage.status().get("phase") == "Healthy")
    stage.reporter.report(HEALTHY.model_copy(update={"is_taken_over": True}))
    began_s = time.monotonic()
    stage.reporter.stop()

    assert time.monotonic() - began_s < 5.0
    assert stage.status()["phase"] == "TakenOver"


def test_a_broken_watch_is_no_empty_fleet(stage: Stage) -> None:
    """Whoever reads it keeps the models it has."""
    unread = ManagedModelResources.of(stage.api)

    with pytest.raises(Unavailable):
        unread.models()
