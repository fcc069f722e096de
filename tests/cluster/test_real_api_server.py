"""What mendloop relies on of an API server, kept by a real one."""

from __future__ import annotations

import pytest

from tests.promises import test_api_server as suite
from tests.promises.test_api_server import World
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
    return World(real_api, namespace)
