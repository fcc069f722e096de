"""Events on an object of the cluster (``events.k8s.io/v1``): what ``kubectl describe`` shows.

Named after what they tell, so that one told twice is there once. They live for an hour or so; the
journal is the record. Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal

from tools.kubernetes_api import Exists, KubernetesApi
from tools.kubernetes_kinds import EVENT, Kind
from tools.values import Value

Body = dict[str, Any]
CONTROLLER = "mendloop.dev/controller"
_NOTE_BYTES = 1024


class Regarding(Value):
    """The object that an event is about."""

    kind: Kind
    namespace: str
    name: str
    uid: str


class Told(Value):
    """One event."""

    key: str
    """What it tells; the same key is the same event."""
    type: Literal["Normal", "Warning"]
    reason: str
    """One word, such as ``IncidentOpened``."""
    action: str
    """What was done, in one word, such as ``Diagnosing``."""
    note: str


def tell(api: KubernetesApi, about: Regarding, told: Told, *, instance: str, now: datetime) -> None:
    """Write the event; one that is there is left as it is. ``instance``: which controller."""
    digest = hashlib.sha256(f"{about.uid}/{told.key}".encode()).hexdigest()[:16]
    body: Body = {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"namespace": about.namespace, "name": f"{about.name}.{digest}"},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "type": told.type,
        "reason": told.reason,
        "action": told.action,
        "note": told.note.encode()[:_NOTE_BYTES].decode(errors="ignore"),
        "regarding": {
            "apiVersion": about.kind.api_version,
            "kind": about.kind.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }
    try:
        api.create(EVENT, body)
    except Exists:
        return
