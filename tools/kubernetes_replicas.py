"""The replicas of a cluster: one Lease object each, whose renewal keeps all that the replica holds.

A target's Lease names the *session* of its holder and is in force as long as that session is. So
what is renewed every few seconds is one object per replica, however many targets it has. A session
is opened anew after each gap, under a name that was never used, and ends for good: whoever sees it
stand still for its whole time on its own clock deletes it, which fails if its owner renewed
meanwhile, and only then takes what it held. Clocks of machines differ: the times in the object are
for people. Source: https://kubernetes.io/docs/concepts/architecture/leases/ and, for sessions,
Burrows, The Chubby lock service (2006).

An owner believes in its session for ``ttl_s - margin_s`` after the last renewal that succeeded,
counted from before it was sent: it stops acting before anybody else may begin.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tools.clock import Clock
from tools.errors import Conflict, Unavailable, Uncertain
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_errors import Exists, NotFound
from tools.kubernetes_kinds import LEASE

Body = dict[str, Any]
SESSION = "mendloop.dev/session"
ROLE = "mendloop.dev/lease"
"""Label that tells the Leases of replicas from those of targets."""
_RFC3339 = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass
class _Mine:
    """A session of this process."""

    session: str
    body: Body
    """As written last."""
    until_s: float
    renew_at_s: float


@dataclass
class _Seen:
    """Somebody's session as this process last saw it change."""

    resource_version: str
    since_s: float


