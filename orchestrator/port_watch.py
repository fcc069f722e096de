"""Counts the calls of a desk's ports: how many, how long, and what failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from agents.ports import Desk
from orchestrator import metrics_words as words
from orchestrator.meter import Meter
from tools.errors import MendloopError
from tools.metrics import NoReading

PORTS = ("traffic", "workloads", "runs", "registry", "metrics", "log")


class PortWatch:
    """Counts for one meter. A port that several desks share stays one port."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._known: dict[int, tuple[Any, Any]] = {}
        """By identity; the port is kept beside what stands for it, so that no other gets its id."""

    def desk(self, desk: Desk) -> Desk:
        """The same desk; every call of its ports is counted."""
        ports: dict[str, Any] = {name: self._port(getattr(desk, name), name) for name in PORTS}
        return replace(desk, **ports)

    def _port(self, port: Any, name: str) -> Any:
        if id(port) not in self._known:
            self._known[id(port)] = (port, watched_port(port, name, self._meter))
        return self._known[id(port)][1]


def watched_port(port: Any, name: str, meter: Meter) -> Any:
    """The same port; what it is asked is counted under ``name``.

    It has the verbs of the port and no others, so that what a port can do can be seen from it.
    """
    verbs = [
        verb
        for verb in dir(type(port))
        if not verb.startswith("_") and callable(getattr(type(port), verb))
    ]
    counted = {v: staticmethod(_counted(getattr(port, v), name, meter)) for v in verbs}
    found = type(f"Watched{type(port).__name__}", (_Watched,), counted)
    return found(port)


class _Watched:
    """Stands for a port."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def _counted(verb: Callable[..., Any], port: str, meter: Meter) -> Callable[..., Any]:
    @wraps(verb)
    def counted(*arguments: Any, **named: Any) -> Any:
        begin_s = time.perf_counter()
        meter.add(words.PORT_CALLS, port=port)
        try:
            answer = verb(*arguments, **named)
        except MendloopError as error:
            meter.add(words.PORT_ERRORS, port=port, error=type(error).__name__)
            raise
        finally:
            meter.observe(words.PORT_SECONDS, time.perf_counter() - begin_s, port=port)
        if isinstance(answer, NoReading):
            meter.add(words.PORT_ERRORS, port=port, error="NoReading")
        return answer

    return counted
