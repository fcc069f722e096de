"""Backtests: what is replayed, what is decided, and what may never be looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from orchestrator.cli.home import open_journal
from simulations.backtest import baselines
from simulations.backtest.actions import Served
from simulations.backtest.cli import backtest
from simulations.backtest.deciding import VOLUME
from simulations.backtest.learner import Learner, Stopwatch
from simulations.backtest.loop import SHADOW_LOOKS, Loop
from simulations.backtest.measure import marks
from simulations.backtest.pace import GROWTH
from simulations.backtest.reading import Question, read_recording
from simulations.backtest.recording import Recording, Task
from simulations.backtest.spans import fit_best
from tools.managed_model import ManagedModel
from tools.statistics.task_losses import scale_of

Make = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Writes a file of rows; halfway the relation turns round."""

    def make(rows: int = 1200, *, turns: bool = True, kind: str = "binary", **more: Any) -> Path:
        rng = np.random.default_rng(1)
        frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
        sign = np.where(np.arange(rows) < rows // 2, 1.0, -1.0 if turns else 1.0)
        score = sign * (frame["a"] + frame["b"]) + 0.3 * rng.normal(size=rows)
        frame["y"] = {
            "binary": (score > 0).map({True: "late", False: "in time"}),
            "multiclass": pd.cut(score, [-np.inf, -0.7, 0.7, np.inf], labels=["x", "y", "z"]),
            "regression": score,
        }[kind]
        path = tmp_path / "rows.csv"
        frame.assign(**more).to_csv(path, index=False)
        return path

    return make


def _replay(recording: Recording, model: ManagedModel | None = None) -> Served:
    from simulations.backtest.document import assumed_model

    scale = scale_of(recording.labels[: recording.start], len(recording.classes))
    learner = Learner(recording, Stopwatch())
    return Loop(recording, learner, model or assumed_model(recording), scale).run()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_turn_of_the_world_is_found_and_answered(made: Make, kind: str) -> None:
    """Whatever the task: after the relation turned round, mendloop retrains and serves better."""
    recording = read_recording(Question(str(made(1000, kind=kind)), "y"))
    served = _replay(recording)
    first = Learner(recording, Stopwatch()).fit(slice(0, recording.start))
    begin = recording.rows * 3 // 4
    never = marks(recording, first.predict(begin, recording.rows), begin)
    ours = np.concatenate(served.predicted)[begin - recording.start :]
    sign = -1.0 if kind == "regression" else 1.0

    assert recording.task == kind
    assert served.promotions >= 1
    assert sign * marks(recording, ours, begin).mean() > sign * never.mean() + 0.1


def test_no_prediction_knows_a_label_before_its_time(made: Make) -> None:
    """Changing every label that is not known yet changes no prediction made before."""
    recording = read_recording(Question(str(made(500)), "y", delay_rows=70))
    cut = 300
    hidden = recording.labels.copy()
    known = recording.known(cut)
    hidden[known:] = 1.0 - hidden[known:]
    other = Recording(**{**recording.__dict__, "labels": hidden})

    one, two = (np.concatenate(_replay(r).predicted) for r in (recording, other))
    same = cut - recording.start
    assert np.array_equal(one[:same], two[:same])
    assert not np.array_equal(one[same + 100 :], two[same + 100 :])


def test_a_replay_can_be_repeated(made: Make) -> None:
    """The same file gives the same predictions and the same actions."""
    recording = read_recording(Question(str(made(600)), "y"))
    one, two = _replay(recording), _replay(recording)

    assert np.array_equal(np.concatenate(one.predicted), np.concatenate(two.predicted))
    assert one.actions == two.actions


def test_a_challenger_whose_labels_come_late_is_given_the_same_chance(tmp_path: Path) -> None:
    """Rows still without a label are no trial: with a volume of data of them there from the start,
    it is not sent back at its first look for that."""
    late = 300
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(size=3000), "b": rng.normal(size=3000)})
    frame["y"] = frame["a"] + frame["b"] + 2.0 * rng.normal(size=3000) > 0
    frame.to_csv(tmp_path / "rows.csv", index=False)
    recording = read_recording(Question(str(tmp_path / "rows.csv"), "y", delay_rows=late))
    actions = [a for a in _replay(recording).actions if a.trigger == VOLUME]
    begun = {a.version: a.row for a in actions if a.action == "retrain"}
    judged = [a.row - late - begun[a.version] for a in actions if a.action != "retrain"]

    assert late >= GROWTH * recording.start
    assert min(judged) == SHADOW_LOOKS[0] * recording.window
    assert max(judged) > SHADOW_LOOKS[0] * recording.window


