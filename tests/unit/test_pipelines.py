"""The pipeline's definition and its steps as plain functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from pipelines import entry
from pipelines.families import SPACES, candidates
from pipelines.features import MAX_CATEGORIES, frequent_categories, load_step
from pipelines.reference import build_reference
from pipelines.split import split_by_time
from pipelines.steps.evaluate import evaluate
from pipelines.steps.features import features
from pipelines.steps.gate import FAILED, PASSED, gate
from pipelines.steps.ingest import ingest
from pipelines.steps.summarize import keep_report, summarize
from pipelines.steps.train import Sources, train
from pipelines.steps.validate import describe, violations
from simulations.training_rows import small_rows, small_spec
from tools.data_files import pin_table
from tools.errors import Invalid, Refused
from tools.statistics.profile import Profile
from tools.values import canonical_json

ROWS = small_rows(2000)
SPEC = small_spec()
STAND_INS = Path(__file__).parent.parent / "stand_in"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_definition_compiles_to_kubeflow_yaml(tmp_path: Path) -> None:
    """The very definition that the local runner runs; nothing is installed in any step."""
    from kfp import compiler

    from pipelines.retrain import retrain

    path = tmp_path / "retrain.yaml"
    compiler.Compiler().compile(retrain, str(path))
    document = next(yaml.safe_load_all(path.read_text()))
    executors = document["deploymentSpec"]["executors"]
    commands = [" ".join(e["container"]["command"]) for e in executors.values()]

    assert document["pipelineInfo"]["name"] == "retrain"
    assert set(executors) == {
        f"exec-{step}"
        for step in (
            "ingest", "validate", "features", "train", "evaluate", "gate", "register", "summarize",
        )
    }  # fmt: skip
    assert not any("pip install" in command for command in commands)
    parameters = document["root"]["inputDefinitions"]["parameters"]
    optional = {name for name, spec in parameters.items() if spec.get("isOptional")}
    assert optional == {
        "champion_artifact", "champion_digest", "alias", "model_step", "seed", "code_version",
        "changed_at",
    }  # fmt: skip


def test_good_data_breaks_no_rule_and_is_described() -> None:
    """Facts that people and later steps read."""
    found = describe(ROWS.assign(extra=1), SPEC)

    assert violations(ROWS, SPEC) == []
    assert found["rows"] == 2000
    assert found["null_rates"]["wind"] == pytest.approx(0.1, abs=0.03)
    assert found["ranges"]["weight"]["outside"] < 0.01
    assert found["ranges"]["place"] == {"values": 3}
    assert found["ignored_columns"] == ["extra"]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(arrived=1.0), "arrived: known only after the event"),
        (lambda f: f.drop(columns="wind"), "wind: the column is missing"),
        (lambda f: f.drop(columns="late"), "late: the column is missing"),
        (lambda f: f.head(20), "rows: 20, at least 500"),
        (lambda f: f.assign(weight="heavy"), "weight: expected numbers"),
        (lambda f: f.assign(weight=True), "weight: expected numbers"),
        (lambda f: f.assign(weight=np.inf), "weight: holds infinite values"),
        (lambda f: f.assign(weight=None), "weight: every value is missing"),
        (lambda f: f.assign(weight=f["weight"].where(f.index % 5 > 0)), "weight: 20.0% missing"),
        (lambda f: f.assign(place=3), "place: expected text"),
        (lambda f: f.assign(late=2.0), "late: labels must be 0 or 1, got 2.0"),
        (lambda f: f.assign(late=1.0), "late: every label is 1"),
        (lambda f: f.assign(sent="soon"), "sent: expected ISO 8601 times"),
        (lambda f: f.assign(sent=pd.NaT), "sent: 2000 of 2000 times are missing"),
    ],
)
def test_each_broken_rule_is_named(change: Any, message: str) -> None:
    """With its column first, what was found and what was expected."""
    found = violations(change(ROWS), SPEC)

    assert any(text.startswith(message) for text in found), found


def test_a_feed_may_be_missing_altogether() -> None:
    """A nullable column without any value is imputed, not refused."""
    assert violations(ROWS.assign(wind=np.nan, place=None), SPEC) == []


@given(st.integers(500, 3000), st.integers(0, 5))
def test_the_split_never_lets_a_model_see_later_rows(count: int, seed: int) -> None:
    """Training, validation and hold-out follow each other in time and hold every row once."""
    frame = small_rows(count, seed=seed).sample(frac=1, random_state=seed)
    split = split_by_time(frame, SPEC)
    parts = [frame["sent"][mask] for mask in split.masks(frame["sent"])]

    assert sum(len(part) for part in parts) == count
    assert parts[0].max() < parts[1].min() <= parts[1].max() < parts[2].min()
    assert parts[2].max() - parts[2].min() <= SPEC.training.holdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"families": ["random_forest"], "holdout": "90d"}}, "within the hold-out"),
        ({"training": {"families": ["random_forest"], "holdout": "59d"}}, "training part has"),
        ({"training": {"families": ["random_forest"], "holdout": "1m"}}, "hold-out part has"),
    ],
)
def test_a_split_that_means_nothing_is_refused(change: dict[str, Any], message: str) -> None:
    """Before anything is fitted."""
    with pytest.raises(Invalid, match=message):
        split_by_time(ROWS, small_spec(**change))


def test_the_search_takes_families_in_turn_and_no_point_twice() -> None:
    """The same seed gives the same points."""
    points = candidates(sorted(SPACES), 9, np.random.default_rng(1))
    again = candidates(sorted(SPACES), 9, np.random.default_rng(1))
    everything = candidates(["logistic_regression"], 200, np.random.default_rng(1))

    assert points == again
    assert [p.family for p in points[:3]] == sorted(SPACES)
    assert len({json.dumps(p.model_dump(), sort_keys=True) for p in points}) == 9
    assert len(everything) == len(SPACES["logistic_regression"]["C"])
    with pytest.raises(Invalid, match=r"training\.families: unknown family 'oracle'"):
        candidates(["oracle"], 1, np.random.default_rng(1))


def test_rare_categories_get_no_input_of_their_own() -> None:
    """Nor do more than a fixed number of them."""
    common = [f"v{number:03}" for number in range(150) for _ in range(40 + number % 10)]
    frame = pd.DataFrame({"place": [*common, *["rare"] * 15]})
    (known,) = frequent_categories(SPEC.schema_, frame)
    (rare,) = frequent_categories(SPEC.schema_, frame.head(10))

    assert len(known) == MAX_CATEGORIES
    assert "v149" in known
    assert "v010" not in known
    assert "rare" not in known
    assert len(rare) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("odd_steps", "expected module:attribute"),
        ("odd_steps:Gone", "cannot be imported"),
        ("gone:HalveWeights", "cannot be imported"),
        ("odd_steps:NoTransformer", "is no transformer"),
    ],
)
def test_a_wrong_model_step_is_refused(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the argument's name."""
    monkeypatch.syspath_prepend(str(STAND_INS))

    with pytest.raises(Invalid, match=f"model_step: .*{message}"):
        load_step(name)