class KubernetesReplicas:
    """Keeps this process's sessions, and sees whether those of others are in force."""

    def __init__(
        self,
        api: KubernetesApi,
        clock: Clock,
        *,
        namespace: str,
        ttl_s: float,
        margin_s: float,
        poll_s: float,
    ) -> None:
        """``poll_s``: how often the others are looked at."""
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._ttl_s, self._margin_s, self._poll_s = ttl_s, margin_s, poll_s
        self._mine: dict[str, _Mine] = {}
        self._seen: dict[str, _Seen] = {}
        self._ended: set[str] = set()
        self._own: set[str] = set()
        """Every session that this process opened or may have opened."""
        self._alive: frozenset[str] = frozenset()
        self._looked_s = float("-inf")
        self._lock = threading.RLock()

    def keep(self, holder: str) -> str:
        """The holder's session, opened or renewed when that is due.

        Raises Unavailable when it is not in force and the API server does not answer.
        """
        session = self.believed(holder)
        if session and self._clock.monotonic_s() < self._mine[holder].renew_at_s:
            return session
        if not self._lock.acquire(blocking=not session):
            return session  # somebody renews it just now
        try:
            self._keep(holder)
        except (Exists, NotFound, Unavailable, Uncertain) as error:
            session = self.believed(holder)
            if session:
                return session
            raise Unavailable(f"{holder} cannot keep its leases: {error}") from error
        finally:
            self._lock.release()
        return self._mine[holder].session

    def believed(self, holder: str) -> str:
        """The holder's session while it may be acted on; empty: none. Asks nobody."""
        mine = self._mine.get(holder)
        if mine is None or self._clock.monotonic_s() >= mine.until_s:
            return ""
        return mine.session

    def alive(self) -> frozenset[str]:
        """The holders that live; those that stood still for their whole time are ended."""
        with self._lock:
            if self._clock.monotonic_s() - self._looked_s >= self._poll_s:
                now_s = self._clock.monotonic_s()
                found = self._api.list(LEASE, self._namespace, labels=f"{ROLE}=replica")
                self._alive = frozenset(
                    _holder(body) for body in found if not self._is_over(body, now_s)
                )
                self._looked_s = now_s
            return self._alive

    def has_ended(self, session: str, holder: str) -> bool:
        """Whether the session that a target's Lease names is over, for good.

        To be asked after the Lease was read: then a session that is not found was ended.
        """
        with self._lock:
            if not session or session in self._ended:
                return True
            try:
                body = self._api.read(LEASE, self._namespace, name_of(holder))
            except NotFound:
                self._ended.add(session)
                return True
            if session_of(body) != session:
                self._ended.add(session)
                return True
            return self._is_over(body, self._clock.monotonic_s())

    def end(self, holder: str) -> None:
        """This process's session is over; whoever reads it sees that at once."""
        with self._lock:
            mine = self._mine.pop(holder, None)
            if mine is None:
                return
            self._alive -= {holder}
            try:
                self._finish(mine.body)
            except (Unavailable, Uncertain):
                return  # it runs out by itself

    def _keep(self, holder: str) -> None:
        now_s = self._clock.monotonic_s()
        mine = self._mine.get(holder)
        if mine is None or now_s >= mine.until_s:
            self._open(holder, now_s)
        elif now_s >= mine.renew_at_s:
            self._renew(holder, mine, now_s)

    def _open(self, holder: str, now_s: float) -> None:
        """A new session; what one before held is void with the same write."""
        self._mine.pop(holder, None)
        session = uuid.uuid4().hex
        self._own.add(session)
        body: Body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": name_of(holder), "namespace": self._namespace},
            "spec": {},
        }
        try:
            written = self._api.create(LEASE, self._written(body, holder, session))
        except Exists:
            standing = self._api.read(LEASE, self._namespace, name_of(holder))
            if session_of(standing) in self._own:
                written = self._api.replace(LEASE, self._written(standing, holder, session))
            elif self._is_over(standing, now_s):
                written = self._api.create(LEASE, self._written(body, holder, session))
            else:
                raise Unavailable(f"another replica calls itself {holder}") from None
        self._believe(holder, session, written, now_s)

    def _renew(self, holder: str, mine: _Mine, now_s: float) -> None:
        try:
            written = self._api.replace(LEASE, self._written(mine.body, holder, mine.session))
        except NotFound:
            self._open(holder, now_s)
            return
        except Conflict:  # an answer was lost, somebody put a note on it, or it was ended
            standing = self._api.read(LEASE, self._namespace, name_of(holder))
            if session_of(standing) != mine.session:
                self._open(holder, now_s)
                return
            written = self._api.replace(LEASE, self._written(standing, holder, mine.session))
        self._believe(holder, mine.session, written, now_s)

    def _believe(self, holder: str, session: str, written: Body, began_s: float) -> None:
        self._mine[holder] = _Mine(
            session=session,
            body=written,
            until_s=began_s + self._ttl_s - self._margin_s,
            renew_at_s=began_s + self._ttl_s / 3,
        )

    def _is_over(self, body: Body, now_s: float) -> bool:
        """Whether it ended, or is ended now because it stood still under this process's eyes."""
        session, holder = session_of(body), _holder(body)
        if not session:
            return True
        mine = self._mine.get(holder)
        if mine is not None and mine.session == session:
            return False
        version = body["metadata"]["resourceVersion"]
        seen = self._seen.get(session)
        if seen is None or seen.resource_version != version:
            self._seen[session] = _Seen(version, now_s)
            return False
        ttl_s = float(body["spec"].get("leaseDurationSeconds") or self._ttl_s)
        if now_s - seen.since_s < ttl_s:
            return False
        try:
            self._finish(body)
        except (Unavailable, Uncertain):
            return False  # renewed just now, or nobody knows: asked again
        self._ended.add(session)
        del self._seen[session]
        return True

    def _finish(self, body: Body) -> None:
        """Take it away as it was read: its owner's renewal forestalls that."""
        meta = body["metadata"]
        self._api.delete(LEASE, self._namespace, meta["name"], revision=meta["resourceVersion"])

    def _written(self, body: Body, holder: str, session: str) -> Body:
        now = micro_time(self._clock.now())
        metadata = {
            **body["metadata"],
            "labels": {**(body["metadata"].get("labels") or {}), ROLE: "replica"},
            "annotations": {**(body["metadata"].get("annotations") or {}), SESSION: session},
        }
        spec = {
            **body["spec"],
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._ttl_s)),
            "renewTime": now,
        }
        if session_of(body) != session:
            spec["acquireTime"] = now
        return {**body, "metadata": metadata, "spec": spec}


def name_of(holder: str) -> str:
    """The name of a replica's Lease."""
    return f"mendloop-replica-{hashlib.sha256(holder.encode()).hexdigest()[:16]}"


def session_of(body: Body) -> str:
    """The session that a Lease names, of a replica or of a target."""
    return str((body["metadata"].get("annotations") or {}).get(SESSION, ""))


def micro_time(moment: datetime) -> str:
    """Kubernetes' MicroTime."""
    return moment.astimezone(UTC).strftime(_RFC3339)


def _holder(body: Body) -> str:
    return str(body.get("spec", {}).get("holderIdentity") or "")
