"""What a check is, what it finds, and how many of them run at once."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tools.errors import Invalid, MendloopError, Refused
from tools.values import Value

Outcome = Literal["ok", "warning", "missing", "unknown"]
"""``warning``: it works, and somebody should know. ``unknown``: nobody could tell."""


class Finding(Value):
    """One line of the examination."""

    about: str
    """What was looked at, such as ``permissions`` or ``registry``."""
    outcome: Outcome
    said: str
    remedy: str = ""
    """What to do about it."""
    grant: tuple[dict[str, Any], ...] = ()
    """Kubernetes objects that would grant what is missing."""


class Check(ABC):
    """One thing to look at. Reads only."""

    about: str

    @abstractmethod
    def findings(self) -> Iterable[Finding]:
        """What there is to say. A MendloopError that is raised becomes a finding itself."""

    def ok(self, said: str) -> Finding:
        """All is as it should be."""
        return Finding(about=self.about, outcome="ok", said=said)

    def warning(self, said: str, remedy: str = "") -> Finding:
        """It works, and somebody should know."""
        return Finding(about=self.about, outcome="warning", said=said, remedy=remedy)

    def missing(self, said: str, remedy: str = "") -> Finding:
        """mendloop will not work like that."""
        return Finding(about=self.about, outcome="missing", said=said, remedy=remedy)

    def unknown(self, said: str, remedy: str = "") -> Finding:
        """Nobody could tell."""
        return Finding(about=self.about, outcome="unknown", said=said, remedy=remedy)


class NoWay(Check):
    """What could not even be begun."""

    def __init__(self, about: str, why: str) -> None:
        self.about, self._why = about, why

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        yield self.missing(self._why)


def examine(checks: Sequence[Check], *, timeout_s: float = 30.0) -> list[Finding]:
    """Run all checks at once; one that does not end within the time is unknown.

    In order of the checks, whatever order they end in.
    """
    answers: queue.Queue[tuple[int, list[Finding]]] = queue.Queue()
    for at, check in enumerate(checks):
        # Daemons: whoever hangs must not keep the command from ending.
        threading.Thread(target=_run, args=(at, check, answers), daemon=True).start()
    found: dict[int, list[Finding]] = {}
    deadline = time.monotonic() + timeout_s
    while len(found) < len(checks):
        try:
            at, findings = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[at] = findings
    return [
        finding
        for at, check in enumerate(checks)
        for finding in found.get(at) or [_silent(check, timeout_s, is_over=at in found)]
    ]


def _silent(check: Check, timeout_s: float, *, is_over: bool) -> Finding:
    if is_over:
        return check.unknown("there was nothing to look at")
    return check.unknown(f"no answer within {timeout_s:g} s")


def _run(at: int, check: Check, answers: queue.Queue[tuple[int, list[Finding]]]) -> None:
    findings: list[Finding] = []
    try:
        findings.extend(check.findings())
    except (Refused, Invalid) as error:
        findings.append(check.missing(str(error)))
    except MendloopError as error:
        findings.append(check.unknown(str(error), "is it running, and reachable from here?"))
    finally:
        answers.put((at, findings))
