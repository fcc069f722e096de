"""What every store of incident threads promises: where a thread stood is known after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command

from orchestrator.checkpointer import file_checkpointer, postgres_checkpointer
from tests.stand_in.thread import build
from tools.postgres import Database

OPEN: dict[str, Callable[[Path, str], BaseCheckpointSaver[Any]]] = {
    "file": lambda folder, _: file_checkpointer(folder / "checkpoints.db"),
    "postgres": lambda _, url: postgres_checkpointer(Database(url)),
}
THREAD: Any = {"configurable": {"thread_id": "inc-1"}}


class Store:
    """One place, opened as often as a test likes."""

    def __init__(self, kind: str, folder: Path, url: str) -> None:
        self.kind, self.folder, self.url = kind, folder, url

    def open(self) -> BaseCheckpointSaver[Any]:
        return OPEN[self.kind](self.folder, self.url)


@pytest.fixture(params=list(OPEN))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    is_file = request.param == "file"
    url = "" if is_file else request.getfixturevalue("fresh_postgres")()
    return Store(request.param, tmp_path, url)


def test_a_thread_that_sleeps_is_woken_by_another_process(store: Store, tmp_path: Path) -> None:
    """The one that wakes it has never seen it."""
    log = tmp_path / "log"
    build(store.open(), log).invoke({"notes": ["begun"]}, THREAD, durability="sync")
    found = build(store.open(), log).invoke(Command(resume=True), THREAD, durability="sync")

    assert found["notes"] == ["begun", "first", "woken", "last"]
    assert log.read_text().split() == ["first", "last"]


def test_a_kill_repeats_at_most_the_node_in_hand(store: Store, tmp_path: Path) -> None:
    """Killed inside a node: the ones before it are not run again, it is."""
    log = tmp_path / "log"
    command = [sys.executable, "-m", "tests.stand_in.thread", store.kind, str(tmp_path), store.url]
    killed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert log.read_text().split() == ["first", "dying"]
    graph = build(store.open(), log)
    graph.invoke(None, THREAD, durability="sync")
    graph.invoke(Command(resume=True), THREAD, durability="sync")

    assert log.read_text().split() == ["first", "dying", "last"]


def test_a_closed_incident_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """Its thread is deleted, the others' stay."""
    saver = store.open()
    graph = build(saver, tmp_path / "log")
    other: Any = {"configurable": {"thread_id": "inc-2"}}
    for thread in (THREAD, other):
        graph.invoke({"notes": []}, thread, durability="sync")
    saver.delete_thread("inc-1")

    assert saver.get_tuple(THREAD) is None
    assert list(saver.list(THREAD)) == []
    assert saver.get_tuple(other) is not None


def test_a_state_of_plain_values_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    """Text of every kind, numbers, nothing, lists and maps."""
    told = ['ünï "\\ \u2028', 1.5, -7, None, True, {"a": [{"b": ""}]}]
    build(store.open(), tmp_path / "log").invoke({"notes": told}, THREAD, durability="sync")
    found = store.open().get_tuple(THREAD)

    assert found is not None
    assert found.checkpoint["channel_values"]["notes"][: len(told)] == told


def test_both_stores_share_one_serializer(tmp_path: Path, fresh_postgres: Any) -> None:
    """What one makes of a value that is not plain, the other makes of it too."""
    url = fresh_postgres()
    read: list[Any] = []
    for kind in OPEN:
        saver = OPEN[kind](tmp_path, url)
        value = saver.serde.dumps_typed({"at": datetime(2026, 1, 5, tzinfo=UTC), "of": (1, 2)})
        read.append((value, saver.serde.loads_typed(value), type(saver.serde)))

    assert read[0] == read[1]
