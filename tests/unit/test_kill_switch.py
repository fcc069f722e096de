"""Stop means stop: by command, by an empty file, and when the switch cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.kill_switch import STOP_FILE, KillSwitch, Pause
from tools.errors import Unavailable

TARGET = "default/flights"
ORDER = Pause(by="kim", reason="fair week")


@pytest.fixture
def switch(tmp_path: Path) -> KillSwitch:
    """Nothing is stopped."""
    return KillSwitch(tmp_path / STOP_FILE)


def test_nothing_is_stopped_without_a_file(switch: KillSwitch) -> None:
    """The normal case is known, not unknown."""
    assert switch.read(TARGET).active is False


def test_an_empty_file_stops_everything(switch: KillSwitch, tmp_path: Path) -> None:
    """``touch STOP`` on a machine where nothing else works any more."""
    (tmp_path / STOP_FILE).touch()

    assert switch.read(TARGET).active is True
    assert switch.read(TARGET).reason


@pytest.mark.parametrize("content", ["because of the fair\n", "{", "[]", '{"by": 1}', "\x00\xff"])
def test_whatever_is_in_the_file_stops(switch: KillSwitch, tmp_path: Path, content: str) -> None:
    """Nobody has to write JSON to stop it, and going back is not allowed by accident."""
    (tmp_path / STOP_FILE).write_text(content, encoding="latin-1")
    found = switch.read(TARGET)

    assert (found.active, found.allows_safe_return) == (True, False)


def test_a_switch_that_cannot_be_read_is_on(switch: KillSwitch, tmp_path: Path) -> None:
    """A folder where the file should be stands for every error of the file system."""
    (tmp_path / STOP_FILE).mkdir()

    assert switch.read(TARGET).active is True
    assert "cannot be read" in switch.read(TARGET).reason


def test_one_target_is_stopped_alone(switch: KillSwitch) -> None:
    """Others go on; and resuming everything does not resume it."""
    switch.pause(TARGET, ORDER)
    switch.resume(None)

    assert switch.read(TARGET).active is True
    assert switch.read(TARGET).reason == "fair week"
    assert switch.read("default/other").active is False


def test_resuming_takes_away_one_switch_only(switch: KillSwitch) -> None:
    """A target stopped twice needs both resumed."""
    switch.pause(None, ORDER)
    switch.pause(TARGET, ORDER)
    switch.resume(TARGET)
    assert switch.read(TARGET).active is True
    switch.resume(None)

    assert switch.read(TARGET).active is False


@pytest.mark.parametrize(("everything", "one"), [(True, True), (True, False), (False, True)])
def test_going_back_needs_every_switchs_consent(
    switch: KillSwitch, everything: bool, one: bool
) -> None:
    """Two people stopped it; both must have allowed the undo."""
    switch.pause(None, ORDER.model_copy(update={"allows_safe_return": everything}))
    switch.pause(TARGET, ORDER.model_copy(update={"allows_safe_return": one}))

    assert switch.read(TARGET).allows_safe_return == (everything and one)


def test_a_pause_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """The operator must not believe that it is stopped."""
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="nothing is paused"):
        KillSwitch(tmp_path / "file" / STOP_FILE).pause(None, ORDER)
