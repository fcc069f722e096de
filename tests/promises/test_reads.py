"""What everybody who reads a cluster is promised, from the API server itself or from copies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stand_in.api_servers import open_stand_in
from tools.errors import Conflict, Unavailable
from tools.kubernetes_api import CONFIG_MAP, KubernetesApi, NotFound
from tools.kubernetes_cache import Reads, WatchedObjects, WatchedReads

Body = dict[str, Any]
DEADLINE_S = 20.0


@dataclass
class World:
    """One namespace, who reads it, and two who write: the reader's own process and another."""

    reads: Reads
    own: KubernetesApi
    other: KubernetesApi
    namespace: str

    def body(self, name: str, value: str = "1", **labels: str) -> Body:
        meta = {"namespace": self.namespace, "name": name, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": value}}

    def value(self, name: str) -> str:
        """What is read; empty when there is nothing of this name."""
        try:
            return str(self.reads.read(CONFIG_MAP, self.namespace, name)["data"]["a"])
        except NotFound:
            return ""

    def names(self, labels: str) -> list[str]:
        found = self.reads.list(CONFIG_MAP, self.namespace, labels=labels)
        return sorted(body["metadata"]["name"] for body in found)


@contextmanager
def reading(kind: str, own: KubernetesApi, other: KubernetesApi, namespace: str) -> Iterator[World]:
    """``kind``: ``asked`` reads the API server, ``watched`` copies, of all or of some."""
    if kind == "asked":
        yield World(own, own, other, namespace)
        return
    labels = "app" if kind == "watched, some" else ""
    watched = WatchedObjects(own, CONFIG_MAP, namespace=namespace, labels=labels, turn_s=5)
    reads = WatchedReads(own, [watched])
    reads.start()
    try:
        assert reads.await_copies(DEADLINE_S)
        yield World(reads, own, other, namespace)
    finally:
        reads.stop()


@pytest.fixture(params=["asked", "watched", "watched, some"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_stand_in() as api, reading(request.param, api, _sibling(api), "default") as made:
        yield made


def _sibling(api: KubernetesApi) -> KubernetesApi:
    """Another process's connection to the same server."""
    return KubernetesApi(api._client)


def until(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold; a watch is a few milliseconds behind."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.01)
    return True


def test_what_others_do_is_seen(world: World) -> None:
    """An object comes, changes and goes."""
    world.other.create(CONFIG_MAP, world.body("one"))
    assert until(lambda: world.value("one") == "1")
    change = {"op": "replace", "path": "/data/a", "value": "2"}
    world.other.patch(CONFIG_MAP, world.namespace, "one", [change])
    assert until(lambda: world.value("one") == "2")
    world.other.delete(CONFIG_MAP, world.namespace, "one")

    assert until(lambda: world.value("one") == "")


def test_who_wrote_reads_what_it_wrote(world: World) -> None:
    """At once, not when the news comes back; a hundred times, because it is a race."""
    for turn in range(100):
        name = f"mine-{turn % 7}"
        own, value = world.own, str(turn)
        if world.value(name):
            own.patch(
                CONFIG_MAP,
                world.namespace,
                name,
                [{"op": "replace", "path": "/data/a", "value": value}],
            )
        else:
            own.create(CONFIG_MAP, world.body(name, value, owner="me"))
        assert world.value(name) == value
        assert name in world.names("owner=me")
        if turn % 3 == 0:
            own.delete(CONFIG_MAP, world.namespace, name)
            assert world.value(name) == ""
            assert name not in world.names("owner=me")


def test_a_selector_finds_those_that_carry_all_its_labels(world: World) -> None:
    """And an object whose label changes leaves the selection."""
    world.other.create(CONFIG_MAP, world.body("one", app="flights", version="v1"))
    world.other.create(CONFIG_MAP, world.body("two", app="flights", version="v2"))
    world.other.create(CONFIG_MAP, world.body("three", app="fraud", version="v1"))
    assert until(lambda: world.names("app=flights") == ["one", "two"])
    assert until(lambda: world.names("version=v1,app=flights") == ["one"])
    relabel = {"op": "replace", "path": "/metadata/labels/app", "value": "fraud"}
    world.other.patch(CONFIG_MAP, world.namespace, "one", [relabel])

    assert until(lambda: world.names("app=flights") == ["two"])
    assert until(lambda: world.names("app=fraud") == ["one", "three"])
    assert until(lambda: world.names("app") == ["one", "three", "two"])
    assert world.names("app,version=v2") == ["two"]


def test_objects_say_what_they_are(world: World) -> None:
    """Also those of lists, where API servers leave out the kind of what is built in."""
    world.other.create(CONFIG_MAP, world.body("one", app="flights"))
    assert until(lambda: world.names("app=flights") == ["one"])
    [listed] = world.reads.list(CONFIG_MAP, world.namespace, labels="app=flights")

    assert (listed["apiVersion"], listed["kind"]) == ("v1", "ConfigMap")
    assert listed["metadata"]["resourceVersion"]


def test_a_reader_may_change_what_it_got(world: World) -> None:
    """It is the reader's own."""
    world.own.create(CONFIG_MAP, world.body("one"))
    assert until(lambda: world.value("one") == "1")
    world.reads.read(CONFIG_MAP, world.namespace, "one")["data"]["a"] = "changed"

    assert world.value("one") == "1"


def test_what_was_read_may_be_written_once(world: World) -> None:
    """The revision that was read is what a write is tested against."""
    world.other.create(CONFIG_MAP, world.body("one"))
    assert until(lambda: world.value("one") == "1")
    read = world.reads.read(CONFIG_MAP, world.namespace, "one")
    world.own.replace(CONFIG_MAP, {**read, "data": {"a": "2"}})

    with pytest.raises(Conflict):
        world.own.replace(CONFIG_MAP, {**read, "data": {"a": "3"}})
    assert world.value("one") == "2"


def test_other_namespaces_are_not_in_the_list(world: World) -> None:
    """Whatever is watched."""
    world.own.create(CONFIG_MAP, world.body("one", app="flights"))
    assert until(lambda: world.names("app=flights") == ["one"])

    assert world.reads.list(CONFIG_MAP, "kube-public", labels="app=flights") == []


def test_reads_before_the_first_list_are_unknown() -> None:
    """Nothing known is not the same as nothing there."""
    with open_stand_in() as api:
        reads = WatchedReads(api, [WatchedObjects(api, CONFIG_MAP)])

        with pytest.raises(Unavailable, match="not read yet"):
            reads.read(CONFIG_MAP, "default", "one")
