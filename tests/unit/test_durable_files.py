"""Files are replaced whole, and a lock is had by one at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tools.durable_files import locked, write_durably
from tools.errors import Unavailable


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While it is replaced again and again, it is always one of the texts, whole."""
    path = tmp_path / "file"
    texts = ["a" * 50_000, "b" * 70_000]
    write_durably(path, texts[0])
    writing = threading.Event()

    def write() -> None:
        for n in range(40):
            write_durably(path, texts[n % 2])
        writing.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = {path.read_text()}
    while not writing.is_set():
        seen.add(path.read_text())
    writer.join()

    assert seen <= set(texts)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A folder in the way makes the rename fail."""
    path = tmp_path / "file"
    path.mkdir()
    (path / "inside").touch()

    with pytest.raises(OSError, match="file"):
        write_durably(path, "text")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    """Threads count each other out as processes do."""
    path = tmp_path / "sub" / "lock"
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with locked(path):
                inside += 1
                most = max(most, inside)
                inside -= 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert most == 1


def test_a_lock_that_stays_taken_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """The message names it; it is free again when its holder is done."""
    path = tmp_path / "lock"
    with (
        locked(path),
        pytest.raises(Unavailable, match=r"lock stayed locked for 0\.05 s"),
        locked(path, timeout_s=0.05),
    ):
        pass

    with locked(path, timeout_s=0.05):
        pass


def test_a_lock_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """A file where its folder should be."""
    (tmp_path / "file").touch()

    with pytest.raises(Unavailable, match="cannot open the lock"), locked(tmp_path / "file" / "x"):
        pass
