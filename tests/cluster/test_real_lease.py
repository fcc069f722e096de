"""The lease port's promises, kept by Leases in a real API server."""

from __future__ import annotations

import pytest

from tests.promises import test_lease as suite
from tests.promises.test_lease import World, cluster_world
from tools.kubernetes_api import KubernetesApi

globals().update(
    {
        name: claim
        for name, claim in vars(suite).items()
        if name.startswith("test_") and "world" in claim.__code__.co_varnames
    }
)


@pytest.fixture
def world(real_api: KubernetesApi, namespace: str) -> World:
    return cluster_world(real_api, namespace)
