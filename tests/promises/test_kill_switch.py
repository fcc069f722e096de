"""Stop means stop: what every kill switch promises, by command and by hand, readable or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.kill_switch import STOP_FILE, AnyOf, KillSwitch, Pause, StopFiles
from orchestrator.stop_config_map import NAME, StopConfigMap
from tests.stand_in.api_servers import open_stand_in
from tools.kubernetes_api import CONFIG_MAP, Exists, KubernetesApi

TARGET = "default/flights"
ORDER = Pause(by="kim", reason="fair week")


@dataclass
class World:
    """A switch, and how people without mendloop turn it on; None for everything."""

    switch: KillSwitch
    by_hand: Callable[[str | None, str], None]


def file_world(folder: Path) -> World:
    """Files in a home."""

    def by_hand(target: str | None, text: str) -> None:
        name = STOP_FILE if target is None else f"{STOP_FILE}.{target.replace('/', '%2F')}"
        (folder / name).write_text(text, encoding="utf-8")

    return World(KillSwitch(folder / STOP_FILE), by_hand)


def config_map_world(api: KubernetesApi, namespace: str) -> World:
    """A ConfigMap in a cluster, written as ``kubectl create`` and ``kubectl patch`` do."""

    def by_hand(target: str | None, text: str) -> None:
        key = "STOP" if target is None else f"STOP.{target.replace('/', '.')}"
        meta = {"namespace": namespace, "name": NAME}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {key: text}}
        try:
            api.create(CONFIG_MAP, body)
        except Exists:
            operation = {"op": "add", "path": f"/data/{key}", "value": text}
            api.patch(CONFIG_MAP, namespace, NAME, [operation])

    return World(KillSwitch(StopConfigMap(api, namespace=namespace)), by_hand)


@contextmanager
def made(kind: str, folder: Path) -> Iterator[World]:
    if kind == "file":
        yield file_world(folder)
        return
    with open_stand_in() as api:
        found = config_map_world(api, "mendloop")
        if kind == "both":
            boards = AnyOf(StopConfigMap(api, namespace="mendloop"), StopFiles(folder / STOP_FILE))
            found = World(KillSwitch(boards), file_world(folder).by_hand)
        yield found


@pytest.fixture(params=["file", "config map", "both"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Nothing is stopped."""
    with made(request.param, tmp_path) as found:
        yield found


def test_nothing_is_stopped_at_first(world: World) -> None:
    """The normal case is known, not unknown."""
    assert world.switch.read(TARGET).active is False
    assert world.switch.paused_targets() == []
    assert world.switch.order(None) is None


@pytest.mark.parametrize("text", ["", "because of the fair\n", "{", "[]", '{"by": 1}', "\x00"])
def test_whatever_is_written_by_hand_stops(world: World, text: str) -> None:
    """Nobody has to write JSON to stop it, and going back is not allowed by accident."""
    world.by_hand(None, text)
    found = world.switch.read(TARGET)

    assert (found.active, found.allows_safe_return) == (True, False)
    assert found.reason


def test_one_target_is_stopped_by_hand(world: World) -> None:
    """The others go on."""
    world.by_hand(TARGET, "the fair")

    assert world.switch.read(TARGET).reason == "the fair"
    assert world.switch.read("default/other").active is False
    assert world.switch.read("other/flights").active is False
    assert world.switch.paused_targets() == [TARGET]


def test_a_pause_says_who_and_why(world: World) -> None:
    """Whoever finds it stopped knows whom to ask; the newest pause stands."""
    world.switch.pause(None, ORDER)
    world.switch.pause(None, ORDER.model_copy(update={"reason": "longer fair"}))
    found = world.switch.read(TARGET)

    assert (found.by, found.reason) == ("kim", "longer fair")
    assert world.switch.order(None) == ORDER.model_copy(update={"reason": "longer fair"})


def test_resuming_everything_leaves_what_was_paused_by_name(world: World) -> None:
    """And may be said twice."""
    world.switch.pause(TARGET, ORDER)
    world.switch.pause(None, ORDER)
    world.switch.resume(None)
    world.switch.resume(None)

    assert world.switch.read(TARGET).reason == "fair week"
    assert world.switch.read("default/other").active is False
    world.switch.resume(TARGET)
    assert world.switch.read(TARGET).active is False


@pytest.mark.parametrize(("everything", "one"), [(True, True), (True, False), (False, True)])
def test_going_back_needs_every_switchs_consent(world: World, everything: bool, one: bool) -> None:
    """Two people stopped it; both must have allowed the undo."""
    world.switch.pause(None, ORDER.model_copy(update={"allows_safe_return": everything}))
    world.switch.pause(TARGET, ORDER.model_copy(update={"allows_safe_return": one}))

    assert world.switch.read(TARGET).allows_safe_return == (everything and one)


def test_going_back_is_wanted_when_everybody_wants_it(world: World) -> None:
    """One who holds outweighs one who wants it undone."""
    back = ORDER.model_copy(update={"in_flight": "go-back"})
    world.switch.pause(TARGET, back)
    assert world.switch.wants_back(TARGET) is True
    world.switch.pause(None, ORDER)

    assert world.switch.wants_back(TARGET) is False
