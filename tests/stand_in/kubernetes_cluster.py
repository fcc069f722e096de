"""The objects of a stand-in for a Kubernetes API server, their history, and who watches it."""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
Key = tuple[str, str, str, str]
"""Group, plural, namespace, name."""
GROUPS = {
    "": ("v1",),
    "apps": ("v1",),
    "autoscaling": ("v2",),
    "policy": ("v1",),
    "coordination.k8s.io": ("v1",),
    "events.k8s.io": ("v1",),
    "networking.istio.io": ("v1", "v1beta1"),
    "authorization.k8s.io": ("v1",),
    "authentication.k8s.io": ("v1",),
    "apiextensions.k8s.io": ("v1",),
    "mendloop.dev": ("v1alpha1",),
}
HAS_STATUS = {
    ("apps", "deployments"),
    ("", "pods"),
    ("", "services"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("policy", "poddisruptionbudgets"),
    ("networking.istio.io", "virtualservices"),
    ("mendloop.dev", "managedmodels"),
}
"""Kinds whose status is written apart: the main resource ignores it, ``/status`` all else."""
COUNTED = {
    ("apps", "deployments"),
    ("policy", "poddisruptionbudgets"),
    ("networking.istio.io", "virtualservices"),
    ("networking.istio.io", "destinationrules"),
    ("mendloop.dev", "managedmodels"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
}
"""Kinds that have a generation, which grows with their spec."""
OTHERS = {
    ("", "configmaps"),
    ("", "namespaces"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
}
"""What is served besides ``COUNTED`` and ``HAS_STATUS``."""


_KEPT = ("uid", "creationTimestamp", "resourceVersion")
"""What nobody but the API server writes."""


@dataclass(frozen=True)
class Failure(Exception):
    """What the API answers instead of an object."""

    code: int
    reason: str
    message: str

    def body(self) -> Body:
        """The Status object."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
        }


@dataclass(frozen=True)
class Place:
    """Which objects a request is about."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    sub: str

    @property
    def key(self) -> Key:
        """Where the object is stored, whatever version it is read in."""
        return (self.group, self.plural, self.namespace, self.name)


@dataclass(frozen=True)
class Entry:
    """One line of the history: the object after it, and before it."""

    revision: int
    key: Key
    after: Body | None
    before: Body | None


@dataclass
class Cluster:
    """The objects, and what happened to them."""

    groups: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(GROUPS))
    objects: dict[Key, Body] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    revision: int = 1
    compacted: int = 0
    """Watches from before this revision get 410 Gone."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    fault: Callable[[str, str], Failure | None] = lambda method, path: None
    """Asked before every request with its method and path."""
    allowed: Callable[[Body], bool] = lambda attributes: True
    """Answers SelfSubjectAccessReviews."""
    user: str = "admin"
    """Whom it takes everybody for."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    broken: int = 0
    """How often all watches were cut."""
    snapshots: dict[str, list[Body]] = field(default_factory=dict)
    """What is left to tell of lists that are read page by page, by continue token."""

    def compact(self) -> None:
        """Forget the history so far."""
        with self.changed:
            self.compacted = self.revision
            self.snapshots.clear()

    def break_watches(self) -> None:
        """Cut every watch in the midst of its answer."""
        with self.changed:
            self.broken += 1
            self.changed.notify_all()

    def put(self, key: Key, body: Body) -> Body:
        """Store an object at a new revision, telling those who watch."""
        with self.changed:
            before = self.objects.get(key)
            stored = copy.deepcopy(body)
            meta = stored.setdefault("metadata", {})
            if before is None:
                meta.setdefault("uid", str(uuid.uuid4()))
                meta["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            else:
                meta.update({name: before["metadata"][name] for name in _KEPT})
            self._count(key, stored, before)
            if stored == before:
                return copy.deepcopy(before)  # a write that changes nothing is none
            self.revision += 1
            meta["resourceVersion"] = str(self.revision)
            self.objects[key] = stored
            self._tell(Entry(self.revision, key, copy.deepcopy(stored), before))
            return copy.deepcopy(stored)

    def remove(self, key: Key) -> None:
        """Take an object away."""
        with self.changed:
            self.revision += 1
            gone = copy.deepcopy(self.objects.pop(key))
            gone["metadata"]["resourceVersion"] = str(self.revision)
            self._tell(Entry(self.revision, key, None, gone))

    def has_status(self, key: Key) -> bool:
        """Whether the kind's status is a subresource."""
        return key[:2] in HAS_STATUS

    def is_served(self, group: str, plural: str) -> bool:
        """Whether there is a resource of this name."""
        known = (group, plural) in HAS_STATUS | COUNTED | OTHERS
        definition = ("apiextensions.k8s.io", "customresourcedefinitions", "", f"{plural}.{group}")
        return known or definition in self.objects

    def _count(self, key: Key, stored: Body, before: Body | None) -> None:
        """The generation; a Deployment's grows with its annotations too."""
        meta, old = stored["metadata"], (before or {}).get("metadata", {})
        meta.pop("generation", None)
        if key[:2] not in COUNTED:
            return
        meta["generation"] = old.get("generation", 1)
        if before is None:
            return
        notes = key[1] == "deployments" and meta.get("annotations") != old.get("annotations")
        if notes or stored.get("spec") != before.get("spec"):
            meta["generation"] += 1

    def _tell(self, entry: Entry) -> None:
        self.log.append(entry)
        self.changed.notify_all()
