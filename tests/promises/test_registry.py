"""What every adapter of the registry port promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from simulations.clock import VirtualClock
from simulations.registry import MemoryRegistry
from tools.artifact import artifact_digest
from tools.errors import Invalid, Refused
from tools.mlflow_registry import MlflowRegistry
from tools.registry import (
    CHALLENGER,
    CHAMPION,
    Fence,
    FleetRegistry,
    GateResult,
    Registration,
    Registry,
)

PASSED = GateResult(name="log_loss maximum", value=0.4, limit=0.5, passed=True)
FAILED = GateResult(name="roc_auc minimum", value=0.55, limit=0.6, passed=False, detail="weak")
REFERENCE = {"log_loss": 0.4, "profile": {"temp": {"edges": [i / 7 for i in range(20_000)]}}}


class Stage(Protocol):
    """One adapter with the means to damage what it keeps."""

    registry: Registry

    def reopened(self) -> Registry:
        """The same registry, as another process would see it."""

    def damage(self, version: str) -> None:
        """Change a file of the version's artifact."""


class MlflowStage:
    """MLflow on SQLite."""

    def __init__(self, database: Path, artifacts: Path) -> None:
        self.database = database
        self.artifacts = artifacts
        self.registry = self.reopened()

    def reopened(self) -> MlflowRegistry:
        return MlflowRegistry(f"sqlite:///{self.database}", self.artifacts)

    def damage(self, version: str) -> None:
        # The artifacts of earlier tests lie beside it; nobody needs them any more.
        for path in self.artifacts.glob("*/artifacts/model/model.onnx"):
            path.write_bytes(path.read_bytes() + b"!")


class MemoryStage:
    """Everything in memory."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry(VirtualClock())

    def reopened(self) -> MemoryRegistry:
        return self.registry

    def damage(self, version: str) -> None:
        self.registry.artifacts[("flights", version)]["model.onnx"] += b"!"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables, which take seconds to make."""
    folder = tmp_path_factory.mktemp("mlflow")
    MlflowStage(folder / "mlflow.db", folder / "artifacts").registry.versions("none")
    return folder / "mlflow.db"


