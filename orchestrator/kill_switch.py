"""Stop means stop: a switch that any operator can turn, read before every change.

On one machine it is a file: ``STOP`` in the home folder stops everything,
``STOP.namespace%2Fname`` one target. An empty file is enough (``touch STOP``); ``mendloop pause``
writes into it who, why, and whether mendloop may still go back to the safe state. In a cluster it
is a ConfigMap (``orchestrator/stop_config_map.py``). It works while mendloop, its journal and its
console are down.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol
from urllib.parse import quote, unquote

from pydantic import ValidationError

from policies.context import PauseContext
from tools.durable_files import write_durably
from tools.errors import MendloopError, Unavailable
from tools.values import Value, canonical_json

STOP_FILE = "STOP"


class Pause(Value):
    """What ``mendloop pause`` writes down."""

    by: str
    reason: str
    allows_safe_return: bool = False
    in_flight: Literal["hold", "go-back"] = "hold"
    """What becomes of a canary under way: it stays where it is, or goes back to the champion."""
    at: str = ""


class Switch(NamedTuple):
    """One that is on: what it stops (None: everything), where it is, what is written there."""

    target: str | None
    where: str
    text: str


class Switchboard(Protocol):
    """Where the switches are: that of one target, and that of everything (None)."""

    def on(self, targets: Sequence[str | None]) -> list[Switch]:
        """The switches among these that are on. Raises any MendloopError when that cannot be
        known."""

    def turn_on(self, target: str | None, text: str) -> str:
        """Write the text; where it stands now. Raises Unavailable when it cannot be written."""

    def turn_off(self, target: str | None) -> None:
        """Take the switch away; one that is off is no error. Raises Unavailable."""

    def targets(self) -> list[str]:
        """Targets whose own switch is on."""


class KillSwitch:
    """The switches of one installation."""

    def __init__(self, board: Path | Switchboard) -> None:
        """A path is the file that stops everything; those of targets stand beside it."""
        self._board = StopFiles(board) if isinstance(board, Path) else board

    def read(self, target: str) -> PauseContext:
        """Whether changes on ``target`` are stopped; a switch that cannot be read is on.

        When both stop it, going back is allowed only if both allow it.
        """
        found = self.orders(target)
        if not found:
            return PauseContext(active=False)
        return PauseContext(
            active=True,
            allows_safe_return=all(
                pause.allows_safe_return or pause.in_flight == "go-back" for pause in found
            ),
            by=found[0].by,
            reason=found[0].reason,
        )

    def orders(self, target: str | None) -> list[Pause]:
        """The pauses in force on ``target``: the one of everything first."""
        return self._read([None] if target is None else [None, target])

    def wants_back(self, target: str) -> bool:
        """Whether ``target`` is paused and everybody who did wants changes under way undone."""
        found = self.orders(target)
        return bool(found) and all(p.in_flight == "go-back" for p in found)

    def pause(self, target: str | None, pause: Pause) -> str:
        """Stop ``target``, or everything; where that is written. Raises Unavailable when it
        cannot be."""
        return self._board.turn_on(target, canonical_json(pause.model_dump()) + "\n")

    def order(self, target: str | None) -> Pause | None:
        """Who turned this very switch on, and why; None while it is off."""
        return next(iter(self._read([target])), None)

    def paused_targets(self) -> list[str]:
        """Targets that are paused by their own name."""
        return self._board.targets()

    def resume(self, target: str | None) -> None:
        """Take this switch away; the other one stays. Raises Unavailable when it cannot."""
        self._board.turn_off(target)

    def pauses(self, targets: Sequence[str]) -> dict[str, Pause]:
        """The first pause in force on each target that is paused, by one reading for all."""
        try:
            found = self._board.on([None, *targets])
        except MendloopError as error:
            return dict.fromkeys(targets, Pause(by="", reason=str(error)))
        of_all = [_pause(switch) for switch in found if switch.target is None]
        own = {switch.target: _pause(switch) for switch in found if switch.target is not None}
        return dict.fromkeys(targets, of_all[0]) if of_all else own

    def _read(self, targets: Sequence[str | None]) -> list[Pause]:
        try:
            return [_pause(switch) for switch in self._board.on(targets)]
        except MendloopError as error:
            return [Pause(by="", reason=str(error))]


class AnyOf:
    """Implements Switchboard with several: each stops, and people's commands turn the first."""

    def __init__(self, first: Switchboard, *others: Switchboard) -> None:
        self._boards = (first, *others)

    def on(self, targets: Sequence[str | None]) -> list[Switch]:
        """See Switchboard."""
        return [found for board in self._boards for found in board.on(targets)]

    def turn_on(self, target: str | None, text: str) -> str:
        """See Switchboard."""
        return self._boards[0].turn_on(target, text)

    def turn_off(self, target: str | None) -> None:
        """See Switchboard. All of them: the order ends wherever it was given."""
        for board in self._boards:
            board.turn_off(target)

    def targets(self) -> list[str]:
        """See Switchboard."""
        return sorted({target for board in self._boards for target in board.targets()})


class StopFiles:
    """Implements Switchboard with files: any file of the name stops, whatever is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on(self, targets: Sequence[str | None]) -> list[Switch]:
        """See Switchboard."""
        found = []
        for target in targets:
            path = self._file(target)
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                text = f"{path.name} cannot be read: {error.strerror}"
            found.append(Switch(target, path.name, text))
        return found

    def turn_on(self, target: str | None, text: str) -> str:
        """See Switchboard."""
        path = self._file(target)
        try:
            write_durably(path, text)
        except OSError as error:
            raise Unavailable(
                f"cannot write {path}: {error.strerror}; nothing is paused, stop the controller"
            ) from error
        return str(path)

    def turn_off(self, target: str | None) -> None:
        """See Switchboard."""
        path = self._file(target)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot remove {path}: {error.strerror}; still paused") from error

    def targets(self) -> list[str]:
        """See Switchboard."""
        prefix = f"{self._path.name}."
        found = sorted(p.name for p in self._path.parent.glob(f"{prefix}*"))
        return [unquote(name.removeprefix(prefix)) for name in found]

    def _file(self, target: str | None) -> Path:
        if target is None:
            return self._path
        return self._path.with_name(f"{self._path.name}.{quote(target, safe='')}")


def _pause(switch: Switch) -> Pause:
    """What the text says; whatever it says, it stops."""
    try:
        return Pause.model_validate(json.loads(switch.text))
    except (ValueError, ValidationError):
        first_line = switch.text.strip().splitlines()[:1]
        reason = first_line[0][:200] if first_line else f"{switch.where} is there"
        return Pause(by="", reason=reason)
