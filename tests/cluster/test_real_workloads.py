"""The workloads port's promises, kept by Deployments in a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.promises import test_workloads as suite
from tests.promises.test_workloads import World, world_in
from tests.stand_in.api_servers import skip_unless_served, watching
from tools.kubernetes_api import (
    AUTOSCALER,
    DEPLOYMENT,
    POD,
    POD_DISRUPTION_BUDGET,
    KubernetesApi,
)

globals().update(
    {
        name: claim
        for name, claim in vars(suite).items()
        if name.startswith("test_") and "world" in claim.__code__.co_varnames[:1]
    }
)


@pytest.fixture(params=["asked", "watched"])
def world(
    request: pytest.FixtureRequest, real_api: KubernetesApi, namespace: str
) -> Iterator[World]:
    skip_unless_served(real_api, POD_DISRUPTION_BUDGET, AUTOSCALER)
    if request.param == "asked":
        yield world_in(real_api, namespace)
        return
    with watching(real_api, [DEPLOYMENT, POD], namespace) as reads:
        yield world_in(real_api, namespace, reads)
