"""What readers of a cluster are promised, kept by lists and watches of a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.promises import test_reads as suite
from tests.promises.test_reads import World, reading
from tools.kubernetes_api import KubernetesApi

globals().update(
    {
        name: claim
        for name, claim in vars(suite).items()
        if name.startswith("test_") and "world" in claim.__code__.co_varnames[:1]
    }
)


@pytest.fixture(params=["asked", "watched", "watched, some"])
def world(
    request: pytest.FixtureRequest, real_api: KubernetesApi, namespace: str
) -> Iterator[World]:
    other = KubernetesApi(real_api._client)
    with reading(request.param, real_api, other, namespace) as made:
        yield made
