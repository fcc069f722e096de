"""Looks at the targets of a tick: one question per port for all, and new data in turns.

Validating and judging a window of data takes some hundredths of a second; when the windows of a
whole fleet end together, a tick that read them all would keep every incident waiting. So a tick
reads new data until its time is used up. Whose turn did not come goes first in the next tick, the
one that has waited longest before the others; meanwhile its route, servers and counters are looked
at as ever. A target in trouble never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.monitor.observe import Observation, observe
from agents.survey import Glance, survey
from orchestrator.goals import GOALS
from orchestrator.model_fleet import Target
from orchestrator.session import Session
from tools.prediction_log import LogExtent

READING_S = 4.0
"""New data is read for so long in a tick; the last one that was begun is finished."""


class Looks:
    """One per controller."""

    def __init__(self, monotonic_s: Callable[[], float], *, reading_s: float = READING_S) -> None:
        self._monotonic_s = monotonic_s
        self._reading_s = reading_s
        self._left_s = reading_s
        self._glances: dict[str, Glance] = {}
        self._seen: dict[str, LogExtent] = {}
        """How far the log reached when it was read last."""
        self._waiting: dict[str, None] = {}
        """Whose new data nobody has read yet, the one that waits longest first."""

    def __len__(self) -> int:
        """How many targets wait for their turn."""
        return len(self._waiting)

    def begin(self, targets: Sequence[Target], is_mine: Callable[[str], bool]) -> list[Target]:
        """A tick begins: ask about this controller's share; the targets, in the order to take."""
        mine = {t.model.target: t for t in targets if is_mine(t.model.target)}
        self._glances = survey([(target.model, target.desk) for target in mine.values()])
        self._seen = {name: extent for name, extent in self._seen.items() if name in mine}
        self._waiting = {name: None for name in self._waiting if name in mine}
        self._left_s = self._reading_s
        first = [mine[name] for name in self._waiting]
        return first + [each for each in targets if each.model.target not in self._waiting]

    def at(self, session: Session, *, is_troubled: bool) -> Observation:
        """What one look at the target finds. Raises Unavailable as ``observe`` does."""
        name, glance = session.target, self._glances.get(session.target, Glance())
        has_news = glance.extent is None or glance.extent != self._seen.get(name)
        if has_news and not is_troubled and self._left_s <= 0:
            self._waiting.setdefault(name)
            found = self._observe(session, glance, reads_log=False)
            if not any(goal.is_broken(found.facts) for goal in GOALS):
                return found
        began_s = self._monotonic_s()
        found = self._observe(session, glance, reads_log=True)
        if has_news:
            self._left_s -= self._monotonic_s() - began_s
        if glance.extent is not None and not found.missing:
            self._seen[name] = glance.extent
        self._waiting.pop(name, None)
        return found

    def glimpse(self, session: Session) -> Observation:
        """Its route, servers and counters only. Raises Unavailable as ``observe`` does."""
        glance = self._glances.get(session.target, Glance())
        return self._observe(session, glance, reads_log=False)

    def _observe(self, session: Session, glance: Glance, *, reads_log: bool) -> Observation:
        return observe(
            session.desk,
            session.model,
            session.memory,
            session.event_time,
            session.pulse,
            glance,
            reads_log=reads_log,
        )
