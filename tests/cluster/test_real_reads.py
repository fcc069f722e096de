"""What readers of a cluster are promised, kept by lists and watches of a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.promises import test_reads as suite
from tests.promises.test_reads import World, reading
from tools.istio import Istio
from tools.kubernetes_api import CONFIG_MAP, VIRTUAL_SERVICE, Gone, KubernetesApi
from tools.kubernetes_cache import WatchedObjects

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


def test_a_revision_of_long_ago_is_gone(real_api: KubernetesApi, namespace: str) -> None:
    """Said as Gone, in whatever way the API server says it; copies are then read anew. Revision 1
    is older than Istio's definitions, and so than what is remembered of their objects."""
    kind = Istio(real_api).of(VIRTUAL_SERVICE)
    with pytest.raises(Gone):
        list(real_api.watch(kind, namespace, revision="1", timeout_s=5))
    watched = WatchedObjects(real_api, kind, namespace=namespace)
    watched._revision = "1"
    watched.start()
    try:
        assert watched.await_copies(20)
    finally:
        watched.stop()


def test_a_watch_of_nothing_ends_in_time_and_goes_on(
    real_api: KubernetesApi, namespace: str
) -> None:
    """With bookmarks or without: from its last revision nothing is missed."""
    revision = real_api.listing(CONFIG_MAP, namespace).revision
    for change in real_api.watch(CONFIG_MAP, namespace, revision=revision, timeout_s=2):
        assert change.type == "BOOKMARK" or change.body["metadata"]["name"] == "kube-root-ca.crt"
        revision = change.revision
    meta = {"namespace": namespace, "name": "late"}
    real_api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    heard = real_api.watch(CONFIG_MAP, namespace, revision=revision, timeout_s=2)

    assert "late" in [change.body["metadata"].get("name") for change in heard]
