"""Old rows of a prediction log: archived into the history, then pruned, and trained on once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from agents.data_validator.pinning import training_rows
from agents.memory import TargetMemory
from agents.ports import Desk
from infra.embedded.home import Home
from orchestrator.cli.main import cli
from orchestrator.journal import kinds
from orchestrator.journal.payloads import MemorySaved
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.log_archive import LogArchive, Pruned, needed
from simulations.clock import VirtualClock
from simulations.population import parcels_model
from tests.stand_in.postgres import PASSWORD
from tools.data_files import read_table
from tools.errors import Invalid, Refused, Unavailable
from tools.log_parts import append_labels, append_predictions, shadow_of, target_folder
from tools.log_queries import OWN
from tools.managed_model import ManagedModel
from tools.parquet_log import ParquetPredictionLog
from tools.parquet_retention import ParquetRetention
from tools.postgres import Database
from tools.postgres_log import SCHEMA, PostgresLogWriter

BEGAN = datetime.fromisoformat("2026-01-01")
AGE = timedelta(days=100)
SPANS = [{"feed": "scale", "start": "2026-02-01T00:00:00", "end": "2026-02-03T00:00:00"}]


class Place:
    """A home with a history that ends where a log of 300 days begins."""

    def __init__(self, folder: Path, *, memory: TargetMemory | None = None) -> None:
        self.folder, self.home = folder, Home(folder / "home").prepare()
        self.history = folder / "history.parquet"
        self.memory = memory or TargetMemory()
        parcels(BEGAN - timedelta(days=30), days=30, seed=0).rename(
            columns={"event_time": "sent"}
        ).to_parquet(self.history, index=False)
        logged = parcels(BEGAN, days=300, seed=1)
        predictions = logged.assign(
            request_id=[f"r{number}" for number in range(len(logged))],
            version="1",
            probability=0.5,
            masked=[()] * len(logged),
        )
        target = self.model().target
        for part in np.array_split(np.arange(len(logged)), 7):
            rows = predictions.iloc[part]
            append_predictions(
                target_folder(self.home.predictions, target), rows.drop("late", axis=1)
            )
            known = rows[rows["late"].notna()]
            labels = known[["request_id"]].assign(
                label=known["late"].astype(float), known_at=known["event_time"] + timedelta(hours=6)
            )
            append_labels(target_folder(self.home.labels, target), labels)
        copies = predictions.head(40).drop("late", axis=1)
        append_predictions(target_folder(self.home.predictions, shadow_of(target)), copies)
        journal = SqliteJournal(self.home.journal)
        journal.append(
            kinds.MEMORY_SAVED,
            at=VirtualClock().now(),
            actor="monitor",
            target=target,
            payload=MemorySaved(memory=self.memory.model_dump(mode="json")),
        )
        journal.close()

    def model(self, history: Path | None = None) -> ManagedModel:
        return parcels_model(str(history or self.history))

    def log(self) -> ParquetPredictionLog:
        return ParquetPredictionLog(self.home.predictions, self.home.labels)

    def archive(self, history: Path | None = None) -> LogArchive:
        where = str(history or self.history)
        return LogArchive(self.model(history), where, self.log(), self.memory)

    def retention(self) -> ParquetRetention:
        return ParquetRetention(self.home.predictions, self.home.labels)

    def trained_on(self, history: Path | None = None, scope: str = "full") -> pd.DataFrame:
        desk = SimpleNamespace(log=self.log(), history=str(history or self.history))
        rows = training_rows(cast(Desk, desk), self.model(history), self.memory, scope=scope)
        return rows.sort_values(list(rows.columns), ignore_index=True)

    def run(self, command: str, *options: str, history: Path | None = None) -> Result:
        document = self.folder / "model.yaml"
        dumped = self.model(history).model_dump(mode="json", by_alias=True, exclude_unset=True)
        document.write_text(yaml.safe_dump(dumped), encoding="utf-8")
        order = ["prediction-log", command, str(document), *options, "--home", str(self.home.root)]
        return CliRunner().invoke(cli, order)


def noted(going: Pruned) -> None:
    """What is about to go, written down for nobody."""


def parcels(start: datetime, *, days: int, seed: int) -> pd.DataFrame:
    """Twenty parcels a day; every tenth label never comes."""
    rng = np.random.default_rng(seed)
    count = days * 20
    return pd.DataFrame(
        {
            "event_time": pd.Series(
                start + pd.to_timedelta(np.sort(rng.uniform(0, days * 24, count)), unit="h")
            ).astype("datetime64[us]"),
            "weight": rng.uniform(0, 60, count),
            "wind": rng.normal(5, 2, count),
            "rain": rng.exponential(1, count),
            "depot": rng.choice(["north", "south"], count),
            "late": np.where(np.arange(count) % 10 == 0, np.nan, rng.integers(0, 2, count)),
        }
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("scope", ["full", "recent"])
@pytest.mark.parametrize("spans", [[], SPANS], ids=["trusted", "with a fault"])
def test_training_takes_the_same_rows_at_every_step(
    tmp_path: Path, spans: list[dict[str, Any]], scope: str
) -> None:
    """Archived, named in the document, pruned: in whatever state it is, each row counts once."""
    place = Place(tmp_path, memory=TargetMemory.model_validate({"spans": spans}))
    before = place.trained_on(scope=scope)
    file = tmp_path / "archive.parquet"

    done = place.archive().archive(AGE, str(file))
    pd.testing.assert_frame_equal(place.trained_on(scope=scope), before)
    pd.testing.assert_frame_equal(place.trained_on(file, scope), before)
    gone = place.archive(file).prune(place.retention(), AGE, forget=False, record=noted)
    pd.testing.assert_frame_equal(place.trained_on(file, scope), before)

    assert done.history_rows + done.logged_rows == len(read_table(str(file)))
    assert gone.rows > 3_900
    assert gone.shadow_rows == 40
    again = place.archive(file).archive(timedelta(days=80), str(tmp_path / "next.parquet"))
    assert again.logged_rows > 300
    pd.testing.assert_frame_equal(place.trained_on(tmp_path / "next.parquet", scope), before)


def test_rows_that_training_uses_are_not_pruned(place: Place) -> None:
    """Neither with the old document nor once an archive ends too early; only when told so."""
    before = place.log().extent(place.model().target)
    with pytest.raises(Refused, match=r"rows since 2026-01-01 .*--forget"):
        place.archive().prune(place.retention(), AGE, forget=False, record=noted)
    file = place.folder / "archive.parquet"
    place.archive().archive(timedelta(days=200), str(file))
    with pytest.raises(Refused, match="labelled rows since 2026-04-1"):
        place.archive(file).prune(place.retention(), AGE, forget=False, record=noted)
    assert place.log().extent(place.model().target) == before

    told = place.archive().prune(place.retention(), AGE, forget=True, record=None)
    assert place.log().extent(place.model().target) == before
    gone = place.archive().prune(place.retention(), AGE, forget=True, record=noted)

    assert gone == told
    after = place.log().extent(place.model().target)
    assert (after.rows, after.labels) == (before.rows - gone.rows, before.labels - gone.labels)


def test_what_the_evidence_looks_back_to_stays(place: Place) -> None:
    """Sixty windows, a month, what a recent retrain takes, and labels that still come."""
    assert needed(place.model()) == timedelta(days=61)
    with pytest.raises(Invalid, match=r"--older-than.*at least 61d"):
        place.archive().prune(place.retention(), timedelta(days=60), forget=True, record=noted)
    long = parcels_model("h", evidence={"window": "7d"})
    assert needed(long) == timedelta(days=421)


def test_a_history_with_time_zones_is_read_as_utc(place: Place) -> None:
    """A file that says its zone is no reason to train on rows twice, or to fail."""
    before = place.trained_on()
    zoned = place.folder / "zoned.parquet"
    frame = pd.read_parquet(place.history)
    frame["sent"] = frame["sent"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    frame.to_parquet(zoned, index=False)
    pd.testing.assert_frame_equal(place.trained_on(zoned), before)


def test_what_is_not_there_is_no_empty_log(place: Place) -> None:
    """A home that was mistyped, and a history whose times are none."""
    place.home = Home(place.folder / "nowhere")
    assert "no home folder" in str(place.run("show").exception)
    frame = pd.read_parquet(place.history)
    frame.assign(sent="noon").to_parquet(place.history, index=False)
    with pytest.raises(Invalid, match="no times in sent"):
        place.trained_on()


def test_the_commands_do_it(place: Place) -> None:
    """As docs/production.md says it, with what people read and programs parse."""
    file = place.folder / "archive.parquet"
    shown = place.run("show")
    assert "6,000 rows, 5,400 with a label" in shown.output
    assert "the newest 61 days are needed" in shown.output
    assert json.loads(place.run("show", "--json").output)["rows"] == 6_000

    assert isinstance(place.run("prune", "--older-than", "100d").exception, Refused)
    archived = place.run("archive", "--older-than", "100d", "--output", str(file))
    assert "540 rows of the history" in archived.output
    would = place.run("prune", "--older-than", "100d", "--dry-run", history=file)
    assert "would go" in would.output
    pruned = place.run("prune", "--older-than", "100d", "--json", "--by", "alice", history=file)
    gone = json.loads(pruned.output)
    assert json.loads(place.run("show", "--json").output)["rows"] == 6_000 - gone["rows"]
    journal = SqliteJournal(place.home.journal)
    [event] = journal.events(kinds=[kinds.PREDICTIONS_PRUNED])
    journal.close()
    assert (event.actor, event.target) == ("alice", place.model().target)
    assert event.payload["rows"] == gone["rows"]
    again = place.run("prune", "--older-than", "100d", history=file)
    assert "0 rows" in again.output


def test_nothing_goes_that_could_not_be_recorded(place: Place) -> None:
    """The journal's disk is full: the log keeps every row."""
    before = place.log().extent(place.model().target)

    def full(going: Pruned) -> None:
        raise Unavailable("the disk is full")

    with pytest.raises(Unavailable):
        place.archive().prune(place.retention(), AGE, forget=True, record=full)
    assert place.log().extent(place.model().target) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("prune", "--older-than", "soon"), "--older-than"),
        (("archive", "--older-than", "100d", "--output", "rows.xlsx"), "unknown format"),
        (("archive", "--older-than", "100d", "--output", "HISTORY"), "the history itself"),
        (("archive", "--older-than", "4000d", "--output", "FOLDER/a.parquet"), ""),
    ],
)
def test_mistakes_are_named_and_change_nothing(
    place: Place, options: tuple[str, ...], message: str
) -> None:
    """An age that is none, a file that nobody can write or that is the history; none old enough."""
    before = place.history.read_bytes(), place.log().extent(place.model().target)
    told = [
        o.replace("HISTORY", str(place.history)).replace("FOLDER", str(place.folder))
        for o in options
    ]
    found = place.run(*told)
    if message:
        assert isinstance(found.exception, Invalid)
        assert message in str(found.exception)
    else:
        assert "and 0 of the log" in found.output
    assert (place.history.read_bytes(), place.log().extent(place.model().target)) == before


