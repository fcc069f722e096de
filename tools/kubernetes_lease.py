"""Leases of a cluster: one ``coordination.k8s.io`` Lease per target, with a fencing token.

The token is an annotation that grows by one with every new owner, written in the same update as the
holder; every update carries the ``resourceVersion`` it was decided on, so two contenders cannot
both win. A lease has run out when its object did not change for ``ttl_s`` *on the contender's own
clock*: the times in the object are for people, clocks of machines differ. Source:
https://kubernetes.io/docs/concepts/architecture/leases/ and client-go's leader election.

A holder believes in its lease for ``ttl_s - margin_s`` after the last renewal that succeeded,
counted from before it was sent: it stops acting before anybody else may begin. What it has under
way is stopped by the token.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tools.clock import Clock
from tools.errors import Conflict, Invalid, Refused, Unavailable, Uncertain
from tools.kubernetes_api import LEASE, Exists, KubernetesApi, NotFound
from tools.lease import Lease

Body = dict[str, Any]
TOKEN = "mendloop.dev/fencing-token"
TARGET = "mendloop.dev/target"
_RFC3339 = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass
class _Held:
    lease: Lease
    until_s: float
    renew_at_s: float


@dataclass
class _Seen:
    """Somebody's lease as this process last saw it change."""

    resource_version: str
    since_s: float


class KubernetesLeases:
    """Implements Leases; one per process. ``namespace`` is where the Lease objects are kept."""

    def __init__(
        self,
        api: KubernetesApi,
        clock: Clock,
        *,
        namespace: str,
        ttl_s: float = 15.0,
        margin_s: float = 3.0,
    ) -> None:
        """``ttl_s``: how long a dead holder keeps others waiting. ``margin_s``: how much earlier a
        live one that cannot renew stops to act; more than the slowest single write takes."""
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._ttl_s = ttl_s
        self._margin_s = margin_s
        self._held: dict[str, _Held] = {}
        self._seen: dict[str, _Seen] = {}

    def acquire(self, target: str, holder: str) -> Lease | None:
        """See Leases. Raises Unavailable when the API server does not answer and the lease that is
        held has run out, or none is held."""
        name = _name(target)
        began_s = self._clock.monotonic_s()
        held = self._held.get(target)
        if held is not None and held.lease.holder != holder:
            return None if began_s < held.until_s else self._take(target, name, holder, began_s)
        if held is not None and began_s < held.renew_at_s:
            return held.lease
        try:
            return self._take(target, name, holder, began_s)
        except (Unavailable, Uncertain):
            if held is not None and self._clock.monotonic_s() < held.until_s:
                return held.lease
            self._held.pop(target, None)
            raise

    def is_held(self, lease: Lease) -> bool:
        """See Leases. The holder's own belief needs no API server; others ask it."""
        held = self._held.get(lease.target)
        if held is not None and held.lease == lease:
            return self._clock.monotonic_s() < held.until_s
        try:
            body = self._api.read(LEASE, self._namespace, _name(lease.target))
        except NotFound:
            return False
        return _holder(body) == lease.holder and _token(body) == lease.token

    def release(self, lease: Lease) -> None:
        """See Leases."""
        held = self._held.get(lease.target)
        if held is None or held.lease != lease:
            return
        del self._held[lease.target]
        try:
            body = self._api.read(LEASE, self._namespace, _name(lease.target))
            if _holder(body) == lease.holder and _token(body) == lease.token:
                body["spec"]["holderIdentity"] = ""
                self._api.replace(LEASE, body)
        except (NotFound, Unavailable, Uncertain):
            return  # it runs out by itself

    def _take(self, target: str, name: str, holder: str, began_s: float) -> Lease | None:
        """One try; whoever loses the race to write comes again at the next tick."""
        try:
            body = self._api.read(LEASE, self._namespace, name)
        except NotFound:
            return self._first(target, name, holder, began_s)
        if body["metadata"].get("annotations", {}).get(TARGET, target) != target:
            raise Refused(f"Lease {self._namespace}/{name} is that of another target")
        known = self._held.get(target)
        is_mine = (
            known is not None
            and known.lease.holder == holder == _holder(body)
            and known.lease.token == _token(body)
        )
        if not is_mine and _holder(body) and not self._has_run_out(target, body, began_s):
            self._held.pop(target, None)
            return None
        token = _token(body) + (0 if is_mine else 1)
        lease = Lease(target=target, holder=holder, token=token)
        try:
            self._api.replace(LEASE, self._written(body, lease, is_new=not is_mine))
        except (Conflict, NotFound):
            self._held.pop(target, None)
            return None
        return self._hold(lease, began_s)

    def _first(self, target: str, name: str, holder: str, began_s: float) -> Lease | None:
        body: Body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": {},
        }
        lease = Lease(target=target, holder=holder, token=1)
        try:
            self._api.create(LEASE, self._written(body, lease, is_new=True))
        except Exists:
            return None
        return self._hold(lease, began_s)

    def _hold(self, lease: Lease, began_s: float) -> Lease:
        self._seen.pop(lease.target, None)
        self._held[lease.target] = _Held(
            lease=lease,
            until_s=began_s + self._ttl_s - self._margin_s,
            renew_at_s=began_s + self._ttl_s / 3,
        )
        return lease

    def _has_run_out(self, target: str, body: Body, now_s: float) -> bool:
        """Whether the object stood still for its whole time under this process's own eyes."""
        version = body["metadata"]["resourceVersion"]
        seen = self._seen.get(target)
        if seen is None or seen.resource_version != version:
            self._seen[target] = _Seen(version, now_s)
            return False
        ttl_s = float(body["spec"].get("leaseDurationSeconds") or self._ttl_s)
        return now_s - seen.since_s >= ttl_s

    def _written(self, body: Body, lease: Lease, *, is_new: bool) -> Body:
        now = self._clock.now().astimezone(UTC)
        annotations = {
            **(body["metadata"].get("annotations") or {}),
            TOKEN: str(lease.token),
            TARGET: lease.target,
        }
        spec = {
            **body["spec"],
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": max(1, round(self._ttl_s)),
            "renewTime": _micro_time(now),
        }
        if is_new:
            spec["acquireTime"] = spec["renewTime"]
            spec["leaseTransitions"] = lease.token
        return {
            **body,
            "metadata": {**body["metadata"], "annotations": annotations},
            "spec": spec,
        }


def _name(target: str) -> str:
    """A DNS name for the target; long ones are cut and told apart by a hash."""
    if not target:
        raise Invalid("expected namespace/name, got nothing", field="target")
    plain = re.sub(r"[^a-z0-9]+", "-", f"mendloop-{target}".lower())
    digest = hashlib.sha256(target.encode()).hexdigest()[:8]
    return f"{plain[:200].strip('-')}-{digest}"


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


def _micro_time(moment: datetime) -> str:
    return moment.strftime(_RFC3339)
