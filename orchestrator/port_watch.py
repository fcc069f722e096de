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


def watched(desk: Desk, meter: Meter) -> Desk:
    """The same desk; every call of its ports is counted."""
    ports: dict[str, Any] = {name: watched_port(getattr(desk, name), name, meter) for name in PORTS}
    return replace(desk, **ports)


def watched_port(port: Any, name: str, meter: Meter) -> Any:
    """The same port; what it is asked is counted under ``name``."""
    return _Watched(port, name, meter)


class _Watched:
    """Stands for a port."""

    def __init__(self, port: Any, name: str, meter: Meter) -> None:
        self._port, self._name, self._meter = port, name, meter

    def __eq__(self, other: object) -> bool:
        """Two that stand for one port are one: whoever asks a port about many asks it once."""
        return isinstance(other, _Watched) and self._port is other._port

    def __hash__(self) -> int:
        return id(self._port)

    def __getattr__(self, verb: str) -> Any:
        found = getattr(self._port, verb)
        return self._counted(found) if callable(found) else found

    def _counted(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        meter, port = self._meter, self._name

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
