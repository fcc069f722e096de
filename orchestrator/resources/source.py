"""Managed models that live in a cluster as custom resources, followed by a watch.

Every object is judged by itself: one that pydantic refuses is told so in its own status and hurts
no other; what becomes of a model whose document got broken is decided by the fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.model_source import Broken, Documents, ModelDocument
from tools.documents import parse_document
from tools.errors import Invalid
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_cache import WatchedObjects
from tools.kubernetes_kinds import MANAGED_MODEL
from tools.managed_model import ManagedModel
from tools.values import Value

Body = dict[str, Any]
_NOWHERE = Path("/")


class ResourceRef(Value):
    """One object, in one state of its spec."""

    namespace: str
    name: str
    uid: str
    generation: int

    @property
    def target(self) -> str:
        """As leases and journal events know it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Resource:
    """A custom resource as it was judged."""

    ref: ResourceRef
    model: ManagedModel | None
    """None: refused."""
    problem: str = ""
    """Why it is refused: the fields' paths, and what was expected there."""
    status: Body = field(default_factory=dict)
    """What it says of itself now."""


class ManagedModelResources:
    """Implements ModelSource with the ManagedModels of some namespaces, or of all."""

    may_be_empty = True
    """The API server says so itself: nothing was mounted that could be lost."""

    def __init__(
        self,
        watched: Sequence[WatchedObjects],
        *,
        take_in: Callable[[Mapping[str, Resource]], None] = lambda resources: None,
    ) -> None:
        """``watched``: of kind ManagedModel; see ``of``. ``take_in`` is told what there is whenever
        something changed (``StatusReporter.take_in``)."""
        self._watched, self._take_in = tuple(watched), take_in
        self._judged: dict[tuple[str, int, str], Resource] = {}
        """By uid, generation and labels: a status that is written is no new model."""
        self._changes: tuple[int, ...] = ()
        self._resources: dict[str, Resource] = {}
        self._documents: dict[str, ModelDocument | Broken] = {}

    @classmethod
    def of(
        cls,
        api: KubernetesApi,
        namespaces: Sequence[str] = (),
        *,
        take_in: Callable[[Mapping[str, Resource]], None] = lambda resources: None,
    ) -> ManagedModelResources:
        """Those in ``namespaces``; all when none is named."""
        wanted = tuple(namespaces) or ("",)
        watched = [WatchedObjects(api, MANAGED_MODEL, namespace=name) for name in wanted]
        return cls(watched, take_in=take_in)

    def start(self, *, timeout_s: float = 10.0) -> bool:
        """Begin to watch; whether everything was read once within the time."""
        for objects in self._watched:
            objects.start()
        return all(objects.await_copies(timeout_s) for objects in self._watched)

    def stop(self) -> None:
        """End the watch."""
        for objects in self._watched:
            objects.stop()

    def read(self) -> Documents:
        """See ModelSource. Raises Unavailable while the watch is broken."""
        self.resources()
        return self._documents

    def resources(self) -> Mapping[str, Resource]:
        """Every resource by its target. Raises Unavailable while the watch is broken: whoever has
        read them before goes on with those."""
        changes = tuple(objects.changes for objects in self._watched)
        if changes != self._changes:
            bodies = [body for objects in self._watched for body in objects.all("")]
            found = [self._judge(body) for body in bodies if not _is_leaving(body)]
            known = {_key(body) for body in bodies}
            self._judged = {key: one for key, one in self._judged.items() if key in known}
            self._resources = {resource.ref.target: resource for resource in found}
            documents = {f"ManagedModel {r.ref.target}": _document(r) for r in found}
            if documents != self._documents:
                self._documents = documents
            self._changes = changes
            self._take_in(self._resources)
        return self._resources

    def models(self) -> list[ManagedModel]:
        """The accepted ones, in order of their targets. Raises Unavailable."""
        found = self.resources()
        return [model for _, one in sorted(found.items()) if (model := one.model) is not None]

    def _judge(self, body: Body) -> Resource:
        key = _key(body)
        judged = self._judged.get(key)
        if judged is None:
            judged = self._judged[key] = judge(body)
        return Resource(judged.ref, judged.model, judged.problem, body.get("status") or {})


def _document(resource: Resource) -> ModelDocument | Broken:
    """As a fleet takes it; relative paths were refused, so any folder will do."""
    if resource.model is None:
        return Broken(resource.problem, _NOWHERE, target=resource.ref.target)
    return ModelDocument(resource.model, _NOWHERE)


def judge(body: Body) -> Resource:
    """What an object of the cluster comes to."""
    meta = body["metadata"]
    ref = ResourceRef(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 1),
    )
    try:
        return Resource(ref, model_of(body))
    except Invalid as error:
        return Resource(ref, None, str(error))


def model_of(body: Body) -> ManagedModel:
    """The document in a custom resource. Raises Invalid, naming the fields."""
    meta = body["metadata"]
    document = {
        "apiVersion": body.get("apiVersion"),
        "kind": body.get("kind"),
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": meta.get("labels") or {},
        },
        "spec": body.get("spec"),
    }
    source = f"ManagedModel {meta['namespace']}/{meta['name']}"
    model = parse_document(document, ManagedModel, source=source)
    history = model.spec.data.history
    if "://" not in history and not Path(history).is_absolute():
        raise Invalid(
            f"{source}: spec.data.history: expected a URL or an absolute path, a custom resource "
            f"lies in no folder; got {history!r}"
        )
    return model


def _key(body: Body) -> tuple[str, int, str]:
    meta = body["metadata"]
    labels = ",".join(f"{k}={v}" for k, v in sorted((meta.get("labels") or {}).items()))
    return meta["uid"], meta.get("generation", 1), labels


def _is_leaving(body: Body) -> bool:
    return bool(body["metadata"].get("deletionTimestamp"))
