"""Copies of checkpoints in a ConfigMap: bounded, contradicted aloud, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.journal.checkpoint import CheckpointFolder
from orchestrator.journal.place_config_map import ConfigMapOfCheckpoints
from orchestrator.journal.places import bring
from orchestrator.journal.settings import ConfigMapPlace
from tests.stand_in.kubernetes_api import Cluster, Failure, api_server
from tools.errors import Invalid, MendloopError, Refused, Unavailable
from tools.kubernetes_api import CONFIG_MAP, KubernetesApi

WHERE = ConfigMapPlace(config_map="mendloop/mendloop-checkpoints", keep=3)
Served = tuple[ConfigMapOfCheckpoints, KubernetesApi, Cluster]


@pytest.fixture
def served() -> Iterator[Served]:
    with api_server() as (url, cluster):
        api = KubernetesApi.at(url)
        yield ConfigMapOfCheckpoints(WHERE, connect=lambda: api), api, cluster


def note(size: int, text: str = "signed") -> tuple[str, str]:
    return f"{size:012d}.checkpoint", f"{text} {size}"


def test_what_is_brought_is_there_for_the_next_process(served: Served) -> None:
    """The newest says how many events the journal had."""
    place, api, _ = served
    assert place.newest() == 0
    place.put([note(2), note(4)])
    place.put([note(4)])

    again = ConfigMapOfCheckpoints(WHERE, connect=lambda: api)
    assert again.newest() == 4
    assert again.notes() == dict([note(2), note(4)])


def test_only_the_newest_stay_and_others_keys_too(served: Served) -> None:
    """An object has a size limit; a person's note beside them is not ours."""
    place, api, _ = served
    place.put([note(2)])
    body = api.read(CONFIG_MAP, "mendloop", "mendloop-checkpoints")
    api.replace(CONFIG_MAP, {**body, "data": {**body["data"], "README": "keep"}})
    place.put([note(size) for size in (4, 6, 8, 10)])

    assert sorted(place.notes()) == [note(size)[0] for size in (6, 8, 10)]
    assert api.read(CONFIG_MAP, "mendloop", "mendloop-checkpoints")["data"]["README"] == "keep"


def test_another_checkpoint_of_the_same_size_is_a_contradiction(served: Served) -> None:
    """One of both was not signed over this journal."""
    place, _, _ = served
    place.put([note(2)])

    with pytest.raises(Refused, match="another checkpoint"):
        place.put([note(2, "forged")])


def test_a_journal_that_was_cut_off_is_told(served: Served, tmp_path: Path) -> None:
    """The ConfigMap knows of more events than the home."""
    place, _, _ = served
    place.put([note(8)])

    with pytest.raises(Refused, match="cut off"):
        bring(place, CheckpointFolder(tmp_path))


@pytest.mark.parametrize(("code", "error"), [(403, Refused), (503, Unavailable)])
def test_a_cluster_that_does_not_take_them_is_told(
    served: Served, code: int, error: type[MendloopError]
) -> None:
    """The courier says it once and tries again."""
    place, _, cluster = served
    cluster.fault = lambda method, path: Failure(code, "Odd", "because")

    with pytest.raises(error, match="because"):
        place.put([note(2)])


def test_without_a_cluster_it_is_tried_again_later() -> None:
    """A journal opens on a laptop too."""

    def nowhere() -> KubernetesApi:
        raise Invalid("no cluster is configured")

    with pytest.raises(Unavailable, match="no cluster"):
        ConfigMapOfCheckpoints(WHERE, connect=nowhere).newest()
