"""Port: what somebody else's alerting says about a target just now.

An alert is a reason to look, and evidence for people; nothing is changed because of one. Adapters:
``tools/alertmanager.py`` (asks), ``tools/alert_intake.py`` (is told by webhook).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tools.values import Value

TARGET_LABEL = "mendloop_target"
"""``namespace/name``; without it, the labels ``namespace`` and ``model`` say the same."""


class Alert(Value):
    """One alert that fires."""

    fingerprint: str
    """The same for the same labels."""
    target: str
    """``namespace/name`` of the managed model that it is about."""
    name: str
    severity: str = ""
    summary: str = ""
    starts_at: str = ""
    """ISO 8601, by the clock of whoever raised it: for people."""


class Alerts(Protocol):
    """Tells which alerts fire."""

    def of(self, target: str) -> tuple[Alert, ...]:
        """Those about the target, by fingerprint. Raises Unavailable when nobody can say."""


class NoAlerts:
    """Implements Alerts where nothing raises any."""

    def of(self, target: str) -> tuple[Alert, ...]:
        """See Alerts."""
        return ()


def target_of(labels: Mapping[str, str]) -> str:
    """The target that an alert's labels name; empty when they name none."""
    named = labels.get(TARGET_LABEL, "")
    if named:
        return named
    namespace, model = labels.get("namespace", ""), labels.get("model", "")
    return f"{namespace}/{model}" if namespace and model else ""