def test_ingest_keeps_labelled_rows_only(tmp_path: Path) -> None:
    """A label that never came is no label."""
    frame = ROWS.assign(late=ROWS["late"].where(ROWS.index % 10 > 0))
    pin = pin_table(frame, tmp_path)
    rows, report = tmp_path / "rows", tmp_path / "report"
    ingest(pin.uri, pin.digest, SPEC, rows, report)

    assert len(pd.read_parquet(rows)) == 1800
    assert json.loads(report.read_text()) == {
        "uri": pin.uri,
        "digest": pin.digest,
        "rows": 2000,
        "unlabelled": 200,
    }
    with pytest.raises(Invalid, match="data_digest"):
        ingest(pin.uri, "", SPEC, rows, report)
    for broken in (ROWS.drop(columns="late"), ROWS.assign(late=np.nan)):
        other = pin_table(broken, tmp_path)
        with pytest.raises(Invalid, match="late"):
            ingest(other.uri, other.digest, SPEC, rows, report)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every step up to training has run."""
    folder = tmp_path_factory.mktemp("steps")
    pin = pin_table(ROWS, folder)
    ingest(pin.uri, pin.digest, SPEC, folder / "rows", folder / "ingested")
    features(folder / "rows", SPEC, folder / "inputs", folder / "plan")
    sources = Sources(rows=folder / "rows", inputs=folder / "inputs", plan=folder / "plan")
    with threadpool_limits(1):
        train(sources, SPEC, folder / "artifact", folder / "search")
    return folder


def test_the_search_keeps_the_candidate_with_the_least_loss(work: Path) -> None:
    """And says what it tried."""
    found = json.loads((work / "search").read_text())
    losses = [each["log_loss"] for each in found["candidates"]]
    plan = json.loads((work / "plan").read_text())

    assert len(losses) == SPEC.training.search_candidates
    assert found["validation_log_loss"] == min(losses)
    assert found["chosen"]["family"] in SPEC.training.families
    assert found["fitted_rows"] == plan["rows"]["training"] + plan["rows"]["validation"]
    assert plan["categories"]["place"] == ["", "north", "south", "west"]


def test_a_champion_is_scored_on_the_very_same_rows(work: Path) -> None:
    """The same artifact on both sides gives the same figures and passes every comparison."""
    evaluate(
        work / "rows", work / "plan", work / "artifact", SPEC, work / "scored", work / "evaluated",
        champion=work / "artifact",
    )  # fmt: skip
    found = json.loads((work / "evaluated").read_text())
    spec = small_spec(
        gates=[{"metric": "log_loss", "notWorseThanChampionBy": 0, "slices": ["place"]}]
    )

    assert found["models"]["challenger"] == found["models"]["champion"]
    assert gate(work / "scored", spec, work / "gates") == PASSED
    hopeless = small_spec(gates=[{"metric": "accuracy", "minimum": 1.0}])
    assert gate(work / "scored", hopeless, work / "gates") == FAILED
    unknown = small_spec(
        gates=[{"metric": "log_loss", "notWorseThanChampionBy": 0, "slices": ["colour"]}]
    )
    with pytest.raises(Invalid, match="colour"):
        gate(work / "scored", unknown, work / "gates")


def test_a_champion_with_another_digest_is_refused(work: Path) -> None:
    """It is not loaded either."""
    with pytest.raises(Refused, match="does not have digest"):
        evaluate(
            work / "rows", work / "plan", work / "artifact", SPEC, work / "s", work / "e",
            champion=work / "artifact", champion_digest="0" * 64,
        )  # fmt: skip


def test_a_summary_is_complete_whatever_was_reached(tmp_path: Path) -> None:
    """Keys do not depend on how far the run came."""
    empty = summarize(tmp_path / "empty")
    gates = [{"name": "g", "value": 0.5, "limit": 0.6, "passed": False, "detail": "weak"}]
    (tmp_path / "gates").write_text(json.dumps(gates))
    keep_report(tmp_path / "gates", tmp_path / "run", "gates")
    partly = summarize(tmp_path / "run")

    assert set(empty) == set(partly)
    assert empty["passed"] is partly["passed"] is False
    assert partly["refused"] == ["g: 0.5000 against 0.6 (weak)"]
    assert json.loads((tmp_path / "run" / "outputs.json").read_text()) == partly


def test_the_reference_says_what_the_model_expects() -> None:
    """As JSON: its loss, the entropy of its answers, and the distributions of the rows."""
    rng = np.random.default_rng(2)
    probabilities = rng.uniform(0.1, 0.9, len(ROWS))
    labels = ROWS["late"].to_numpy()
    found = build_reference(ROWS, probabilities, labels, SPEC.schema_)
    profile = Profile.model_validate(found["profile"])

    assert canonical_json(found)
    assert found["rows"] == profile.rows == 2000
    assert found["log_loss"] == pytest.approx(log_loss(labels, probabilities))
    assert found["log_loss_deviation"] > 0
    assert found["label_rate"] == pytest.approx(labels.mean())
    assert 0 < found["entropy"] <= np.log(2)
    assert set(profile.features) == set(SPEC.schema_.names)
    assert profile.score is not None
    assert profile.score.mean == pytest.approx(found["mean_probability"])


def test_a_check_of_data_says_what_training_would(tmp_path: Path) -> None:
    """The same sentences as the pipeline's own steps, of the data as it is at that moment."""
    data, spec = tmp_path / "rows.parquet", SPEC.model_dump_json(by_alias=True)
    ROWS.to_parquet(data)
    entry.check_data(str(data), spec)
    ROWS.head(5).to_parquet(data)

    with pytest.raises(Invalid, match="rows: 5, at least"):
        entry.check_data(str(data), spec)
