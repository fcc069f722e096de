"""What every retention of a prediction log promises, whichever adapter stands behind the port."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pandas as pd
import pytest

from tests.promises.test_prediction_log import (
    EVERYTHING,
    LAST,
    T0,
    TARGET,
    ParquetWorld,
    PostgresWorld,
    World,
    labelled,
    served,
)
from tools import parquet_retention, postgres_retention
from tools.errors import Invalid, Unavailable
from tools.log_parts import shadow_of
from tools.log_retention import LogRetention, OldRows
from tools.parquet_retention import ParquetRetention
from tools.postgres_retention import PostgresRetention

OTHER = "default/parcels"
CUT = T0 + timedelta(hours=50)


class Kept(Protocol):
    """A log, and what takes old rows out of it."""

    world: World
    retention: LogRetention


class _Kept:
    def __init__(self, world: World, retention: LogRetention) -> None:
        self.world, self.retention = world, retention


@pytest.fixture(params=["parquet", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    if request.param == "parquet":
        retention = ParquetRetention(tmp_path / "predictions", tmp_path / "labels")
        return _Kept(ParquetWorld(tmp_path), retention)
    monkeypatch.setattr(postgres_retention, "AT_ONCE", 7)
    url = request.getfixturevalue("postgres_url")
    return _Kept(PostgresWorld(url), PostgresRetention(url))


def fill(world: World, *, seed: int, target: str = TARGET, requests: int = 120) -> None:
    """Requests over a hundred hours, in parts that overlap; some asked twice."""
    chance = random.Random(seed)
    names = [(f"r{number}", chance.uniform(0, 100)) for number in range(requests)]
    for start in range(0, requests, 30):
        part = names[start : start + 30]
        again = [(name, chance.uniform(0, 100)) for name, _ in chance.sample(part, 3)]
        world.predict(served(*part, weight=[1.0] * len(part)), target)
        late = served(*again, weight=[2.0] * 3)
        world.predict(late.assign(served_at=late["served_at"] + pd.Timedelta(days=9)), target)
        known = chance.sample(part, 20)
        world.label(labelled(*((name, 1, at + 5) for name, at in known)), target)
        world.label(labelled(*((name, 0, at + 9) for name, at in known[:4])), target)


def rows(world: World, target: str = TARGET) -> pd.DataFrame:
    return world.log.cohort(target, **EVERYTHING, as_of=LAST, columns=["weight"])


@pytest.mark.parametrize("seed", range(3))
def test_exactly_what_is_older_goes_with_its_labels(kept: Kept, seed: int) -> None:
    """What is left is what a log would be that the old rows had never been written to."""
    fill(kept.world, seed=seed)
    before = rows(kept.world)
    old = before[before["event_time"] < CUT]
    promised = kept.retention.old(TARGET, CUT)

    gone = kept.retention.forget(TARGET, CUT)

    assert gone == promised == OldRows(rows=len(old), labels=int(old["label"].notna().sum()))
    left = before[before["event_time"] >= CUT].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows(kept.world), left)
    extent = kept.world.log.extent(TARGET)
    assert (extent.rows, extent.labels) == (len(left), int(left["label"].notna().sum()))
    assert extent.first == left["event_time"].min()
    assert kept.retention.forget(TARGET, CUT) == OldRows(rows=0, labels=0)


def test_others_keep_theirs(kept: Kept) -> None:
    """Another target, and the shadow of this one."""
    for target in (TARGET, OTHER, shadow_of(TARGET)):
        fill(kept.world, seed=1, target=target)
    others = {target: rows(kept.world, target) for target in (OTHER, shadow_of(TARGET))}

    kept.retention.forget(TARGET, LAST)

    assert rows(kept.world).empty
    for target, found in others.items():
        pd.testing.assert_frame_equal(rows(kept.world, target), found)


def test_a_target_without_a_log_has_nothing_old(kept: Kept) -> None:
    """Also when another target has one."""
    assert kept.retention.forget(TARGET, LAST) == OldRows(rows=0, labels=0)
    fill(kept.world, seed=1, target=OTHER)
    assert kept.retention.old(TARGET, LAST) == OldRows(rows=0, labels=0)


def test_servers_go_on_appending(kept: Kept) -> None:
    """Nothing that arrives meanwhile is lost or counted wrongly."""
    fill(kept.world, seed=2)
    left = set(rows(kept.world).query("event_time >= @CUT")["request_id"])

    def append() -> None:
        for number in range(20):
            kept.world.predict(served((f"new{number}", 99.0), weight=[1.0]))
            kept.world.label(labelled((f"new{number}", 1, 99.5)))

    server = threading.Thread(target=append)
    server.start()
    kept.retention.forget(TARGET, CUT)
    server.join()

    found = rows(kept.world)
    assert set(found["request_id"]) == left | {f"new{number}" for number in range(20)}
    extent = kept.world.log.extent(TARGET)
    assert (extent.rows, extent.labels) == (len(found), int(found["label"].notna().sum()))


def test_times_are_naive(kept: Kept) -> None:
    """Event time carries no zone, here as in the log."""
    with pytest.raises(Invalid, match="naive"):
        kept.retention.old(TARGET, CUT.astimezone())


@pytest.mark.parametrize("step", range(6))
def test_cut_off_in_the_middle_it_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """At every step newer rows are there once, and the second time does the rest."""
    world = ParquetWorld(tmp_path)
    fill(world, seed=3)
    before = rows(world)
    left = before[before["event_time"] >= CUT].reset_index(drop=True)
    retention = ParquetRetention(tmp_path / "predictions", tmp_path / "labels")
    steps = iter(range(99))
    taken = parquet_retention._without

    def cut(path: Path, is_gone: object) -> None:
        if next(steps) == step:
            raise Unavailable("killed")
        taken(path, is_gone)

    monkeypatch.setattr(parquet_retention, "_without", cut)
    with pytest.raises(Unavailable):
        retention.forget(TARGET, CUT)
    found = rows(world)
    pd.testing.assert_frame_equal(found[found["event_time"] >= CUT].reset_index(drop=True), left)
    monkeypatch.setattr(parquet_retention, "_without", taken)
    retention.forget(TARGET, CUT)

    pd.testing.assert_frame_equal(rows(world), left)