def test_a_document_that_only_observes_changes_nothing(made: Make, tmp_path: Path) -> None:
    """The guardrails of the document rule the replay: on "observe" nothing is retrained."""
    from simulations.backtest.document import assumed_model

    question = Question(str(made(400)), "y")
    document = assumed_model(read_recording(question)).model_dump(mode="json", by_alias=True)
    document["spec"]["guardrails"]["autonomy"] = "observe"
    served = _replay(read_recording(question), ManagedModel.model_validate(document))

    assert served.tried == 0
    assert {a.action for a in served.actions} == {"denied"}
    assert "autonomy" in served.actions[0].reason


def test_json_says_exactly_what_is_documented(made: Make) -> None:
    """Scripts read these names."""
    done = CliRunner().invoke(backtest, [str(made(400)), "--label", "y", "--json"])
    found = json.loads(done.stdout)

    assert set(found) == {
        "rows",
        "task",
        "metric",
        "served",
        "served_by_champion",
        "retrains_tried",
        "fits",
        "promotions",
        "rollbacks",
        "baselines",
        "trivial",
        "actions",
        "fit_s",
        "overhead_s",
        "wall_s",
    }
    assert found["baselines"]["never"]["retrains"] == 0
    assert set(found["trivial"]) == {"repeat the last label", "majority"}


def test_the_report_is_one_page_with_what_was_done(made: Make, tmp_path: Path) -> None:
    """Plots and reasons, no network."""
    folder = tmp_path / "report"
    path = made(400, kind="regression")
    done = CliRunner().invoke(backtest, [str(path), "--label", "y", "--report", str(folder)])
    page = (folder / "index.html").read_text(encoding="utf-8")

    assert done.exit_code == 0, done.output
    assert page.count("<svg") == 2
    assert "src=" not in page
    assert json.loads((folder / "outcome.json").read_text(encoding="utf-8"))["metric"] == "mae"
    with open_journal(folder) as journal:
        events = journal.events()
        assert journal.verify().ok
    opened = [e for e in events if e.kind == "incident.opened"]
    ended = [e for e in events if e.kind in ("incident.resolved", "incident.escalated")]
    assert len(opened) == len(ended) > 0


def test_calendars_and_trivial_rules_stand_beside_it_without_river(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detectors are an extra: without them the table says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(backtest, [str(made(400)), "--label", "y"])

    assert "pip install mendloop[backtest]" in done.output
    assert "every 100 rows" in done.output
    assert "majority" in done.output
    assert "ADWIN" not in done.output


def test_a_detector_retrains_where_its_errors_change(made: Make) -> None:
    """Every detector of river finds the turn, and not before a label can be known."""
    pytest.importorskip("river")
    recording = read_recording(Question(str(made(2000)), "y", delay_rows=50))
    learner = Learner(recording, Stopwatch())
    work = dict(baselines.all_baselines(recording, learner))
    found = work["ADWIN"]()

    assert found.retrains >= 1
    assert min(found.at) > 1050


def test_regression_and_classes_are_told_apart(made: Make) -> None:
    """A number with many values is predicted as a number unless the caller says otherwise."""
    assert read_recording(Question(str(made(kind="regression")), "y")).task is Task.REGRESSION
    assert read_recording(Question(str(made(kind="multiclass")), "y")).task is Task.MULTICLASS


def test_a_retrain_learns_from_the_rows_that_still_say_the_truth(made: Make) -> None:
    """Where the past contradicts the present, only the newest rows are learned from."""
    turned = read_recording(Question(str(made(6000)), "y"))
    watch = Stopwatch()
    learner = Learner(turned, watch)
    fitted = fit_best(learner, scale_of(turned.labels, len(turned.classes)), 5000, turned=3500)
    newest = learner.fit(slice(3000, 5000))

    assert np.array_equal(fitted.predict(5000, 6000), newest.predict(5000, 6000))
    assert (
        watch.fits == 7
    )  # three spans, two at a closer look, the best again, and the one compared with


def test_right_after_a_turn_a_retrain_learns_from_few_rows(made: Make) -> None:
    """What most of the newest 2,000 rows say is over; 500 rows are judged by 100 of them."""
    turned = read_recording(Question(str(made(6000)), "y"))
    learner = Learner(turned, Stopwatch())
    fitted = fit_best(learner, scale_of(turned.labels, len(turned.classes)), 3500, turned=3100)
    newest = learner.fit(slice(3000, 3500))

    assert np.array_equal(fitted.predict(5000, 6000), newest.predict(5000, 6000))
