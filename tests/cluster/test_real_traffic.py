"""The traffic port's promises, kept by Istio's documents in a real API server."""

from __future__ import annotations

import pytest

from tests.promises import test_traffic as suite
from tests.promises.test_traffic import World, istio_world
from tools.kubernetes_api import KubernetesApi

globals().update(
    {
        name: claim
        for name, claim in vars(suite).items()
        if name.startswith("test_") and "world" in claim.__code__.co_varnames[:1]
    }
)


@pytest.fixture
def world(real_api: KubernetesApi, namespace: str) -> World:
    return istio_world(real_api, namespace)
