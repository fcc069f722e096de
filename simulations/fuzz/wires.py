"""Wires between a controller and its ports: they may deliver one call twice, as networks do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from tools.errors import MendloopError


class Telling(Protocol):
    """Whoever says that the call under way arrives a second time."""

    twice: bool


class TwiceDelivered:
    """Stands for a port; a call that is to arrive twice is made twice, the first answer counts."""

    def __init__(self, port: Any, told: Telling) -> None:
        self._port = port
        self._told = told

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._port, name)
        return self._delivered(verb) if callable(verb) else verb

    def _delivered(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def deliver(*arguments: Any, **named: Any) -> Any:
            answer = verb(*arguments, **named)
            if self._told.twice:
                self._told.twice = False
                with suppress(MendloopError):  # nobody waits for the second answer
                    verb(*arguments, **named)
            return answer

        return deliver
