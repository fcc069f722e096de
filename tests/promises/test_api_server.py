"""What mendloop relies on of an API server, kept by the stand-in and by real ones alike.

Each claim stands for something in which the stand-in once differed from a real kube-apiserver.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client

from tests.stand_in.api_servers import open_stand_in
from tools.errors import Conflict, Invalid
from tools.istio import Istio
from tools.kubernetes_api import (
    CONFIG_MAP,
    DEPLOYMENT,
    LEASE,
    SERVICE,
    VIRTUAL_SERVICE,
    Kind,
    KubernetesApi,
    NotAsRead,
    NotFound,
)
from tools.kubernetes_cache import WatchedObjects
from tools.kubernetes_kinds import CUSTOM_RESOURCE_DEFINITION
from tools.virtual_service import virtual_service

Body = dict[str, Any]
POD_TEMPLATE = {
    "metadata": {"labels": {"app": "it"}},
    "spec": {"containers": [{"name": "it", "image": "image"}]},
}
SPECS: dict[str, tuple[Kind, Body]] = {
    "Lease": (LEASE, {"holderIdentity": "a", "leaseDurationSeconds": 15}),
    "Service": (SERVICE, {"selector": {"app": "it"}, "ports": [{"port": 80}]}),
    "Deployment": (
        DEPLOYMENT,
        {"selector": {"matchLabels": {"app": "it"}}, "replicas": 0, "template": POD_TEMPLATE},
    ),
}


@dataclass
class World:
    """One namespace, and two who write: mendloop and somebody else."""

    api: KubernetesApi
    namespace: str

    @property
    def somebody(self) -> KubernetesApi:
        """Another program with the same credentials."""
        other = client.ApiClient(self.api._client.configuration)
        other.user_agent = "somebody/1.0"
        return KubernetesApi(other)

    def body(self, name: str = "it", value: str = "1", **meta: Any) -> Body:
        head = {"apiVersion": "v1", "kind": "ConfigMap"}
        named = {"namespace": self.namespace, "name": name, **meta}
        return {**head, "metadata": named, "data": {"a": value}}

    def make(self, kind: str) -> tuple[Kind, Body]:
        """One of these, and what came back."""
        if kind == "VirtualService":
            served = Istio(self.api).of(VIRTUAL_SERVICE)
            route = virtual_service(self.namespace, "it", host="it", version="1", hosts=["it"])
            return served, self.api.create(served, {**route, "apiVersion": served.api_version})
        found, spec = SPECS[kind]
        head = {"apiVersion": found.api_version, "kind": found.kind, "spec": spec}
        meta = {"namespace": self.namespace, "name": "it"}
        return found, self.api.create(found, {**head, "metadata": meta})


def put(path: str, value: Any) -> list[Body]:
    return [{"op": "add", "path": path, "value": value}]


@pytest.fixture
def world() -> Iterator[World]:
    with open_stand_in() as api:
        yield World(api, "default")


def test_answers_say_what_copies_say(world: World) -> None:
    """Without the owners of fields, which copies leave out; the API server keeps them."""
    api, namespace = world.api, world.namespace
    answers = [api.create(CONFIG_MAP, world.body()), api.read(CONFIG_MAP, namespace, "it")]
    answers += api.list(CONFIG_MAP, namespace)
    answers.append(api.patch(CONFIG_MAP, namespace, "it", put("/data/b", "1")))
    answers.append(api.apply(CONFIG_MAP, world.body()))
    assert [body for body in answers if "managedFields" in body["metadata"]] == []
    watched = WatchedObjects(api, CONFIG_MAP, namespace=namespace)
    watched.start()
    try:
        assert watched.await_copies(20)
        assert watched.find(namespace, "it") == api.read(CONFIG_MAP, namespace, "it")
    finally:
        watched.stop()


def test_who_writes_without_applying_owns_what_changed(world: World) -> None:
    """Applying another value is a conflict with that program by name; the same value is none."""
    world.api.apply(CONFIG_MAP, world.body())
    world.somebody.patch(CONFIG_MAP, world.namespace, "it", put("/data/a", "theirs"))

    with pytest.raises(Conflict, match="somebody"):
        world.api.apply(CONFIG_MAP, world.body(value="mine"))
    assert world.api.apply(CONFIG_MAP, world.body(value="theirs"))["data"] == {"a": "theirs"}
    assert world.api.apply(CONFIG_MAP, world.body(value="mine"), force=True)["data"]["a"] == "mine"


def test_who_replaces_without_the_owners_takes_nothing_else(world: World) -> None:
    """What is written without ``managedFields`` leaves the owners of unchanged fields alone."""
    made = world.somebody.create(CONFIG_MAP, world.body())
    world.api.replace(CONFIG_MAP, {**made, "data": {"a": "1", "b": "2"}})

    with pytest.raises(Conflict, match="somebody"):
        world.api.apply(CONFIG_MAP, world.body(value="mine"))


def test_what_only_others_own_stays_when_it_is_no_longer_applied(world: World) -> None:
    """And what was applied alone goes."""
    world.somebody.create(CONFIG_MAP, world.body())
    applied = {**world.body(), "data": {"a": "1", "b": "2"}}
    world.api.apply(CONFIG_MAP, applied)

    left = world.api.apply(CONFIG_MAP, {**world.body(), "data": {}})
    assert left["data"] == {"a": "1"}


def test_an_apply_may_say_what_it_was_decided_on(world: World) -> None:
    """An older revision is a conflict; who sends owners along is refused."""
    made = world.api.apply(CONFIG_MAP, world.body())
    world.api.patch(CONFIG_MAP, world.namespace, "it", put("/data/b", "1"))
    revision = made["metadata"]["resourceVersion"]

    with pytest.raises(Conflict):
        world.api.apply(CONFIG_MAP, world.body(resourceVersion=revision))
    with pytest.raises(Invalid, match="managedFields"):
        world.api.apply(CONFIG_MAP, world.body(managedFields=[]))


def test_a_generation_counts_what_was_wanted(world: World) -> None:
    """Not labels; a Deployment's counts its annotations too; and plain objects have none."""
    made = world.api.create(CONFIG_MAP, world.body())
    assert "generation" not in made["metadata"]
    for kind, path, grows in (
        ("VirtualService", "/metadata/labels", False),
        ("VirtualService", "/metadata/annotations", False),
        ("VirtualService", "/spec/exportTo", True),
        ("Deployment", "/metadata/labels", False),
        ("Deployment", "/metadata/annotations", True),
    ):
        found, before = world.make(kind)
        value = ["."] if path.startswith("/spec") else {"app": "it"}
        after = world.api.patch(found, world.namespace, "it", put(path, value))
        more = after["metadata"]["generation"] - before["metadata"]["generation"]
        world.api.delete(found, world.namespace, "it")
        assert more == int(grows), (kind, path)


