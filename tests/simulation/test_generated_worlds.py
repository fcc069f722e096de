"""Generated worlds: what a fault does is real, time repeats itself by its seed, nothing leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulations.faults import no_fault
from simulations.fleet import FleetWorld
from simulations.law import sigmoid
from simulations.records import DAY_S
from simulations.run import run_scenario
from simulations.scenario import Scenario
from tools.data_files import file_digest
from tools.documents import parse_document
from tools.pipeline_runs import RunPhase, RunRequest
from tools.registry import CHALLENGER


def scenario(
    *faults: dict[str, Any], truth: dict[str, Any] | None = None, **world: Any
) -> Scenario:
    usual = {"duration": "4d", "history": "6d", "population": {"rowsPerHour": 40}}
    body = {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "x"},
        "spec": {
            "description": "d",
            "world": usual | world,
            "faults": list(faults),
            "truth": truth or {"kind": "fault" if faults else "nothing"},
        },
    }
    return parse_document(body, Scenario, source="x.yaml")


def world(folder: Path, *faults: dict[str, Any], seed: int = 0, **changes: Any) -> FleetWorld:
    return FleetWorld(scenario(*faults, **changes), folder, seed=seed, fault=no_fault)


def retrained(made: FleetWorld, folder: Path) -> dict[str, Any]:
    """What a pipeline run on the target's history comes to."""
    site = made.sites[0]
    champion = made.registry.fetch(site.document.spec.model, "1", folder / "fetched")
    history = Path(site.document.spec.data.history)
    arguments = {
        "spec": {"model": site.document.spec.model},
        "data_uri": str(history),
        "data_digest": file_digest(history),
        "champion_artifact": str(champion),
        "alias": CHALLENGER,
    }
    made.runs.submit(RunRequest(pipeline="retrain", arguments=arguments), key="run-1")
    made.advance(3600.0)
    run = made.runs.read("run-1")
    return {"phase": run.phase, **run.outputs}


def test_the_same_seed_gives_the_same_world_and_the_same_decisions() -> None:
    drift = scenario({"kind": "frozen_feed", "onset": "6h"}, duration="1d", history="4d")
    first, again, other = (run_scenario(drift, seed) for seed in (3, 3, 4))

    assert first.score == again.score
    assert first.timeline == again.timeline
    assert first.score.requests != other.score.requests


def test_a_healthy_world_does_no_harm_and_is_left_alone() -> None:
    found = run_scenario(scenario(duration="2d"), 1).score

    assert (found.harm, found.false_actions, found.violations) == (0.0, 0, ())
    assert found.has_passed


def test_harm_is_what_the_true_law_says_and_not_what_was_drawn(tmp_path: Path) -> None:
    """The excess of a moment equals the divergence computed from the law by hand."""
    made = world(tmp_path, {"kind": "concept_drift", "onset": "1d", "size": 2.0})
    site = made.sites[0]
    table, index = site.records.table, site.answered.first
    near = slice(max(index - 50, 0), index + 100)
    before = site.excess("1", site.behaviour("1", 0.0), index)
    made.advance(2 * DAY_S)
    quiet, drifted = site.moments
    assert quiet.until_s == drifted.from_s == DAY_S
    rows = {name: values[near] for name, values in table.arrived.items()}
    believed, true = site.workshop.made["1"].model.chance(rows), table.chance[near]
    loss = -(true * np.log(believed) + (1 - true) * np.log(1 - believed))
    least = -(true * np.log(true) + (1 - true) * np.log(1 - true))

    assert before == pytest.approx(float((loss - least).mean()))
    assert drifted.excess > 10 * max(before, quiet.excess)


def test_a_fitted_model_is_close_to_the_law_and_a_poisoned_one_is_not(tmp_path: Path) -> None:
    made = world(tmp_path)
    site = made.sites[0]
    table, past = site.records.table, slice(0, site.answered.first)
    rows = {name: values[past] for name, values in table.real.items()}
    fitted = site.workshop.made["1"].model
    effect = dict(zip(fitted.means, fitted.weights[1:], strict=False))["weight"]
    assert effect == pytest.approx(1.4, abs=0.25)
    assert site.usual_excess < 0.005

    site.workshop.troubles = ["worse_unseen"]
    outputs = retrained(made, tmp_path)
    worse = site.workshop.made[outputs["version"]].model.chance(rows)
    assert float(np.abs(worse - table.chance[past]).mean()) > 0.15


