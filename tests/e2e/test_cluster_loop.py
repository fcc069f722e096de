"""The whole production path: from the custom resource to weights and the promoted alias.

The API server is the stand-in here, a real one in tests/cluster/test_real_loop.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulations.population import CHANGED
from simulations.releases import Release
from tests.stand_in.cluster_stage import NAME, Place, Stage, staged
from tests.stand_in.kubernetes_api import api_server
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_kinds import CONFIG_MAP, DEPLOYMENT, LEASE
from tools.registry import CHAMPION


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with (
        api_server() as (url, _),
        staged(tmp_path, Place(KubernetesApi.at(url), {"url": url})) as found,
    ):
        yield found


def test_a_bad_release_is_found_and_taken_back(stage: Stage) -> None:
    """From the ManagedModel to the weights: deployed, given traffic, found out, undone, told."""
    stage.await_that(lambda: stage.status().get("phase") == "Healthy", "the model is kept")

    assert stage.get("/healthz").status_code == 200
    assert stage.get("/readyz").status_code == 200
    assert stage.shares() == {"1": 100}

    stage.proxies.begin(NAME, "2")
    stage.foundry.submit_challenger(Release(error_rate=0.3))
    stage.await_that(lambda: "2" in stage.shares(), "the challenger gets traffic")
    stage.await_that(lambda: stage.shares() == {"1": 100}, "the traffic goes back")
    stage.await_that(lambda: "undone" in dict(stage.incidents()).values(), "the incident ends")
    stage.await_that(
        lambda: (stage.status().get("lastIncident") or {}).get("outcome") == "undone", "it is told"
    )

    servers = stage.api.list(DEPLOYMENT, stage.models)
    assert [server["metadata"]["name"] for server in servers] == [f"{NAME}-v1"]
    assert applied(stage)["roll_back"] == 1.0
    assert 'outcome="undone"' in stage.metrics()
    assert stage.api.list(LEASE, stage.place.own)
    stage.await_that(
        lambda: bool(
            stage.api.read(CONFIG_MAP, stage.place.own, "mendloop-checkpoints").get("data")
        ),
        "checkpoints are kept off the machine",
    )


def test_a_changed_world_is_met_by_a_new_version(stage: Stage) -> None:
    """Drift: noticed, diagnosed, trained for by a Kubeflow run, given 10, 50, 100 %, promoted."""
    stage.await_that(lambda: stage.status().get("phase") == "Healthy", "the model is kept")
    assert stage.pipelines.runs == []

    stage.foundry.truth = CHANGED
    stage.is_flowing = True
    stage.await_that(lambda: bool(stage.pipelines.runs), "a run is asked for")
    stage.await_that(lambda: "2" in stage.shares(), "the new version gets traffic")
    stage.await_that(lambda: stage.shares() == {"2": 100}, "it serves everybody")
    stage.await_that(lambda: champion(stage) == "2", "it is the champion")
    stage.await_that(lambda: "promoted" in dict(stage.incidents()).values(), "the incident ends")

    assert stage.splits == [{"1": 100}, {"1": 90, "2": 10}, {"1": 50, "2": 50}, {"2": 100}]
    [run] = stage.pipelines.runs
    assert run.runtime_config["parameters"]["run_key"] == run.display_name
    assert run.description.startswith("made by mendloop; request sha256:")
    assert applied(stage)["retrain_full"] == applied(stage)["promote"] == 1.0
    assert (stage.status().get("versions") or {})["champion"] == "2"


def champion(stage: Stage) -> str:
    """Whom the alias names."""
    found = stage.registry.by_alias(NAME, CHAMPION)
    return found.version if found else ""


def applied(stage: Stage) -> dict[str, float]:
    """How often which step was taken, by its tool."""
    found = re.findall(
        r'mendloop_steps_total\{result="applied",tool="(\w+)"\} (\S+)', stage.metrics()
    )
    return {tool: float(count) for tool, count in found}
