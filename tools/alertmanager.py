"""Adapter of the Alerts port: asks Alertmanager's API which alerts fire.

One question serves every target for a while, however many there are. Silenced and inhibited alerts
do not count: somebody decided that nobody is to be told.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

import httpx

from tools.alert_document import alert_of, read_listed
from tools.alerts import Alert
from tools.clock import Clock
from tools.errors import Invalid, MendloopError, Refused, Unavailable

_ASKED = {"active": "true", "silenced": "false", "inhibited": "false", "unprocessed": "false"}
_MOST_BYTES = 32 * 1024 * 1024


class Alertmanager:
    """Implements Alerts."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        token: Callable[[], str] | None = None,
        timeout_s: float = 5.0,
        fresh_s: float = 10.0,
    ) -> None:
        """``fresh_s``: how long an answer, or that there was none, is good for all targets."""
        self._url = url.rstrip("/")
        self._clock, self._token = clock, token
        self._timeout_s, self._fresh_s = timeout_s, fresh_s
        self._known: dict[str, list[Alert]] | MendloopError | None = None
        self._asked_s = 0.0
        self._lock = threading.Lock()

    def of(self, target: str) -> tuple[Alert, ...]:
        """See Alerts. Refused when the token is not accepted."""
        return self.of_when(target)[0]

    def of_when(self, target: str) -> tuple[tuple[Alert, ...], float]:
        """The same, and when that was asked, by the monotonic clock."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._known is None or now_s - self._asked_s >= self._fresh_s:
                self._asked_s = now_s
                self._known = self._ask()
            known, asked_s = self._known, self._asked_s
        if isinstance(known, MendloopError):
            raise known
        found = sorted(known.get(target, []), key=lambda alert: alert.fingerprint)
        return tuple(found), asked_s

    def _ask(self) -> dict[str, list[Alert]] | MendloopError:
        try:
            found: dict[str, list[Alert]] = defaultdict(list)
            for told in read_listed(self._listed()):
                alert = alert_of(told)
                if told.status.state == "active" and alert.target:
                    found[alert.target].append(alert)
        except Invalid as error:
            return Unavailable(f"{self._host()}: not what Alertmanager answers: {error}")
        except MendloopError as error:
            return error
        return dict(found)

    def _listed(self) -> object:
        headers = {"Authorization": f"Bearer {self._token()}"} if self._token else {}
        try:
            with httpx.Client(timeout=self._timeout_s, trust_env=False) as client:
                answer = client.get(f"{self._url}/api/v2/alerts", params=_ASKED, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{self._host()} does not answer: {type(error).__name__}") from error
        if answer.status_code in (401, 403):
            raise Refused(
                f"{self._host()} answers {answer.status_code}: give mendloop a token that may read "
                "alerts"
            )
        if answer.status_code != 200:
            raise Unavailable(f"{self._host()} answers {answer.status_code}")
        if len(answer.content) > _MOST_BYTES:
            raise Unavailable(f"{self._host()} answers {len(answer.content)} bytes of alerts")
        try:
            return answer.json()
        except ValueError as error:
            raise Invalid(f"expected JSON: {error}") from error

    def _host(self) -> str:
        return f"Alertmanager at {httpx.URL(self._url).host}"
