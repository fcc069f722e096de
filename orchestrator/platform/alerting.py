"""Alerts of others: taken in by webhook, read from Alertmanager, or both; and their number."""

from __future__ import annotations

from collections.abc import Callable, Container

from orchestrator import metrics_words as words
from orchestrator.meter import Meter
from orchestrator.platform.cluster import token_of
from orchestrator.platform.keeping import Alerts as AlertSettings
from tools.alert_intake import AlertIntake, Taken
from tools.alertmanager import Alertmanager
from tools.alerts import Alert, Alerts
from tools.clock import Clock


class BothAlerts:
    """Implements Alerts with what was told and what is listed; each fingerprint once.

    Being told is faster, the list is right: what it does not show and nobody told since is over.
    """

    def __init__(self, intake: AlertIntake, listing: Alertmanager) -> None:
        self._intake, self._listing = intake, listing

    def of(self, target: str) -> tuple[Alert, ...]:
        """See Alerts."""
        listed, asked_s = self._listing.of_when(target)
        found = {alert.fingerprint: alert for alert in listed}
        self._intake.keep_listed(target, found, at_s=asked_s)
        found = {alert.fingerprint: alert for alert in self._intake.of(target)} | found
        return tuple(found[fingerprint] for fingerprint in sorted(found))


class Alerting:
    """The alerts' part of an installation."""

    def __init__(
        self,
        settings: AlertSettings,
        clock: Clock,
        targets: Callable[[], Container[str]],
        wake: Callable[[], None],
    ) -> None:
        """``wake`` is called when an alert fires that did not fire before."""
        self.intake: AlertIntake | None = None
        self._counted = Taken()
        token = token_of(settings.token_from, "alerts.tokenFrom")
        if settings.webhook and token is not None:
            self.intake = AlertIntake(
                token=token,
                targets=targets,
                clock=clock,
                wake=lambda _: wake(),
                most=settings.queue,
            )
        self.alerts: Alerts | None = self.intake
        if settings.alertmanager:
            listing = Alertmanager(settings.alertmanager, clock=clock)
            self.alerts = BothAlerts(self.intake, listing) if self.intake else listing

    def count(self, meter: Meter) -> None:
        """Add what has become of alerts since the last call."""
        if self.intake is None:
            return
        taken, before = self.intake.taken, self._counted
        self._counted = taken
        for result, count in taken.model_dump().items():
            meter.add(words.ALERTS_RECEIVED, count - getattr(before, result), result=result)
