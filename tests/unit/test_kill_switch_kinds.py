"""What is particular to each kind of kill switch: files, and a ConfigMap."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.kill_switch import STOP_FILE, KillSwitch, Pause
from orchestrator.stop_config_map import NAME, StopConfigMap
from tests.stand_in.kubernetes_api import Cluster, Failure, api_server
from tools.errors import Unavailable
from tools.kubernetes_api import CONFIG_MAP, KubernetesApi

TARGET = "default/flights"
ORDER = Pause(by="kim", reason="fair week")


def test_an_empty_file_stops_everything(tmp_path: Path) -> None:
    """``touch STOP`` on a machine where nothing else works any more."""
    (tmp_path / STOP_FILE).touch()
    found = KillSwitch(tmp_path / STOP_FILE).read(TARGET)

    assert found.active is True
    assert found.reason


def test_a_file_of_other_bytes_stops(tmp_path: Path) -> None:
    """An editor's leftovers are not a reason to go on."""
    (tmp_path / STOP_FILE).write_bytes(b"\x00\xff")

    assert KillSwitch(tmp_path / STOP_FILE).read(TARGET).active is True


def test_a_file_that_cannot_be_read_is_on(tmp_path: Path) -> None:
    """A folder where the file should be stands for every error of the file system."""
    (tmp_path / STOP_FILE).mkdir()
    switch = KillSwitch(tmp_path / STOP_FILE)

    assert switch.read(TARGET).active is True
    assert "cannot be read" in switch.read(TARGET).reason


def test_a_pause_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """The operator must not believe that it is stopped."""
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="nothing is paused"):
        KillSwitch(tmp_path / "file" / STOP_FILE).pause(None, ORDER)


Served = tuple[KillSwitch, Cluster, KubernetesApi]


@pytest.fixture
def served() -> Iterator[Served]:
    with api_server() as (url, cluster):
        api = KubernetesApi.at(url)
        yield KillSwitch(StopConfigMap(api, namespace="mendloop")), cluster, api


def write(api: KubernetesApi, **fields: object) -> None:
    """The ConfigMap as somebody left it."""
    meta = {"namespace": "mendloop", "name": NAME}
    api.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **fields})


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
def test_a_config_map_that_cannot_be_read_is_on(served: Served, code: int) -> None:
    """No answer is no leave to change anything; nor is a missing permission."""
    switch, cluster, _ = served
    cluster.fault = lambda method, path: Failure(code, "Odd", "because")
    found = switch.read(TARGET)

    assert (found.active, found.allows_safe_return) == (True, False)
    assert "kill switch cannot be read" in found.reason
    assert switch.wants_back(TARGET) is False


def test_an_api_server_that_is_gone_stops() -> None:
    """Fail closed."""
    with api_server() as (url, _):
        api = KubernetesApi.at(url)
    switch = KillSwitch(StopConfigMap(api, namespace="mendloop"))

    assert switch.read(TARGET).active is True
    with pytest.raises(Unavailable, match="nothing is paused"):
        switch.pause(None, ORDER)


@pytest.mark.parametrize("key", ["stop", "STOP.flights", "STOP_default_flights", "Stop.All"])
def test_a_mistyped_key_stops_everything(served: Served, key: str) -> None:
    """Who turns a switch at night must not find out that it had another name."""
    switch, _, api = served
    write(api, data={key: ""})

    assert switch.read(TARGET).active is True
    assert key in switch.read("other/model").reason
    switch.resume(None)
    assert switch.read(TARGET).active is False


def test_keys_about_something_else_stop_nothing(served: Served) -> None:
    """The ConfigMap may hold a note."""
    switch, _, api = served
    write(api, data={"README": "write STOP here"})
    assert switch.read(TARGET).active is False
    switch.pause(TARGET, ORDER)
    switch.resume(TARGET)

    assert api.read(CONFIG_MAP, "mendloop", NAME)["data"] == {"README": "write STOP here"}


def test_a_config_map_without_data_stops_nothing(served: Served) -> None:
    """As Helm makes it."""
    switch, _, api = served
    write(api)

    assert switch.read(TARGET).active is False


def test_a_key_that_was_put_there_as_binary_stops(served: Served) -> None:
    """``kubectl create configmap --from-file=STOP`` of any file."""
    switch, _, api = served
    write(api, binaryData={"STOP": base64.b64encode(b"\xff\x00").decode()})

    assert switch.read(TARGET).active is True
    switch.resume(None)
    assert switch.read(TARGET).active is False


def test_pauses_of_many_at_once_are_all_kept(served: Served) -> None:
    """Each reads, adds its own and writes, tested by revision."""
    switch, _, _ = served
    targets = [f"default/model-{n}" for n in range(4)]
    people = [threading.Thread(target=switch.pause, args=(t, ORDER)) for t in targets]
    for person in people:
        person.start()
    for person in people:
        person.join()

    assert switch.paused_targets() == targets
