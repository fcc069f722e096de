"""`mendloop pause` and `resume` in a cluster: the ConfigMap that every kubectl user can write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from orchestrator.cli.main import cli
from orchestrator.journal import kinds
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.kill_switch import KillSwitch, Pause
from orchestrator.stop_config_map import StopConfigMap
from tests.stand_in.kubernetes_api import Cluster, Failure, api_server
from tools.errors import Unavailable
from tools.kubernetes_api import KubernetesApi

TARGET = "default/flights"


class Place:
    """A document that names a cluster, a ConfigMap in it, and a home."""

    def __init__(self, url: str, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.home, self.file = cluster, folder / "home", folder / "platform.yaml"
        self.home.mkdir()
        spec: dict[str, Any] = {
            "home": str(self.home),
            "kubernetes": {"url": url},
            "models": {"files": []},
            "traffic": {"envoy": {}},
            "workloads": {"processes": {}},
            "pipelines": {"local": {}},
            "registry": {"local": {}},
            "metrics": {"envoy": {}},
            "predictionLog": {"parquet": {}},
            "journal": {},
            "leases": {"files": {}},
            "killSwitch": {"configMap": "mendloop-stop"},
        }
        meta = {"apiVersion": "mendloop.dev/v1alpha1", "kind": "Platform"}
        document = {**meta, "metadata": {"name": "test"}, "spec": spec}
        self.file.write_text(yaml.safe_dump(document), encoding="utf-8")
        api = KubernetesApi.at(url)
        self.switch = KillSwitch(StopConfigMap(api, namespace="mendloop"))

    def say(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--config", str(self.file), "--by", "kim"])

    def journalled(self) -> list[str]:
        journal = SqliteJournal.open_read_only(self.home / "mendloop.db")
        try:
            return [event.kind for event in journal.events()]
        finally:
            journal.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with api_server() as (url, cluster):
        yield Place(url, cluster, tmp_path)


@pytest.mark.parametrize("words", [[TARGET], ["--all"]])
def test_a_pause_stands_in_the_config_map_until_it_is_resumed(
    place: Place, words: list[str]
) -> None:
    """Who and why are there, and in the journal."""
    paused = place.say("pause", *words, "--reason", "fair week")
    found = place.switch.read(TARGET)

    assert paused.exit_code == 0, paused.output
    assert "ConfigMap mendloop/mendloop-stop key STOP" in paused.output
    assert (found.active, found.by, found.reason) == (True, "kim", "fair week")
    resumed = place.say("resume", *words)
    assert resumed.exit_code == 0, resumed.output
    assert place.switch.read(TARGET).active is False
    assert place.journalled() == [kinds.TARGET_PAUSED, kinds.TARGET_RESUMED]


def test_a_pause_that_the_cluster_does_not_take_is_none(place: Place) -> None:
    """Nobody must believe that it is stopped."""
    place.cluster.fault = lambda method, path: Failure(403, "Forbidden", "no")
    paused = place.say("pause", "--all", "--reason", "fair week")

    assert isinstance(paused.exception, Unavailable)
    assert "nothing is paused" in str(paused.exception)


def test_a_stop_in_the_home_ends_with_the_resume_too(place: Place) -> None:
    """Wherever it was given: `touch STOP` in the pod, or kubectl."""
    (place.home / "STOP").touch()
    place.switch.pause(None, Pause(by="lee", reason="moving"))
    resumed = place.say("resume", "--all")

    assert resumed.exit_code == 0, resumed.output
    assert not (place.home / "STOP").exists()
    assert place.switch.read(TARGET).active is False
