"""Copies of checkpoints elsewhere: what is missing is brought, what fails delays nobody."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.attended import AttendedJournal
from orchestrator.journal.checkpoint import CheckpointFolder
from orchestrator.journal.courier import Courier
from orchestrator.journal.places import FolderOfCheckpoints, GitOfCheckpoints, Note, Place
from orchestrator.journal.settings import GitPlace, JournalSettings, settings_of
from orchestrator.journal.signed import SignedJournal
from tools.errors import Invalid, Unavailable

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def resume(journal: SignedJournal, times: int = 1) -> None:
    """Append small events."""
    for _ in range(times):
        journal.append(kinds.TARGET_RESUMED, at=NOW, actor="kim", payload={"by": "kim"})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Six events, signed at 2, 4 and 6."""
    (tmp_path / "home").mkdir()
    journal = SignedJournal(tmp_path / "home" / "mendloop.db", at=NOW, every_events=2)
    resume(journal, 5)
    journal.close()
    return tmp_path / "home"


def courier(home: Path, *places: Place) -> Courier:
    """One that is asked, and does nothing by itself."""
    return Courier(
        CheckpointFolder(home / "checkpoints"), places, sign=lambda: None, every_s=3600.0
    )


def names(folder: Path) -> list[str]:
    """The checkpoints there."""
    return sorted(path.name for path in folder.glob("*.checkpoint"))


def git(root: Path, *arguments: str) -> str:
    """A git command in a repository, and what it says."""
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone of a bare repository, both empty."""
    bare, root = tmp_path / "bare.git", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "clone", "-q", str(bare), str(root)], check=True, capture_output=True)
    git(root, "checkout", "-q", "-B", "main")
    git(root, "config", "push.autoSetupRemote", "true")
    return root


def test_a_place_gets_what_it_lacks(home: Path, tmp_path: Path) -> None:
    """Everything at first, then only what is newer; what is there stays untouched."""
    place = FolderOfCheckpoints(tmp_path / "usb")
    assert courier(home, place).deliver() == {}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "usb").iterdir()}
    journal = SignedJournal(home / "mendloop.db", at=NOW, every_events=2)
    resume(journal, 2)
    journal.close()
    assert courier(home, place).deliver() == {}

    assert names(tmp_path / "usb") == names(home / "checkpoints")
    assert len(before) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_repository_gets_a_commit_per_delivery(home: Path, repository: Path) -> None:
    """Pushed, too; what somebody else has staged there stays staged."""
    (repository / "mine.txt").write_text("not yours")
    git(repository, "add", "mine.txt")
    place = GitOfCheckpoints(GitPlace(git=repository, path="audit/flights", push=True))
    assert courier(home, place).deliver() == {}
    assert courier(home, place).deliver() == {}

    assert git(repository, "log", "--format=%s", "origin/main").splitlines() == [
        "Checkpoint over 6 events"
    ]
    assert names(repository / "audit" / "flights") == names(home / "checkpoints")
    assert git(repository, "status", "--porcelain").splitlines() == ["A  mine.txt"]


def test_what_was_committed_and_not_pushed_is_pushed_by_the_next_process(
    home: Path, repository: Path
) -> None:
    """The remote was away: a new courier does not take the copy here for the copy there."""
    remote = git(repository, "remote", "get-url", "origin").strip()
    git(repository, "remote", "set-url", "origin", remote + ".away")
    failing = courier(home, GitOfCheckpoints(GitPlace(git=repository, push=True))).deliver()
    git(repository, "remote", "set-url", "origin", remote)
    assert "git push" in next(iter(failing.values()))
    assert courier(home, GitOfCheckpoints(GitPlace(git=repository, push=True))).deliver() == {}

    assert "Checkpoint over 6 events" in git(repository, "log", "--format=%s", "origin/main")


def test_a_place_that_fails_is_told_and_made_up_for(home: Path, tmp_path: Path) -> None:
    """The other places get theirs meanwhile."""
    (tmp_path / "away").write_text("a file in the way")
    away, here = FolderOfCheckpoints(tmp_path / "away"), FolderOfCheckpoints(tmp_path / "here")
    bringing = courier(home, away, here)

    assert list(bringing.deliver()) == [away.name]
    assert names(tmp_path / "here") == names(home / "checkpoints")
    (tmp_path / "away").unlink()
    assert bringing.deliver() == {}
    assert names(tmp_path / "away") == names(home / "checkpoints")


def test_another_checkpoint_of_the_same_size_is_a_contradiction(home: Path, tmp_path: Path) -> None:
    """Never overwritten: it is the proof that one of two journals was rewritten."""
    place = FolderOfCheckpoints(tmp_path / "usb")
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "000000000006.checkpoint").write_text("another journal's")
    told = courier(home, place).deliver()

    assert "another checkpoint of the same size" in told[place.name]
    assert (tmp_path / "usb" / "000000000006.checkpoint").read_text() == "another journal's"


def test_a_home_that_lost_its_end_is_told_by_its_places(home: Path, tmp_path: Path) -> None:
    """Whoever cuts off journal and checkpoints alike cannot reach the copies."""
    place = FolderOfCheckpoints(tmp_path / "usb")
    courier(home, place).deliver()
    (home / "checkpoints" / "000000000006.checkpoint").unlink()
    told = courier(home, place).deliver()

    assert "6 events, this home only over 4: its journal was cut off" in told[place.name]


class Stuck:
    """A place that hangs until it is let go."""

    name = "stuck"

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()
        self.got: list[str] = []

    def newest(self) -> int:
        return 0

    def put(self, notes: Sequence[Note]) -> None:
        self.asked.set()
        self.let_go.wait(timeout=30.0)
        self.got = [name for name, _ in notes]
        raise Unavailable("it hung")


def test_a_place_that_hangs_delays_no_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are written and signed at home while it hangs."""
    stuck = Stuck()
    monkeypatch.setattr("orchestrator.journal.attended.make_place", lambda settings: stuck)
    settings = JournalSettings.model_validate(
        {"spec": {"checkpoints": {"everyEvents": 2, "places": [{"folder": "x"}]}}}
    )
    journal = AttendedJournal(tmp_path / "mendloop.db", at=NOW, settings=settings)
    resume(journal, 3)
    assert stuck.asked.wait(timeout=30.0)
    resume(journal, 4)

    assert journal.head().seq == 8
    assert names(tmp_path / "checkpoints")[-1] == "000000000008.checkpoint"
    stuck.let_go.set()
    journal.close()


