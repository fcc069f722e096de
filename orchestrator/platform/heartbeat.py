"""Whether the loop goes round: a tick that hangs, or a loop that died, is known by its silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FIRST_TICK_S = 180.0
"""The first tick loads libraries and models: minutes on a cold node."""


class Heartbeat:
    """Beaten at the end of every tick; probes ask it from other threads."""

    def __init__(
        self,
        *,
        every_s: float,
        missing: int,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Silent for ``missing`` ticks means dead."""
        self._limit_s = every_s * missing
        self._monotonic_s = monotonic_s
        self._since_s = monotonic_s()
        self._ticks = 0
        self._stopping = threading.Event()

    def beat(self) -> None:
        """A tick came to its end."""
        self._since_s = self._monotonic_s()
        self._ticks += 1

    def stop(self) -> None:
        """The loop ends on purpose: silence is no fault, but nobody should count on it."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    @property
    def has_ticked(self) -> bool:
        """Whether a whole tick was done."""
        return self._ticks > 0

    def trouble(self) -> str:
        """Why the process should be restarted; empty when it is alive."""
        silent_s = self._monotonic_s() - self._since_s
        limit_s = self._limit_s if self._ticks else max(self._limit_s, FIRST_TICK_S)
        if silent_s <= limit_s or self.is_stopping:
            return ""
        return f"no tick has ended for {silent_s:.0f} s; expected one within {limit_s:.0f} s"
