"""What others' alerting says of a target: written down when it changes, a fact that opens nothing.

Whoever raised an alert measured something else than mendloop does. It is a reason to look at once,
and guardrails may hold back because of it; that something has to be done, only evidence says.
"""

from __future__ import annotations

from agents.facts import ALERTS, UNKNOWN, Scalar
from agents.memory import TargetMemory
from agents.ports import Desk
from tools.alerts import Alert
from tools.errors import Refused, Unavailable
from tools.managed_model import ManagedModel
from tools.values import Value


class Heard(Value):
    """What one look heard."""

    fact: Scalar = UNKNOWN
    fired: tuple[Alert, ...] = ()
    """New since the last look."""
    resolved: tuple[Alert, ...] = ()
    missing: str = ""
    """Why nobody could say; nothing was concluded from it."""

    @property
    def facts(self) -> dict[str, Scalar]:
        """The fact that follows."""
        return {ALERTS: self.fact}


def hear(desk: Desk, model: ManagedModel, memory: TargetMemory) -> tuple[TargetMemory, Heard]:
    """The memory with what fires now, and what changed."""
    if desk.alerts is None:
        return memory, Heard()
    try:
        firing = desk.alerts.of(model.target)
    except (Unavailable, Refused) as error:
        return memory, Heard(missing=str(error))
    before = {alert.fingerprint: alert for alert in memory.alerts}
    now = {alert.fingerprint: alert for alert in firing}
    heard = Heard(
        fact="firing" if now else "none",
        fired=tuple(alert for name, alert in now.items() if name not in before),
        resolved=tuple(alert for name, alert in before.items() if name not in now),
    )
    if not heard.fired and not heard.resolved:
        return memory, heard
    return memory.model_copy(update={"alerts": firing}), heard