def test_the_gates_judge_the_fit_for_real(tmp_path: Path) -> None:
    """Wrong labels in training only: the held-out rows show it, and nothing is registered."""
    made = world(tmp_path / "worse")
    made.sites[0].workshop.troubles = ["worse"]
    refused = retrained(made, tmp_path / "worse")
    assert refused["passed"] is False
    assert "log_loss" in refused["refused"][0]

    passed = retrained(world(tmp_path / "good"), tmp_path / "good")
    assert passed["passed"] is True


@pytest.mark.parametrize(
    ("mode", "phase"), [("fails", RunPhase.FAILED), ("preempted", RunPhase.LOST)]
)
def test_a_run_meets_its_trouble(tmp_path: Path, mode: str, phase: RunPhase) -> None:
    made = world(tmp_path, {"kind": "training_fault", "mode": mode})
    made.advance(1.0)
    assert retrained(made, tmp_path)["phase"] is phase


def test_a_frozen_feed_repeats_what_each_depot_had_while_the_truth_goes_on(tmp_path: Path) -> None:
    made = world(tmp_path, {"kind": "frozen_feed", "onset": "1d", "end": "2d"})
    table = made.sites[0].records.table
    frozen = (table.at_s >= DAY_S) & (table.at_s < 2 * DAY_S)
    for depot in ("east", "north", "west"):
        here = frozen & (table.real["depot"] == depot)
        assert len(np.unique(table.arrived["wind"][here].astype(float))) == 1
        assert len(np.unique(table.real["wind"][here].astype(float))) > 3
    assert (table.arrived["wind"][~frozen] == table.real["wind"][~frozen]).all()


def test_faults_of_labels_and_law_compose_in_one_order(tmp_path: Path) -> None:
    """Whatever order a document names them in, the labels are drawn by the law and then spoiled."""
    drift = {"kind": "label_drift", "onset": "0s", "size": 3.0}
    wrong = {"kind": "wrong_labels", "onset": "0s", "share": 0.3}
    tables = [
        world(tmp_path / str(n), *faults).sites[0].records.table
        for n, faults in enumerate(([drift, wrong], [wrong, drift]))
    ]
    assert (tables[0].label == tables[1].label).all()
    after = tables[0].at_s >= 0
    chance = sigmoid(tables[0].law.log_odds(tables[0].real))[after]
    assert chance.mean() > 0.75
    assert tables[0].label[after].mean() == pytest.approx(
        (0.7 * chance + 0.3 * (1 - chance)).mean(), abs=0.03
    )


def test_a_crash_between_change_and_record_leaves_no_trace() -> None:
    faults = (
        {"kind": "release", "onset": "6h"},
        {"kind": "controller_crash", "onset": "1h", "at": "traffic.patch:after"},
    )
    found = run_scenario(scenario(*faults), 0)

    assert found.score.violations == ()
    started = [line for line in found.timeline.lines if "controller-2 started" in line.text]
    assert started
    shifts = [x.text for x in found.timeline.lines if x.lane == "action" and "shift" in x.text]
    assert len(shifts) == len(set(shifts)) == 3


def test_columns_of_no_feed_are_waited_for_and_never_masked() -> None:
    """Nulls where no fallback exists: set aside, nothing changed, over when they are."""
    nulls = {"kind": "null_surge", "features": ["weight"], "onset": "1d", "end": "2d"}
    found = run_scenario(scenario(nulls), 0)

    assert found.score.violations == ()
    assert not [line for line in found.timeline.lines if line.lane == "action"]
    last = [x.text for x in found.timeline.lines if x.lane == "evidence"][-1]
    assert last.startswith("resolved")
