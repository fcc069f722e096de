"""What a delivery pipeline asks: train, offer, wait. Everything else is the loop's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.releases import Stage, carried_over, offer, release_of
from orchestrator.training import key_of, trained, training_request
from orchestrator.waiting import until
from simulations.clock import VirtualClock
from simulations.registry import MemoryRegistry
from tools.data_files import content_digest
from tools.documents import load_document
from tools.errors import Refused, Unavailable
from tools.managed_model import ManagedModel
from tools.pipeline_runs import RunPhase, RunState
from tools.registry import CHALLENGER, CHAMPION, GateResult, Registration

MODEL = load_document(
    Path(__file__).parents[2] / "examples" / "flights" / "model.yaml", ManagedModel
)
PASSED = GateResult(name="roc_auc", value=0.8, limit=0.7, passed=True)
Make = Callable[..., MemoryRegistry]


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry(VirtualClock())


@pytest.fixture
def make(registry: MemoryRegistry, tmp_path: Path) -> Callable[..., str]:
    """Registers a version and gives its number."""

    def made(key: str, *, passed: bool = True) -> str:
        folder = tmp_path / key
        folder.mkdir()
        (folder / "model.onnx").write_text(key)
        registration = Registration(
            model="flights",
            artifact=folder,
            data_digest="d" * 64,
            code_version="abc",
            gates=(PASSED.model_copy(update={"passed": passed}),),
            metrics={"log_loss": 0.5},
            parameters={},
            reference={"rows": 5},
        )
        return registry.register(registration, key=key).version

    return made


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    return str(path)


def request(registry: MemoryRegistry, data: str, folder: Path, **changes: object):  # type: ignore[no-untyped-def]
    return training_request(MODEL, registry, data, artifacts=folder, told={}, **changes)  # type: ignore[arg-type]


def test_a_run_is_pinned_to_the_data_and_the_champion_of_the_moment(
    registry: MemoryRegistry, make: Callable[..., str], data: str, tmp_path: Path
) -> None:
    """A file that changes afterwards is refused by the run; the champion is compared by digest."""
    registry.set_alias("flights", CHAMPION, make("first"), key="k")
    asked = request(registry, data, tmp_path / "artifacts", code_version="c1").arguments

    assert asked["data_digest"] == content_digest(data)
    assert asked["champion_digest"] == registry.get("flights", "1").artifact_digest
    assert (Path(asked["champion_artifact"]) / "model.onnx").read_text() == "first"
    assert (asked["alias"], asked["code_version"]) == (CHALLENGER, "c1")


def test_only_the_very_first_version_becomes_champion_by_training(
    registry: MemoryRegistry, make: Callable[..., str], data: str, tmp_path: Path
) -> None:
    """Said explicitly, and refused where there is a champion: later ones have to earn it."""
    with pytest.raises(Refused, match="--first"):
        request(registry, data, tmp_path)
    assert request(registry, data, tmp_path, is_first=True).arguments["alias"] == CHAMPION
    registry.set_alias("flights", CHAMPION, make("first"), key="k")

    with pytest.raises(Refused, match="has a champion already"):
        request(registry, data, tmp_path, is_first=True)


def test_the_same_data_code_and_champion_make_one_run(
    registry: MemoryRegistry, make: Callable[..., str], data: str, tmp_path: Path
) -> None:
    """A pipeline that is started again finds its run; other data or code make another."""
    registry.set_alias("flights", CHAMPION, make("first"), key="k")
    one = key_of(MODEL, request(registry, data, tmp_path / "a", code_version="c1"))
    same = key_of(MODEL, request(registry, data, tmp_path / "b", code_version="c1"))
    other = key_of(MODEL, request(registry, data, tmp_path / "a", code_version="c2"))
    Path(data).write_text("a,b\n1,3\n")
    newer = key_of(MODEL, request(registry, data, tmp_path / "a", code_version="c1"))

    assert one == same
    assert len({one, other, newer}) == 3


def test_the_registry_says_what_came_of_a_run(
    registry: MemoryRegistry, make: Callable[..., str]
) -> None:
    """Not the run itself: no version, a refused one, one that has to wait, and a challenger."""
    done = RunState(key="k2", phase=RunPhase.SUCCEEDED, outputs={"refused": ["roc_auc: 0.6"]})
    assert trained(MODEL, registry, done).reason == "the gates refused it: roc_auc: 0.6"
    version = make("k2")
    waiting = trained(MODEL, registry, done)
    registry.set_alias("flights", CHALLENGER, version, key="k")
    good = trained(MODEL, registry, done)

    assert (waiting.version, waiting.is_good) == (version, False)
    assert (good.alias, good.is_good) == (CHALLENGER, True)
    failed = RunState(key="k2", phase=RunPhase.FAILED, reason="step train failed")
    assert not trained(MODEL, registry, failed).is_good


def test_a_version_is_followed_from_offer_to_promotion_or_back(
    registry: MemoryRegistry, make: Callable[..., str]
) -> None:
    """What the aliases say is what counts."""
    version = make("k1")
    stages = [release_of(MODEL, version, registry).stage]
    offer(MODEL, version, registry)
    stages.append(release_of(MODEL, version, registry).stage)
    registry.set_alias("flights", CHAMPION, version, key="p")
    registry.delete_alias("flights", CHALLENGER, key="p")
    stages.append(release_of(MODEL, version, registry).stage)

    assert stages == [Stage.REGISTERED, Stage.OFFERED, Stage.PROMOTED]
    assert offer(MODEL, version, registry).aliases == (CHAMPION,)


def test_what_did_not_pass_or_would_displace_another_is_not_offered(
    registry: MemoryRegistry, make: Callable[..., str]
) -> None:
    """One challenger at a time, and never one that its gates refused."""
    bad, first, second = make("bad", passed=False), make("k1"), make("k2")
    with pytest.raises(Refused, match="did not pass"):
        offer(MODEL, bad, registry)
    offer(MODEL, first, registry)
    offer(MODEL, first, registry)

    with pytest.raises(Refused, match=f"version {first} of flights is the challenger"):
        offer(MODEL, second, registry)


def test_a_version_is_carried_over_whole_and_once(
    registry: MemoryRegistry, make: Callable[..., str], tmp_path: Path
) -> None:
    """From staging's registry: artifact, gates, reference; nothing is trained again."""
    version, production = make("k1"), MemoryRegistry(VirtualClock())
    one = carried_over(MODEL, version, registry, production, folder=tmp_path / "c")
    two = carried_over(MODEL, version, registry, production, folder=tmp_path / "c")
    there = registry.get("flights", version)

    assert one == two
    assert (one.artifact_digest, one.gates, one.reference) == (
        there.artifact_digest,
        there.gates,
        there.reference,
    )
    with pytest.raises(Refused, match="it stays there"):
        carried_over(MODEL, make("bad", passed=False), registry, production, folder=tmp_path)


class Watch:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_waiting_outlasts_an_outage_and_ends_with_its_time() -> None:
    """Who does not answer says nothing; who never decides is not waited for without end."""
    watch, answers = Watch(), iter([Unavailable("down"), 1, Unavailable("down"), 3])
    told: list[str] = []

    def look() -> int:
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    limits = {"monotonic_s": lambda: watch.now, "sleep": watch.sleep}
    found = until(look, lambda n: n > 2, limit=timedelta(minutes=1), tell=told.append, **limits)  # type: ignore[arg-type]
    assert (found, len(told)) == (3, 2)
    assert until(lambda: 0, bool, limit=timedelta(minutes=1), **limits) is None  # type: ignore[arg-type]
    assert watch.now == pytest.approx(15 + 60)
