"""The traffic port's promises, kept by Istio's documents in a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.promises import test_traffic as suite
from tests.promises.test_traffic import World, istio_world
from tests.stand_in.api_servers import watching
from tools.istio import Istio
from tools.kubernetes_api import DESTINATION_RULE, VIRTUAL_SERVICE, KubernetesApi

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
    if request.param == "asked":
        yield istio_world(real_api, namespace)
        return
    istio = Istio(real_api)
    kinds = [istio.of(VIRTUAL_SERVICE), istio.of(DESTINATION_RULE)]
    with watching(real_api, kinds, namespace) as reads:
        yield istio_world(real_api, namespace, reads)
