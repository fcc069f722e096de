"""Leases of a cluster: one ``coordination.k8s.io`` Lease per target, with a fencing token.

The token is an annotation that grows by one with every new owner, written in the same update as the
holder; every update carries the ``resourceVersion`` it was decided on, so two contenders cannot
both win. The object names the session of its holder and is in force as long as that session is
(``tools/kubernetes_replicas.py``): a thousand leases are held by renewing one object. What an owner
has under way when it loses one is stopped by the token.

A Lease is read before the session that it names, and written only as it was read: a session that
was not there yet when somebody looked for it is never taken for one that has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from tools.clock import Clock
from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_errors import Exists, NotFound
from tools.kubernetes_kinds import LEASE
from tools.kubernetes_replicas import ROLE, SESSION, KubernetesReplicas, micro_time, session_of
from tools.lease import Lease

Body = dict[str, Any]
TOKEN = "mendloop.dev/fencing-token"
TARGET = "mendloop.dev/target"
AUDIT_S = 60.0
"""How often the Leases that are held are read again: somebody may have deleted one."""

log = structlog.get_logger()


@dataclass(frozen=True)
class _Held:
    lease: Lease
    session: str


class KubernetesLeases:
    """Implements SharedLeases; one per process. ``namespace``: where the Lease objects are kept."""

    def __init__(
        self,
        api: KubernetesApi,
        clock: Clock,
        *,
        namespace: str,
        ttl_s: float = 15.0,
        margin_s: float = 3.0,
        poll_s: float = 0.5,
    ) -> None:
        """``ttl_s``: how long a dead holder keeps others waiting. ``margin_s``: how much earlier a
        live one that cannot renew stops to act; more than the slowest single write takes.
        ``poll_s``: how often replicas look at each other; a death is seen that much later."""
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._poll_s = poll_s
        self._replicas = KubernetesReplicas(
            api, clock, namespace=namespace, ttl_s=ttl_s, margin_s=margin_s, poll_s=poll_s
        )
        self._held: dict[str, _Held] = {}
        self._owed: dict[str, _Held] = {}
        """Given back, and not written yet: the API server did not answer."""
        self._audited_s = clock.monotonic_s()

    def acquire(self, target: str, holder: str) -> Lease | None:
        """See Leases. Raises Unavailable when the API server does not answer and no lease is in
        force."""
        name = _name(target)
        held = self._standing(target, holder, self._replicas.keep(holder))
        if held is not None:
            return held
        try:
            body = self._api.read(LEASE, self._namespace, name)
        except NotFound:
            body = None
        return self._take(target, holder, body)

    def acquire_many(self, targets: Collection[str], holder: str) -> dict[str, Lease]:
        """See SharedLeases. Reads all Leases with one call where there is anything to take."""
        for owed in list(self._owed.values()):
            self._give_back(owed)
        now_s = self._clock.monotonic_s()
        if not targets and now_s - self._audited_s < AUDIT_S:
            return {}
        found: dict[str, Lease] = {}
        try:
            self._replicas.keep(holder)
            everything = self._api.list(LEASE, self._namespace, labels=f"{ROLE}=target")
        except (Unavailable, Uncertain) as error:
            log.warning("leases.unknown", reason=str(error))
            return {}
        self._audited_s = now_s
        bodies = {_target(body): body for body in everything}
        self._audit(bodies)
        for target in targets:
            try:
                lease = self._standing(target, holder, self._replicas.keep(holder))
                lease = lease or self._take(target, holder, bodies.get(target))
            except MendloopError as error:
                log.warning("lease.unknown", target=target, reason=str(error))
                continue
            if lease is not None:
                found[target] = lease
        return found

    def is_held(self, lease: Lease) -> bool:
        """See Leases. The holder's own belief needs no API server; others ask it."""
        held = self._held.get(lease.target)
        if held is not None and held.lease == lease:
            return self._replicas.believed(lease.holder) == held.session
        owed = self._owed.get(lease.target)
        if owed is not None and owed.lease == lease:
            return False
        try:
            body = self._api.read(LEASE, self._namespace, _name(lease.target))
        except NotFound:
            return False
        if _holder(body) != lease.holder or _token(body) != lease.token:
            return False
        return not self._replicas.has_ended(session_of(body), lease.holder)

    def release(self, lease: Lease) -> None:
        """See Leases."""
        held = self._held.get(lease.target)
        if held is None or held.lease != lease:
            return
        del self._held[lease.target]
        self._give_back(held)

    def replicas(self, holder: str) -> frozenset[str]:
        """See SharedLeases."""
        self._replicas.keep(holder)
        return self._replicas.alive() | {holder}

    def leave(self, holder: str) -> None:
        """See SharedLeases."""
        for target in [t for t, held in self._held.items() if held.lease.holder == holder]:
            del self._held[target]
        self._owed.clear()
        self._replicas.end(holder)

    @contextlib.contextmanager
    def renewed(self, holder: str) -> Iterator[None]:
        """Keeps the leases while a tick takes longer than they last: a thread renews them.

        Whoever stops ticking must end: a process that hangs would keep its targets for good.
        """
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(self._poll_s):
                with contextlib.suppress(MendloopError):  # the tick meets the same, and says it
                    self.replicas(holder)

        thread = threading.Thread(target=keep, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _give_back(self, held: _Held) -> None:
        lease = held.lease
        self._owed.pop(lease.target, None)
        try:
            body = self._api.read(LEASE, self._namespace, _name(lease.target))
            if session_of(body) == held.session and _token(body) == lease.token:
                self._api.replace(LEASE, _given_back(body))
        except NotFound:
            return
        except (Unavailable, Uncertain):  # else nobody would get it while this replica lives
            self._owed[lease.target] = held

    def _standing(self, target: str, holder: str, session: str) -> Lease | None:
        """The lease that this process holds already, under the session in force."""
        held = self._held.get(target)
        if held is None or held.lease.holder != holder:
            return None
        if held.session == session:
            return held.lease
        del self._held[target]
        return None

    def _take(self, target: str, holder: str, body: Body | None) -> Lease | None:
        """One try; whoever loses the race to write comes again at the next tick."""
        session = self._replicas.keep(holder)
        if body is None:
            return self._first(target, holder, session)
        if _target(body) != target:
            raise Refused(f"Lease {self._namespace}/{_name(target)} is that of {_target(body)}")
        # One's own session, without knowing of it: an answer was lost. The next token is safe.
        is_free = not _holder(body) or session_of(body) == session
        if not is_free and not self._replicas.has_ended(session_of(body), _holder(body)):
            return None
        lease = Lease(target=target, holder=holder, token=_token(body) + 1)
        try:
            self._api.replace(LEASE, self._written(body, lease, session))
        except (Conflict, NotFound):
            return None
        return self._hold(lease, session)

    def _first(self, target: str, holder: str, session: str) -> Lease | None:
        body: Body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": _name(target), "namespace": self._namespace},
            "spec": {},
        }
        lease = Lease(target=target, holder=holder, token=1)
        try:
            self._api.create(LEASE, self._written(body, lease, session))
        except Exists:
            return None
        return self._hold(lease, session)

    def _hold(self, lease: Lease, session: str) -> Lease | None:
        self._held[lease.target] = _Held(lease, session)
        # The session may have run out while the write was on its way.
        return lease if self._replicas.believed(lease.holder) == session else None

    def _audit(self, bodies: dict[str, Body]) -> None:
        """Let go of what the objects do not say: somebody edited or deleted them."""
        for target, held in list(self._held.items()):
            body = bodies.get(target)
            if body is None or session_of(body) != held.session or _token(body) != held.lease.token:
                del self._held[target]

    def _written(self, body: Body, lease: Lease, session: str) -> Body:
        now = micro_time(self._clock.now())
        meta = body["metadata"]
        marks = {TOKEN: str(lease.token), TARGET: lease.target, SESSION: session}
        metadata = {
            **meta,
            "labels": {**(meta.get("labels") or {}), ROLE: "target"},
            "annotations": {**(meta.get("annotations") or {}), **marks},
        }
        spec = {
            **body["spec"],
            "holderIdentity": lease.holder,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": lease.token,
        }
        return {**body, "metadata": metadata, "spec": spec}


def _given_back(body: Body) -> Body:
    annotations = {**body["metadata"]["annotations"], SESSION: ""}
    return {
        **body,
        "metadata": {**body["metadata"], "annotations": annotations},
        "spec": {**body["spec"], "holderIdentity": ""},
    }


def _name(target: str) -> str:
    """A DNS name for the target; long ones are cut and told apart by a hash."""
    if not target:
        raise Invalid("expected namespace/name, got nothing", field="target")
    plain = re.sub(r"[^a-z0-9]+", "-", f"mendloop-{target}".lower())
    digest = hashlib.sha256(target.encode()).hexdigest()[:8]
    return f"{plain[:200].strip('-')}-{digest}"


def _target(body: Body) -> str:
    return str((body["metadata"].get("annotations") or {}).get(TARGET, ""))


def _holder(body: Body) -> str:
    return str(body.get("spec", {}).get("holderIdentity") or "")


def _token(body: Body) -> int:
    text = (body["metadata"].get("annotations") or {}).get(TOKEN, "0")
    if not text.isdecimal():
        raise Refused(
            f"Lease {body['metadata']['name']}: the annotation {TOKEN} is {text!r}, expected a "
            "whole number; write one higher than any in the journal"
        )
    return int(text)
