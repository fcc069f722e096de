"""The kill switch's promises, kept by a ConfigMap in a real API server."""

from __future__ import annotations

import pytest

from tests.promises import test_kill_switch as suite
from tests.promises.test_kill_switch import World, config_map_world
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
    return config_map_world(real_api, namespace)