@pytest.fixture(params=["mlflow", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Every adapter, empty."""
    if request.param == "memory":
        yield MemoryStage()
        return
    database: Path = request.getfixturevalue("database")
    copy = tmp_path / "mlflow.db"
    copy.write_bytes(database.read_bytes())
    yield MlflowStage(copy, database.parent / "artifacts")


Make = Callable[..., Registration]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes registrations whose artifact holds the given bytes."""

    def registration(content: bytes = b"tree", **changes: Any) -> Registration:
        folder = tmp_path / f"artifact-{content.hex()}"
        (folder / "nested").mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(content)
        (folder / "nested" / "schema.json").write_text("{}")
        values: dict[str, Any] = {
            "model": "flights",
            "artifact": folder,
            "data_digest": "d" * 64,
            "code_version": "abc123",
            "gates": (PASSED,),
            "metrics": {"log_loss": 0.4, "rows": 1234.0},
            "parameters": {"family": "random_forest", "max_features": 0.4, "depth": None},
            "reference": REFERENCE,
        }
        return Registration(**values | changes)

    return registration


def test_an_unknown_model_has_no_versions(stage: Stage) -> None:
    """Asking is no error, naming a version that is not there is."""
    registry = stage.registry

    assert registry.versions("flights") == ()
    assert registry.by_alias("flights", CHAMPION) is None
    assert registry.by_run("flights", "run-1") is None
    with pytest.raises(Invalid, match="7"):
        registry.get("flights", "7")


def test_a_version_keeps_everything_that_was_registered(stage: Stage, make: Make) -> None:
    """Also a reference too large for a tag; another process sees the same."""
    wanted = make(gates=(PASSED, FAILED))
    made = stage.registry.register(wanted, key="run-1")

    assert made.model == "flights"
    assert made.version == "1"
    assert made.artifact_digest == artifact_digest(wanted.artifact)
    assert made.data_digest == wanted.data_digest
    assert made.run_key == "run-1"
    assert made.gates == (PASSED, FAILED)
    assert not made.gates_passed
    assert made.metrics == wanted.metrics
    assert made.reference == REFERENCE
    assert made.aliases == ()
    assert stage.reopened().get("flights", "1") == made
    assert stage.reopened().by_run("flights", "run-1") == made


def test_one_key_makes_one_version(stage: Stage, make: Make) -> None:
    """A retried registration returns what the first made."""
    made = stage.registry.register(make(), key="run-1")
    again = stage.reopened().register(make(content=b"other"), key="run-1")
    other = stage.registry.register(make(), key="run-2")

    assert again == made
    assert other.version == "2"
    assert [each.version for each in stage.registry.versions("flights")] == ["1", "2"]


def test_versions_come_oldest_first(stage: Stage, make: Make) -> None:
    """The tenth after the ninth, not after the first."""
    for number in range(11):
        stage.registry.register(make(reference={}), key=f"run-{number}")

    versions = [each.version for each in stage.registry.versions("flights")]
    assert versions == [str(number) for number in range(1, 12)]


def test_an_alias_moves_and_goes(stage: Stage, make: Make) -> None:
    """One version carries it at a time; setting and deleting it are idempotent."""
    registry = stage.registry
    for key in ("run-1", "run-2"):
        registry.register(make(), key=key)
    registry.set_alias("flights", CHAMPION, "1", key="k1")
    registry.set_alias("flights", CHALLENGER, "2", key="k2")
    before = registry.by_alias("flights", CHAMPION)
    registry.set_alias("flights", CHAMPION, "2", key="k3")
    registry.set_alias("flights", CHAMPION, "2", key="k3")
    after = stage.reopened().by_alias("flights", CHAMPION)
    registry.delete_alias("flights", CHALLENGER, key="k4")
    registry.delete_alias("flights", CHALLENGER, key="k4")

    assert before is not None
    assert (before.version, before.aliases) == ("1", (CHAMPION,))
    assert after is not None
    assert (after.version, after.aliases) == ("2", (CHALLENGER, CHAMPION))
    assert registry.by_alias("flights", CHALLENGER) is None
    assert registry.get("flights", "1").aliases == ()
    assert registry.get("flights", "2").aliases == (CHAMPION,)


def test_the_aliases_of_many_are_those_of_each(stage: Stage, make: Make) -> None:
    """One question says the same as one per alias, also after an alias moved."""
    registry = stage.registry
    if not isinstance(registry, FleetRegistry):
        pytest.skip("answers for one model at a time")
    for key in ("run-1", "run-2"):
        registry.register(make(), key=key)
    registry.set_alias("flights", CHAMPION, "1", key="k1")
    before = registry.aliased(["flights", "unknown"])
    registry.set_alias("flights", CHAMPION, "2", key="k2")
    registry.set_alias("flights", CHALLENGER, "1", key="k3")
    after = registry.aliased(["flights"])

    assert before["flights"][CHAMPION].version == "1"
    assert "unknown" not in before
    assert after["flights"] == {
        alias: registry.by_alias("flights", alias) for alias in (CHAMPION, CHALLENGER)
    }


def test_an_alias_needs_a_version(stage: Stage, make: Make) -> None:
    """It never points at nothing."""
    stage.registry.register(make(), key="run-1")

    with pytest.raises(Invalid, match="9"):
        stage.registry.set_alias("flights", CHAMPION, "9", key="k")
    assert stage.registry.by_alias("flights", CHAMPION) is None


def owner(token: int) -> Fence:
    """An owner of the target, by its lease's token."""
    return Fence(target="default/flights", token=token)


def test_a_superseded_owner_moves_no_alias(stage: Stage, make: Make) -> None:
    """Whoever shows a newer token has the aliases; older ones come too late, also for removing."""
    for key in ("run-1", "run-2"):
        stage.registry.register(make(), key=key)
    stage.registry.set_alias("flights", CHAMPION, "1", key="k1", fence=owner(3))
    newer = stage.reopened()
    newer.claim("flights", owner(4))

    with pytest.raises(Refused, match="came too late"):
        stage.registry.set_alias("flights", CHAMPION, "2", key="k2", fence=owner(3))
    with pytest.raises(Refused, match="came too late"):
        stage.registry.delete_alias("flights", CHAMPION, key="k3", fence=owner(3))
    with pytest.raises(Refused, match="came too late"):
        stage.registry.claim("flights", owner(3))
    assert newer.get("flights", "1").aliases == (CHAMPION,)
    newer.set_alias("flights", CHAMPION, "2", key="k4", fence=owner(4))
    assert stage.registry.get("flights", "2").aliases == (CHAMPION,)


def test_a_late_claim_takes_nothing_from_a_newer_owner(stage: Stage, make: Make) -> None:
    """Claiming is idempotent, and an unknown model has nobody to be kept from."""
    stage.registry.claim("flights", owner(7))
    stage.registry.register(make(), key="run-1")
    for token in (5, 7, 12, 12):
        stage.registry.claim("flights", owner(token))

    with pytest.raises(Refused):
        stage.registry.claim("flights", owner(7))
    stage.registry.set_alias("flights", CHAMPION, "1", key="k", fence=owner(12))
    assert stage.registry.get("flights", "1").aliases == (CHAMPION,)


def test_tokens_of_targets_do_not_mix(stage: Stage, make: Make) -> None:
    """Each target's lease counts for itself; people need no token."""
    stage.registry.register(make(), key="run-1")
    stage.registry.claim("flights", owner(9))
    other = Fence(target="staging/flights", token=1)
    stage.registry.set_alias("flights", CHALLENGER, "1", key="k1", fence=other)
    stage.registry.set_alias("flights", CHAMPION, "1", key="by hand")

    assert stage.registry.get("flights", "1").aliases == (CHALLENGER, CHAMPION)


def test_an_artifact_is_fetched_whole(stage: Stage, make: Make, tmp_path: Path) -> None:
    """Into a folder called by its digest; fetching again returns the same folder."""
    made = stage.registry.register(make(), key="run-1")
    folder = stage.registry.fetch("flights", "1", tmp_path / "fetched")

    assert folder == tmp_path / "fetched" / made.artifact_digest
    assert (folder / "nested" / "schema.json").read_text() == "{}"
    assert artifact_digest(folder) == made.artifact_digest
    assert stage.reopened().fetch("flights", "1", tmp_path / "fetched") == folder
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == [made.artifact_digest]


def test_a_damaged_local_copy_is_fetched_anew(stage: Stage, make: Make, tmp_path: Path) -> None:
    """What lies there is checked, not believed."""
    made = stage.registry.register(make(), key="run-1")
    folder = stage.registry.fetch("flights", "1", tmp_path / "fetched")
    (folder / "model.onnx").write_bytes(b"half")

    again = stage.registry.fetch("flights", "1", tmp_path / "fetched")
    assert artifact_digest(again) == made.artifact_digest


def test_a_changed_artifact_is_refused(stage: Stage, make: Make, tmp_path: Path) -> None:
    """Nothing of it stays behind under the digest that it does not have."""
    made = stage.registry.register(make(), key="run-1")
    stage.damage("1")

    with pytest.raises(Refused, match="flights version 1"):
        stage.registry.fetch("flights", "1", tmp_path / "fetched")
    left = tmp_path / "fetched" / made.artifact_digest
    assert not left.exists() or artifact_digest(left) != made.artifact_digest


def test_a_registration_needs_its_artifact_and_a_key(stage: Stage, make: Make) -> None:
    """Nothing is made without them."""
    with pytest.raises(Invalid, match="artifact"):
        stage.registry.register(make(artifact=Path("gone")), key="run-1")
    with pytest.raises(Invalid, match="key"):
        stage.registry.register(make(), key="")
    assert stage.registry.versions("flights") == ()
