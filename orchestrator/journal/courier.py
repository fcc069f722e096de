"""Signs in time, and brings checkpoints to their places, beside whoever appends.

Nothing here delays an append. A place that fails is said once and tried again, at growing
intervals, with everything that it missed: what is delivered is read off the place itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from orchestrator.journal.checkpoint import Checkpoints
from orchestrator.journal.places import Place, bring
from tools.errors import MendloopError

FIRST_RETRY_S = 5.0
LAST_RETRY_S = 300.0
"""A share that is away for a night is asked every five minutes."""
CLOSING_S = 5.0
"""How long the end of mendloop waits for the last delivery."""

_log = structlog.get_logger()


class Courier:
    """One thread per journal, asleep most of the time."""

    def __init__(
        self,
        home: Checkpoints,
        places: Sequence[Place],
        *,
        sign: Callable[[], object],
        every_s: float,
    ) -> None:
        """``sign`` signs what no checkpoint covers; it is called at least every ``every_s``."""
        self._home, self._places = home, places
        self._sign, self._every_s = sign, every_s
        self._failing: dict[str, str] = {}
        self._wake, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is a new checkpoint."""
        self._wake.set()

    def close(self) -> None:
        """Deliver what can be delivered within a few seconds, and end."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=CLOSING_S)

    def deliver(self) -> dict[str, str]:
        """Bring every place what it lacks; which places failed, and why."""
        failing: dict[str, str] = {}
        for place in self._places:
            try:
                bring(place, self._home)
            except MendloopError as error:
                failing[place.name] = str(error)
        for name in sorted(failing.keys() | self._failing.keys()):
            if name not in failing:
                _log.info("checkpoints.delivered", place=name)
            elif self._failing.get(name) != failing[name]:
                _log.warning("checkpoints.undelivered", place=name, reason=failing[name])
        self._failing = failing
        return failing

    def _run(self) -> None:
        retry_s, signed_at_s = FIRST_RETRY_S, time.monotonic()
        while not self._stopped:
            self._wake.wait(timeout=min(retry_s, self._every_s))
            self._wake.clear()
            if self._stopped:
                break
            if time.monotonic() - signed_at_s >= self._every_s:
                self._sign()
                signed_at_s = time.monotonic()
            retry_s = min(2 * retry_s, LAST_RETRY_S) if self.deliver() else FIRST_RETRY_S
        self.deliver()