def test_the_commands_do_it_with_a_platform_on_postgresql(place: Place, postgres_url: str) -> None:
    """A login that may not delete is told so, and takes nothing."""
    copied_to_postgres(place, postgres_url)
    file, config = place.folder / "archive.parquet", place.folder / "platform.yaml"
    config.write_text(yaml.safe_dump(on_postgres(place, postgres_url)), encoding="utf-8")
    age = ("--older-than", "100d", "--config", str(config))
    own, everything = Database(postgres_url, search_path=SCHEMA), f"ALL TABLES IN SCHEMA {SCHEMA}"

    assert place.run("archive", *age, "--output", str(file)).exit_code == 0
    would = json.loads(place.run("prune", *age, "--dry-run", "--json", history=file).output)
    with own.connection() as connection:
        connection.execute(f"REVOKE DELETE ON {everything} FROM CURRENT_USER".encode())
    refused = place.run("prune", *age, history=file).exception
    assert isinstance(refused, Refused)
    assert "permission denied" in str(refused)
    assert "6,000 rows" in place.run("show", "--config", str(config)).output
    with own.connection() as connection:
        connection.execute(f"GRANT DELETE ON {everything} TO CURRENT_USER".encode())
    gone = json.loads(place.run("prune", *age, "--json", history=file).output)

    assert gone == would
    left = json.loads(place.run("show", "--json", "--config", str(config)).output)
    assert left["rows"] == 6_000 - gone["rows"]