def test_labels_that_say_nothing_vanish(world: World) -> None:
    """An empty map is none, whoever wrote it."""
    made = world.api.create(CONFIG_MAP, world.body(labels={}, annotations={}))

    assert {"labels", "annotations"} & set(made["metadata"]) == set()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/metadata/name", "other"),
        ("/metadata/uid", "other"),
        ("/kind", "Other"),
        ("/metadata/labels", {"app": 1}),
        ("/metadata/labels", {"app": "a b"}),
        ("/metadata/annotations", {"app": True}),
    ],
)
def test_what_an_object_is_does_not_change(world: World, path: str, value: Any) -> None:
    """Its name, kind and uid are for good, and labels are words."""
    made = world.api.create(CONFIG_MAP, world.body())

    with pytest.raises((Invalid, Conflict)) as refused:
        world.api.patch(CONFIG_MAP, world.namespace, "it", put(path, value))
    is_bad_request = not isinstance(refused.value, NotAsRead | Conflict)
    assert is_bad_request == path.endswith("name")
    assert world.api.read(CONFIG_MAP, world.namespace, "it") == made


@pytest.mark.parametrize("name", ["Bad", "a_b", "-a", "a..b", "x" * 254])
def test_names_are_those_of_hosts(world: World, name: str) -> None:
    """In lower case, with dots and dashes."""
    with pytest.raises(NotAsRead):
        world.api.create(CONFIG_MAP, world.body(name))
    assert "it" not in [o["metadata"]["name"] for o in world.api.list(CONFIG_MAP, world.namespace)]


@pytest.mark.parametrize("kind", ["Lease", "VirtualService"])
def test_some_kinds_are_only_replaced_by_who_read_them(world: World, kind: str) -> None:
    """Without a revision the write is refused; a ConfigMap may be written so."""
    found, made = world.make(kind)
    blind = {**made, "metadata": {"namespace": world.namespace, "name": "it"}}
    world.api.create(CONFIG_MAP, world.body())

    with pytest.raises(NotAsRead, match="resourceVersion"):
        world.api.replace(found, blind)
    assert world.api.replace(CONFIG_MAP, world.body(value="2"))["data"] == {"a": "2"}


def test_what_is_not_served_is_not_found(world: World) -> None:
    """A kind that a known group lacks, and a status where there is none."""
    world.api.create(CONFIG_MAP, world.body())
    nobodys = Kind(group="apps", version="v1", kind="Nothing", plural="nothings")

    with pytest.raises(NotFound):
        world.api.list(nobodys, world.namespace)
    with pytest.raises(NotFound):
        world.api.patch_status(CONFIG_MAP, world.namespace, "it", {"phase": "Healthy"})


def test_a_definition_has_no_conditions_at_first(world: World) -> None:
    """Null, not an empty list; then it says that it is established."""
    group, kind = f"{uuid.uuid4().hex[:8]}.mendloop.dev", CUSTOM_RESOURCE_DEFINITION
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    head = {"apiVersion": kind.api_version, "kind": kind.kind}
    name = f"things.{group}"
    made = world.api.create(kind, {**head, "metadata": {"name": name}, "spec": spec})
    try:
        assert made["status"]["conditions"] is None
        deadline = time.monotonic() + 20.0
        while not (read := world.api.read(kind, "", name))["status"]["conditions"]:
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)
        assert "Established" in [each["type"] for each in read["status"]["conditions"]]
    finally:
        world.api.delete(kind, "", name)
