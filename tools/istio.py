"""Adapter of the Traffic port for Istio: VirtualServices in a Kubernetes cluster.

A write is a JSON patch that tests the ``resourceVersion`` it was decided on, so it takes effect on
exactly the document that was read, or not at all. Which routes are a target's and how they change
is decided above (``tools/routing.py``). Istio does not say whether its proxies follow: ``applied``
is unknown here, and the share of requests that Prometheus counts is what tells (evidence.md:
applied is not moved).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.errors import Conflict, Invalid, Refused
from tools.json_patch import apply_patch
from tools.kubernetes_api import (
    DESTINATION_RULE,
    POD,
    SERVICE,
    VIRTUAL_SERVICE,
    Exists,
    Kind,
    KubernetesApi,
    NotAsRead,
    NotFound,
)
from tools.kubernetes_cache import Reads
from tools.kubernetes_readings import is_ready
from tools.observed_share import ObservedShare
from tools.route_store import document_name, shape_error
from tools.traffic import JsonPatch, RouteDocument
from tools.virtual_service import read_split, references, target_of

GROUP = "networking.istio.io"
VERSIONS = ("v1", "v1beta1")
"""Best first; older Istios serve only the second."""

Body = dict[str, Any]


class IstioTraffic:
    """Implements Traffic. One instance serves any number of namespaces."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        share: ObservedShare | None = None,
        routed: Mapping[str, Sequence[tuple[str, str]]] | None = None,
        reads: Reads | None = None,
    ) -> None:
        """``reads`` answers those who observe, from copies perhaps; without it the API server does.
        ``share`` tells from counted requests whether the proxies follow; without it nothing
        does, and ``applied`` stays unknown. ``routed``: (target, destination host) of the models
        whose traffic each ``namespace/name`` of a VirtualService carries."""
        self._api, self._reads = api, reads or api
        self._istio = Istio(api)
        self._share = share
        self._routed = dict(routed or {})

    def read(self, namespace: str, name: str) -> RouteDocument:
        """See Traffic."""
        return self._document_of(self._reads, namespace, name)

    def _document_of(self, reads: Reads, namespace: str, name: str) -> RouteDocument:
        try:
            return _document(reads.read(self._istio.of(VIRTUAL_SERVICE), namespace, name))
        except NotFound as error:
            raise Invalid(
                f"there is no VirtualService {namespace}/{name}; make one, or correct "
                "spec.serving.route of the ManagedModel"
            ) from error

    def create(self, body: Body) -> RouteDocument:
        """Store a new document; one that exists under its name is returned as it is."""
        namespace, name = document_name(body).split("/", 1)
        kind = self._istio.of(VIRTUAL_SERVICE)
        try:
            return self._document_of(self._api, namespace, name)
        except Invalid:
            self._check(body, before=None)
        try:
            return _document(self._api.create(kind, {**body, "apiVersion": kind.api_version}))
        except Exists:
            return self._document_of(self._api, namespace, name)

    def patch(
        self, namespace: str, name: str, operations: JsonPatch, *, resource_version: str
    ) -> RouteDocument:
        """See Traffic. Refused when a changed route leads to a version without a ready server."""
        before = self._document_of(self._api, namespace, name)
        where = f"VirtualService {namespace}/{name}"
        if before.resource_version != resource_version:
            self._api.doubt(VIRTUAL_SERVICE, namespace, name)  # a copy that was behind
            raise Conflict(f"{where} is at {before.resource_version}, not {resource_version}")
        after = apply_patch(before.body, operations, name=where)
        self._check(after, before=before.body)
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}
        try:
            kind = self._istio.of(VIRTUAL_SERVICE)
            return _document(self._api.patch(kind, namespace, name, [test, *operations]))
        except NotFound as error:
            raise Conflict(f"{where} was removed meanwhile") from error
        except NotAsRead as error:
            now = self._document_of(self._api, namespace, name)
            if now.resource_version != resource_version:
                raise Conflict(f"{where} was written by others meanwhile") from error
            raise Invalid(f"{where}: the API server refuses the change: {error}") from error

    def applied(self, namespace: str, name: str, *, resource_version: str) -> bool | None:
        """See Traffic: Istio does not say; the share of requests that is counted does."""
        document = self.read(namespace, name)
        routed = self._routed.get(f"{namespace}/{name}", ())
        if self._share is None or not routed or document.resource_version != resource_version:
            return None
        answers = [
            self._share.follows(target, resource_version, read_split(document.body, host))
            for target, host in routed
        ]
        if False in answers:
            return False
        return None if None in answers else True

    def _check(self, body: Body, *, before: Body | None) -> None:
        """Whether every route that changes leads to somebody who answers."""
        wrong = shape_error(body, document_name(before or body))
        if wrong:
            raise Invalid(wrong)
        name, namespace = document_name(body), body["metadata"]["namespace"]
        old = before["spec"]["http"] if before else []
        changed = [route for route in body["spec"]["http"] if route not in old]
        reached = {found for route in changed for found in references(route, namespace)}
        standing = {found for route in old for found in references(route, namespace)}
        for target, subset in sorted(reached - standing):
            silence = self._silence(target, subset)
            if silence:
                raise Refused(f"{name} would send requests to {subset} of {target}: {silence}")

    def _silence(self, target: str, subset: str) -> str:
        """Why nobody answers for a subset of a host; empty when a ready pod does."""
        namespace, host = target.split("/", 1)
        rules = self._api.list(self._istio.of(DESTINATION_RULE), namespace)
        labels = _labels_of(rules, target, subset)
        if labels is None:
            return "no DestinationRule of the host declares this subset"
        try:
            service = self._api.read(SERVICE, namespace, host)
        except NotFound:
            return "there is no Service of this name"
        selector = {**(service["spec"].get("selector") or {}), **labels}
        if not selector:
            return "neither the Service nor the subset selects pods by label"
        wanted = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
        if not any(is_ready(pod) for pod in self._api.list(POD, namespace, labels=wanted)):
            return f"no pod with {wanted} is ready"
        return ""


class Istio:
    """The version in which a cluster serves Istio's documents; asked once."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._version = ""

    def of(self, kind: Kind) -> Kind:
        """The kind in that version. Raises Invalid where Istio is not installed."""
        if not self._version:
            served = self._api.versions(GROUP)
            found = [version for version in VERSIONS if version in served]
            if not found:
                raise Invalid(
                    f"the cluster serves no {GROUP}/{VERSIONS[0]}; install Istio's custom resources"
                )
            self._version = found[0]
        return kind.model_copy(update={"version": self._version})


def _labels_of(rules: list[Body], target: str, subset: str) -> dict[str, str] | None:
    for rule in rules:
        spec, namespace = rule.get("spec", {}), rule["metadata"]["namespace"]
        if target_of(str(spec.get("host", "")), namespace) != target:
            continue
        for entry in spec.get("subsets") or []:
            if entry.get("name") == subset:
                return dict(entry.get("labels") or {})
    return None


def _document(body: Body) -> RouteDocument:
    meta = body["metadata"]
    return RouteDocument(
        name=meta["name"],
        namespace=meta["namespace"],
        body=body,
        resource_version=meta["resourceVersion"],
    )
