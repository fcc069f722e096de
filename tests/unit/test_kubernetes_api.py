"""What an API server's answers mean to mendloop, and what happens when there is none."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stand_in.kubernetes_api import Cluster, Failure, api_server
from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain
from tools.kubernetes_api import (
    CONFIG_MAP,
    VIRTUAL_SERVICE,
    Exists,
    KubernetesApi,
    NotAsRead,
    NotFound,
)

MAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"namespace": "default", "name": "settings"},
    "data": {"a": "1"},
}


@pytest.fixture
def served() -> Iterator[tuple[KubernetesApi, Cluster]]:
    with api_server() as (url, cluster):
        yield KubernetesApi.at(url), cluster


def test_objects_are_made_read_listed_and_removed(
    served: tuple[KubernetesApi, Cluster],
) -> None:
    """The plain life of an object; removing it twice is no error."""
    api, _ = served
    made = api.create(CONFIG_MAP, MAP)
    api.delete(CONFIG_MAP, "default", "settings")
    api.delete(CONFIG_MAP, "default", "settings")

    assert made["data"] == {"a": "1"}
    assert made["metadata"]["resourceVersion"]
    assert api.list(CONFIG_MAP, "default") == []
    with pytest.raises(NotFound, match="default/settings"):
        api.read(CONFIG_MAP, "default", "settings")


def test_making_what_exists_says_so(served: tuple[KubernetesApi, Cluster]) -> None:
    """A name can be taken once."""
    api, _ = served
    api.create(CONFIG_MAP, MAP)

    with pytest.raises(Exists):
        api.create(CONFIG_MAP, MAP)


def test_replacing_an_older_revision_is_a_conflict(
    served: tuple[KubernetesApi, Cluster],
) -> None:
    """Who read before somebody else wrote must read again."""
    api, _ = served
    made = api.create(CONFIG_MAP, MAP)
    api.replace(CONFIG_MAP, {**made, "data": {"a": "2"}})

    with pytest.raises(Conflict):
        api.replace(CONFIG_MAP, {**made, "data": {"a": "3"}})
    assert api.read(CONFIG_MAP, "default", "settings")["data"] == {"a": "2"}


def test_a_patch_whose_test_fails_changes_nothing(
    served: tuple[KubernetesApi, Cluster],
) -> None:
    """All operations or none."""
    api, _ = served
    api.create(CONFIG_MAP, MAP)

    with pytest.raises(NotAsRead):
        api.patch(
            CONFIG_MAP,
            "default",
            "settings",
            [
                {"op": "replace", "path": "/data/a", "value": "2"},
                {"op": "test", "path": "/metadata/resourceVersion", "value": "0"},
            ],
        )
    assert api.read(CONFIG_MAP, "default", "settings")["data"] == {"a": "1"}


def test_applying_owns_fields_and_meets_their_owners(
    served: tuple[KubernetesApi, Cluster],
) -> None:
    """Server-side apply: what is no longer wanted goes, what somebody else owns is a conflict."""
    api, cluster = served
    api.apply(CONFIG_MAP, {**MAP, "data": {"a": "1", "b": "1"}})
    after = api.apply(CONFIG_MAP, MAP)
    assert after["data"] == {"a": "1"}
    key = ("", "configmaps", "default", "settings")
    theirs = cluster.objects[key]
    theirs["data"]["c"] = "1"
    owner = {"manager": "somebody", "operation": "Apply", "fields": ["data/c"]}
    theirs["metadata"]["managedFields"].append(owner)

    with pytest.raises(Conflict, match="somebody"):
        api.apply(CONFIG_MAP, {**MAP, "data": {"a": "1", "c": "2"}})
    assert api.apply(CONFIG_MAP, MAP)["data"] == {"a": "1", "c": "1"}


@pytest.mark.parametrize(
    ("code", "reading", "writing"),
    [
        (401, Refused, Refused),
        (403, Refused, Refused),
        (404, NotFound, NotFound),
        (409, Conflict, Conflict),
        (422, NotAsRead, NotAsRead),
        (400, Invalid, Invalid),
        (429, Unavailable, Unavailable),
        (500, Unavailable, Uncertain),
        (503, Unavailable, Uncertain),
        (504, Unavailable, Uncertain),
    ],
)
def test_every_answer_says_what_the_caller_may_do(
    served: tuple[KubernetesApi, Cluster],
    code: int,
    reading: type[MendloopError],
    writing: type[MendloopError],
) -> None:
    """A write that met a broken server may have happened; a read may simply be made again."""
    api, cluster = served
    api.create(CONFIG_MAP, MAP)
    cluster.fault = lambda method, path: Failure(code, "Odd", "because")

    with pytest.raises(reading, match="ConfigMap default/settings: because") as read:
        api.read(CONFIG_MAP, "default", "settings")
    with pytest.raises(writing) as written:
        api.apply(CONFIG_MAP, MAP)
    assert type(read.value) is reading
    assert type(written.value) is writing


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Nothing was sent: nothing can have happened, not even by a write."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = KubernetesApi.at(f"http://127.0.0.1:{port}")

    with pytest.raises(Unavailable):
        api.read(CONFIG_MAP, "default", "settings")
    with pytest.raises(Unavailable):
        api.apply(CONFIG_MAP, MAP)


def test_a_group_that_is_not_installed_has_no_versions(
    served: tuple[KubernetesApi, Cluster],
) -> None:
    """Istio may be missing, or be an older one."""
    api, cluster = served
    cluster.groups["networking.istio.io"] = ("v1beta1",)

    assert api.versions("networking.istio.io") == ("v1beta1",)
    assert api.versions("nobody.example") == ()
    with pytest.raises(NotFound):
        api.read(VIRTUAL_SERVICE, "default", "flights")
