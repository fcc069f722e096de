"""The document from which a whole mendloop is put together, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.platform.cluster import ClusterDesks
from orchestrator.platform.connections import Kubernetes
from orchestrator.platform.document import Platform, read_platform
from tools.documents import parse_document
from tools.errors import Invalid

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "platforms"


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "cluster.yaml").read_text(encoding="utf-8"))
    return found


def test_the_example_of_a_cluster_chooses_every_port_of_it() -> None:
    """Nothing of it stands on the pod's own disk but what can be made anew."""
    spec = read_platform(EXAMPLES / "cluster.yaml").spec

    assert spec.traffic.chosen == "istio"
    assert spec.workloads.chosen == "kubernetes"
    assert spec.pipelines.chosen == "kubeflow"
    assert spec.registry.chosen == "mlflow"
    assert spec.metrics.chosen == "prometheus"
    assert spec.prediction_log.chosen == "database"
    assert spec.leases.chosen == "kubernetes"
    assert spec.journal.is_shared


def test_paths_are_taken_from_the_documents_own_folder(tmp_path: Path) -> None:
    """The same document means the same wherever mendloop is started."""
    file = tmp_path / "platform.yaml"
    file.write_text((EXAMPLES / "machine.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    spec = read_platform(file).spec

    assert spec.home == tmp_path / ".mendloop"
    assert spec.models.files == (tmp_path / "../flights/model.yaml",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"traffic": {}}, "spec.traffic: .*exactly one of istio, envoy"),
        ({"traffic": {"istio": {}, "envoy": {}}}, "spec.traffic: .*exactly one of"),
        ({"traffic": {"linkerd": {}}}, "spec.traffic.linkerd: unknown field"),
        ({"traffic": {"envoy": {}}}, "neither reaches the other's servers"),
        ({"kubernetes": None}, "traffic.istio.*expected a section kubernetes"),
        ({"tick": {"every": 10}}, "spec.tick.every: .*with its unit"),
        ({"http": {"port": 99999}}, "spec.http.port: "),
        ({"journal": {"url": "mysql://db/x"}}, "spec.journal.url: .*postgresql://"),
        ({"journal": {"url": "postgresql://me:hunter2@db/x"}}, "spec.journal.url: .*password"),
        ({"alerts": {"webhook": True}}, "spec.alerts: .*tokenFrom"),
        (
            {"leases": {"kubernetes": {"duration": "5s", "margin": "3s"}}},
            "spec.leases.kubernetes: .*less than half",
        ),
        (
            {"registry": {"mlflow": {"trackingUri": "http://m", "username": "me"}}},
            "both username and passwordFrom",
        ),
        ({"metrics": {"prometheus": {"url": "prometheus:9090"}}}, "begins with https://"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    document: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    """No unknown key, no port that nobody chose, no secret in the text."""
    document["spec"] = {**document["spec"], **change}

    with pytest.raises(Invalid) as refused:
        parse_document(document, Platform, source="platform.yaml")

    assert re.search(told, str(refused.value), re.DOTALL)


def test_a_refusal_does_not_repeat_the_password(document: dict[str, Any]) -> None:
    """Whoever put a secret into the document must not find it in the log as well."""
    document["spec"]["journal"] = {"url": "postgresql://me:hunter2@db/x"}

    with pytest.raises(Invalid) as refused:
        parse_document(document, Platform, source="platform.yaml")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("port", ["traffic", "metrics", "journal", "leases", "models"])
def test_no_port_is_chosen_by_being_left_out(document: dict[str, Any], port: str) -> None:
    """A forgotten section must not send a cluster's controller to files of its pod."""
    del document["spec"][port]

    with pytest.raises(Invalid, match=f"spec.{port}: Field required"):
        parse_document(document, Platform, source="platform.yaml")


def test_the_time_limits_of_the_cluster_reach_its_client() -> None:
    """A limit that is written and not kept is worse than none."""
    settings = Kubernetes.model_validate(
        {"url": "http://127.0.0.1:1", "connectTimeout": "250ms", "readTimeout": "2s"}
    )

    assert ClusterDesks(settings).api.timeout_s == (0.25, 2.0)