def test_a_quiet_journal_is_signed_in_time(tmp_path: Path) -> None:
    """Three events are not enough for a checkpoint by count: the clock asks for one."""
    signed = threading.Event()
    journal = SignedJournal(tmp_path / "mendloop.db", at=NOW, every_events=1000)
    resume(journal, 2)
    timed = Courier(
        CheckpointFolder(tmp_path / "checkpoints"),
        [],
        sign=lambda: signed.set() if journal.sign() else None,
        every_s=0.01,
    )
    timed.start()
    assert signed.wait(timeout=30.0)
    timed.close()

    assert names(tmp_path / "checkpoints") == ["000000000003.checkpoint"]
    journal.close()


def test_what_an_earlier_process_left_and_what_is_signed_last_are_delivered(
    home: Path, tmp_path: Path
) -> None:
    """A start brings what is missing; the end brings the last checkpoint."""
    settings = JournalSettings.model_validate(
        {"spec": {"checkpoints": {"places": [{"folder": str(tmp_path / "usb")}]}}}
    )
    journal = AttendedJournal(home / "mendloop.db", at=NOW, settings=settings)
    resume(journal, 3)
    journal.close()

    assert names(tmp_path / "usb") == names(home / "checkpoints")
    assert names(tmp_path / "usb")[-1] == "000000000009.checkpoint"


def test_settings_are_read_from_the_home(tmp_path: Path) -> None:
    """Without the document the defaults hold; a wrong one is refused with the field."""
    assert settings_of(tmp_path).spec.checkpoints.every_events == 256
    (tmp_path / "journal.yaml").write_text(
        "apiVersion: mendloop.dev/v1alpha1\nkind: JournalSettings\nspec:\n  checkpoints:\n"
        "    every: 30s\n    places:\n      - folder: /mnt/usb\n      - git: /srv/audit\n"
        "        push: true\n"
    )
    found = settings_of(tmp_path).spec.checkpoints
    assert found.every.total_seconds() == 30
    assert [type(place).__name__ for place in found.places] == ["FolderPlace", "GitPlace"]
    (tmp_path / "journal.yaml").write_text("spec:\n  checkpoints:\n    everyevents: 3\n")
    with pytest.raises(Invalid, match="everyevents"):
        settings_of(tmp_path)