def on_postgres(place: Place, url: str) -> dict[str, Any]:
    secret = place.folder / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    shown = url.replace(f":{PASSWORD}", "")
    one_machine: dict[str, Any] = {
        "home": str(place.home.root),
        "models": {"folder": str(place.folder)},
        "traffic": {"envoy": {}},
        "workloads": {"processes": {}},
        "pipelines": {"local": {}},
        "registry": {"local": {}},
        "metrics": {"envoy": {}},
        "predictionLog": {"database": {"url": shown, "passwordFrom": {"file": str(secret)}}},
        "journal": {},
        "leases": {"files": {}},
    }
    return {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "Platform",
        "metadata": {"name": "test"},
        "spec": one_machine,
    }


def copied_to_postgres(place: Place, url: str) -> None:
    target = place.model().target
    until = BEGAN + timedelta(days=999)
    rows = place.log().cohort(
        target, start=BEGAN, end=until, as_of=until, columns=["weight", "wind", "rain", "depot"]
    )
    kinds_of = {"weight": "float64", "wind": "float64", "rain": "float64", "depot": "string"}
    writer = PostgresLogWriter(Database(url, search_path=SCHEMA), target, kinds_of)
    rows["served_at"], rows["masked"] = rows["event_time"], ""
    known = rows.dropna(subset=["label"])
    writer.append({name: rows[name].tolist() for name in [*OWN, *kinds_of]})
    writer.append_labels(
        known["request_id"].tolist(), known["label"].tolist(), known["known_at"].tolist()
    )
