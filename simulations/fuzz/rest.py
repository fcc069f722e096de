"""Is everything at rest? After the last fault nothing may be left half-way without a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.journal.incidents import fold_incidents
from orchestrator.take_over import holder_of
from simulations.effects import LIFE
from tools.registry import CHALLENGER

if TYPE_CHECKING:
    from simulations.fuzz.world import FuzzWorld


def unrest(world: FuzzWorld, *, in_full: bool = False) -> list[str]:
    """What is still under way or left behind; empty when all is well.

    ``in_full``: with what open incidents wait for, which takes reading the whole journal.
    """
    if holder_of(world.journal, world.target) == "person" or _is_stuck_by_hand(world):
        return []  # mendloop stands down until a person has put it right
    incidents = fold_incidents(world.journal.events(kinds=LIFE))
    if any(i.status == "open" for i in incidents):
        return _told(world) if in_full else ["an incident is open"]
    is_for_a_person = any(i.status == "escalated" for i in incidents) and (
        world.settings.autonomy != "auto" or world.hand_moved
    )
    standing = world.standing()
    champion = standing.aliases.get("champion", "")
    found = []
    if dict(standing.shares) != {champion: 100} and not (standing.is_edited or is_for_a_person):
        found.append(f"the route says {dict(standing.shares)}, champion is {champion}")
    others = {v: p for v, p in standing.shares.items() if p and v != champion}
    if others and not standing.is_edited and not world.hand_moved:
        found.append(f"traffic that nobody watches: {others}, champion is {champion}")
    if standing.aliases.get(CHALLENGER, champion) != champion and not is_for_a_person:
        found.append(f"challenger {standing.aliases[CHALLENGER]} is undecided, nobody works on it")
    needed = {champion, *(v for v, p in standing.shares.items() if p)}
    needed |= {v for alias, v in standing.aliases.items()}
    leaked = sorted(set(standing.servers) - needed)
    if leaked and not is_for_a_person and not world.hand_moved:
        found.append(f"servers of versions {', '.join(leaked)} are left behind")
    return found


def _told(world: FuzzWorld) -> list[str]:
    events = list(world.journal.events())
    last = {e.incident: e for e in events}
    return [
        f"{i.id} ({i.goal}) is {i.status}: {[a.tool for a in i.actions][-4:]}, last event"
        f" {last[i.id].kind} {_short(last[i.id].payload)}"
        for i in fold_incidents(events)
        if i.status in ("open", "waiting")
    ]


def _is_stuck_by_hand(world: FuzzWorld) -> bool:
    """Somebody put the champion's alias on a version that cannot serve: only a person can say what
    was meant, and the incident says why it waits."""
    standing = world.standing()
    return world.hand_moved and standing.aliases.get("champion", "") not in standing.servable


def _short(payload: object) -> str:
    return str(payload)[:160]
