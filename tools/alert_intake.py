"""Takes alerts by webhook: authenticated, bounded, each once; keeps those that fire.

Whoever may send here can make mendloop look, and nothing else: an alert is never a reason to change
anything. Alerts about nobody's model are let go at once; of one target only so many are kept, so
that a storm about one model does not hide what is said of another.
"""

from __future__ import annotations

import hmac
import threading
from collections import defaultdict
from collections.abc import Callable, Container

from tools.alert_document import Webhook, alert_of, read_webhook
from tools.alerts import Alert
from tools.clock import Clock
from tools.errors import Invalid, MendloopError
from tools.values import Value

MOST_BYTES = 8 * 1024 * 1024
"""Ten thousand alerts with their labels are half of it."""
_EXPIRES_S = 6 * 3600.0
"""Alertmanager repeats what fires every four hours unless told otherwise."""
_MOST_PER_TARGET = 20


class Answer(Value):
    """What the sender is answered."""

    status: int
    text: str


class Taken(Value):
    """What became of the alerts so far, for metrics."""

    fired: int = 0
    """Firing for the first time."""
    repeated: int = 0
    resolved: int = 0
    dropped: int = 0
    """Beyond the bounds."""
    unrelated: int = 0
    """About no managed model."""
    refused: int = 0
    """Requests that were not authenticated, too large or malformed."""


class AlertIntake:
    """Implements Alerts from what webhooks told."""

    def __init__(
        self,
        *,
        token: Callable[[], str],
        targets: Callable[[], Container[str]],
        clock: Clock,
        wake: Callable[[str], None] = lambda target: None,
        most: int = 1000,
        most_per_target: int = _MOST_PER_TARGET,
        most_bytes: int = MOST_BYTES,
        expires_s: float = _EXPIRES_S,
    ) -> None:
        """``token`` is read for every request; ``targets``: the models that are managed now;
        ``wake`` is told the target of each alert that fires for the first time."""
        self._token, self._targets, self._clock, self._wake = token, targets, clock, wake
        self._most, self._most_per_target = most, most_per_target
        self._most_bytes, self._expires_s = most_bytes, expires_s
        self._firing: dict[str, dict[str, tuple[Alert, float]]] = defaultdict(dict)
        """Target to fingerprint to (alert, when it was last told)."""
        self._count = 0
        self._taken = Taken()
        self._lock = threading.Lock()

    @property
    def taken(self) -> Taken:
        """What became of the alerts so far."""
        return self._taken

    def receive(self, authorization: str, length: str, read: Callable[[int], bytes]) -> Answer:
        """Answer one request: its headers ``Authorization`` and ``Content-Length``, and its body.

        The body is read only when the sender is known and the length is bearable.
        """
        refusal = self._refusal(authorization, length)
        if refusal is None:
            try:
                webhook = read_webhook(read(int(length)))
            except Invalid as error:
                refusal = Answer(status=400, text=str(error))
        if refusal is not None:
            with self._lock:
                self._count_up(refused=1)
            return refusal
        woken = self._take(webhook)
        for target in sorted(woken):
            self._wake(target)
        return Answer(status=200, text=f"{len(webhook.alerts)} alerts taken")

    def of(self, target: str) -> tuple[Alert, ...]:
        """See Alerts."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            standing = self._firing.get(target, {})
            for fingerprint, (_, told_s) in list(standing.items()):
                if now_s - told_s > self._expires_s:
                    self._forget(target, fingerprint)
            return tuple(standing[fingerprint][0] for fingerprint in sorted(standing))

    def keep_listed(self, target: str, listed: Container[str], *, at_s: float) -> None:
        """Whoever lists what fires listed these fingerprints at ``at_s``: others of which nothing
        was told since are over, and that it was said got lost."""
        with self._lock:
            for fingerprint, (_, told_s) in list(self._firing.get(target, {}).items()):
                if told_s < at_s and fingerprint not in listed:
                    self._forget(target, fingerprint)

    def _refusal(self, authorization: str, length: str) -> Answer | None:
        try:
            expected = f"Bearer {self._token()}"
        except MendloopError:
            return Answer(status=503, text="the token cannot be read here; try again")
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            return Answer(status=401, text="expected the bearer token of this intake")
        if not length.isdecimal():
            return Answer(status=411, text="expected a Content-Length")
        if len(length) > 12 or int(length) > self._most_bytes:
            return Answer(
                status=413,
                text=f"expected at most {self._most_bytes} bytes; set max_alerts in the receiver's"
                " webhook_config",
            )
        return None

    def _take(self, webhook: Webhook) -> set[str]:
        """Targets about which an alert fires that did not fire before."""
        managed, now_s = self._targets(), self._clock.monotonic_s()
        woken: set[str] = set()
        with self._lock:
            for told in webhook.alerts:
                alert = alert_of(told)
                if alert.target not in managed:
                    self._count_up(unrelated=1)
                elif told.status == "resolved":
                    self._forget(alert.target, alert.fingerprint)
                    self._count_up(resolved=1)
                elif self._keep(alert, now_s):
                    woken.add(alert.target)
        return woken

    def _keep(self, alert: Alert, now_s: float) -> bool:
        """Whether it is new; one that is known is told again."""
        standing = self._firing[alert.target]
        is_known = alert.fingerprint in standing
        is_full = len(standing) >= self._most_per_target or self._count >= self._most
        if not is_known and is_full:
            self._count_up(dropped=1)
            return False
        standing[alert.fingerprint] = (alert, now_s)
        self._count += not is_known
        self._count_up(repeated=1) if is_known else self._count_up(fired=1)
        return not is_known

    def _forget(self, target: str, fingerprint: str) -> None:
        if self._firing.get(target, {}).pop(fingerprint, None) is not None:
            self._count -= 1

    def _count_up(self, **more: int) -> None:
        grown = {name: getattr(self._taken, name) + count for name, count in more.items()}
        self._taken = self._taken.model_copy(update=grown)
