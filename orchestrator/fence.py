"""Reads the lease and the kill switch before every single write, not once a step.

A step may write several times, and time passes between two writes: whoever paused the target, or
took it over meanwhile, is heard before the next one. What is already on its way stays on its way;
the step is taken up again under its key once it may go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import wraps
from typing import Any

from agents.contract import Operation
from agents.ports import Desk
from orchestrator.session import Session
from tools.errors import Unavailable

_WRITES: dict[str, frozenset[str]] = {
    "traffic": frozenset({"create", "patch"}),
    "workloads": frozenset({"start", "configure", "restart", "stop"}),
    "registry": frozenset({"register", "claim", "set_alias", "delete_alias"}),
    "runs": frozenset({"submit", "cancel"}),
}
"""Port of the desk -> its verbs that change something."""


def fenced(session: Session, operation: Operation) -> Desk:
    """The session's desk; a write of ``operation`` raises Unavailable once it may not go on."""

    def check() -> None:
        session.must_hold_lease()
        pause = session.kill_switch.read(session.target)
        if pause.active and not (operation.is_safe_return and pause.allows_safe_return):
            raise Unavailable(
                f"{session.target} was paused by {pause.by or 'somebody'} while {operation.name}"
                " was under way; it goes on after the pause"
            )

    ports: dict[str, Any] = {
        name: _Fence(getattr(session.desk, name), verbs, check) for name, verbs in _WRITES.items()
    }
    return replace(session.desk, **ports)


class _Fence:
    """Stands for a port; asks ``check`` before each of its writes."""

    def __init__(self, port: Any, writes: Collection[str], check: Callable[[], None]) -> None:
        self._port = port
        self._writes = writes
        self._check = check

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._port, name)
        if name not in self._writes:
            return verb

        @wraps(verb)
        def checked(*arguments: Any, **named: Any) -> Any:
            self._check()
            return verb(*arguments, **named)

        return checked
