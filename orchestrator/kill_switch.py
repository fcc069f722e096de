"""Stop means stop: files that any operator can make, read before every change.

``STOP`` in the home folder stops everything, ``STOP.namespace%2Fname`` one target. An empty file
is enough (``touch STOP``); ``mendloop pause`` writes into it who, why, and whether mendloop may
still go back to the safe state. It works while mendloop, its journal and its console are down.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from pydantic import ValidationError

from policies.context import PauseContext
from tools.durable_files import write_durably
from tools.errors import Unavailable
from tools.values import Value, canonical_json

STOP_FILE = "STOP"


class Pause(Value):
    """What ``mendloop pause`` writes into the file."""

    by: str
    reason: str
    allows_safe_return: bool = False
    in_flight: Literal["hold", "go-back"] = "hold"
    """What becomes of a canary under way: it stays where it is, or goes back to the champion."""
    at: str = ""


class KillSwitch:
    """The stop files of one home folder."""

    def __init__(self, path: Path) -> None:
        """``path`` is the file that stops everything; those of targets stand beside it."""
        self._path = path

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
        files = [self._path] if target is None else [self._path, self._file(target)]
        return [pause for pause in map(_read, files) if pause is not None]

    def wants_back(self, target: str) -> bool:
        """Whether ``target`` is paused and everybody who did wants changes under way undone."""
        found = self.orders(target)
        return bool(found) and all(p.in_flight == "go-back" for p in found)

    def pause(self, target: str | None, pause: Pause) -> Path:
        """Stop ``target``, or everything. Raises Unavailable when the file cannot be written."""
        path = self._file(target)
        try:
            write_durably(path, canonical_json(pause.model_dump()) + "\n")
        except OSError as error:
            raise Unavailable(
                f"cannot write {path}: {error.strerror}; nothing is paused, stop the controller"
            ) from error
        return path

    def order(self, target: str | None) -> Pause | None:
        """Who turned this very switch on, and why; None while it is off."""
        return _read(self._file(target))

    def paused_targets(self) -> list[str]:
        """Targets that are paused by their own name."""
        prefix = f"{self._path.name}."
        found = sorted(p.name for p in self._path.parent.glob(f"{prefix}*"))
        return [unquote(name.removeprefix(prefix)) for name in found]

    def resume(self, target: str | None) -> None:
        """Take this switch away; the other one stays. Raises Unavailable when it cannot."""
        path = self._file(target)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot remove {path}: {error.strerror}; still paused") from error

    def _file(self, target: str | None) -> Path:
        if target is None:
            return self._path
        return self._path.with_name(f"{self._path.name}.{quote(target, safe='')}")


def _read(path: Path) -> Pause | None:
    """What the file says; any file there stops, whatever is in it."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return Pause(by="", reason=f"{path.name} cannot be read: {error.strerror}")
    try:
        return Pause.model_validate(json.loads(text))
    except (ValueError, ValidationError):
        first_line = text.strip().splitlines()[:1]
        return Pause(by="", reason=first_line[0][:200] if first_line else f"{path.name} is there")
