"""Adapter of the Traffic port on one machine: documents in files, rendered to a real Envoy.

A write is: document (durable, renamed into place), then its rendering, which Envoy watches. The
rendering is a function of documents, revision and endpoints, so whoever comes next repairs what a
crash left out. Endpoints (which server answers for a version) are published by the workloads
adapter. No document may send requests to a version without one, and none in use is withdrawn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.durable_files import locked, write_durably
from tools.envoy_admin import EnvoyAdmin, NotRunning
from tools.envoy_config import (
    cluster_name,
    cluster_references,
    clusters,
    routes,
    virtual_host,
)
from tools.errors import Conflict, Invalid, Refused, Unavailable, Uncertain
from tools.json_patch import apply_patch
from tools.route_store import RouteStore, document_name, shape_error
from tools.traffic import JsonPatch, RouteDocument
from tools.values import canonical_json

Body = dict[str, Any]

_POLL_S = 0.01


class EnvoyTraffic:
    """Implements Traffic, and the Endpoints of ``tools/local_processes.py``."""

    def __init__(
        self, routes_folder: Path, envoy_folder: Path, *, follow_within_s: float = 5.0
    ) -> None:
        """``follow_within_s`` bounds the wait for Envoy to take up a changed server."""
        self._store = RouteStore(routes_folder)
        self._folder = envoy_folder
        self._lock = routes_folder / ".lock"
        self._admin = EnvoyAdmin(envoy_folder / "ports.json")
        self._follow_within_s = follow_within_s

    def read(self, namespace: str, name: str) -> RouteDocument:
        """See Traffic. A document that Envoy cannot be told is read all the same; it keeps its
        last rendering, and ``applied`` says that it is not in force."""
        with self._locked():
            self._render()
            return _document(self._store.read(namespace, name))

    def create(self, body: Body) -> RouteDocument:
        """Store a new document; one that exists under its name is returned as it is.

        Raises Invalid or Refused when it is not a document that Envoy can follow.
        """
        name = document_name(body)
        with self._locked():
            if name in self._store.names():
                self._render()
                return _document(self._store.read(*name.split("/", 1)))
            return self._write(body, before=None)

    def patch(
        self, namespace: str, name: str, operations: JsonPatch, *, resource_version: str
    ) -> RouteDocument:
        """See Traffic. Refused when a changed route leads to a version without a server."""
        with self._locked():
            before = self._store.read(namespace, name)
            if before["metadata"]["resourceVersion"] != resource_version:
                raise Conflict(
                    f"VirtualService {namespace}/{name} is at "
                    f"{before['metadata']['resourceVersion']}, not {resource_version}"
                )
            what = f"VirtualService {namespace}/{name}"
            return self._write(apply_patch(before, operations, name=what), before=before)

    def applied(self, namespace: str, name: str, *, resource_version: str) -> bool | None:
        """See Traffic; None while Envoy does not answer."""
        try:
            in_force = self._admin.document_revision(f"{namespace}/{name}")
        except Unavailable:
            return None
        return in_force is not None and in_force >= int(resource_version)

    def publish(self, target: str, version: str, address: str) -> None:
        """Let requests be sent to a version's server; returns when Envoy knows it.

        Idempotent. Raises Unavailable when Envoy does not follow in time: publish again.
        """
        with self._locked():
            endpoints = self._endpoints()
            if endpoints.get(target, {}).get(version) != address:
                endpoints.setdefault(target, {})[version] = address
                self._write_endpoints(endpoints)
            self._render()
            self._await_clusters({cluster_name(target, version): address})

    def withdraw(self, target: str, version: str) -> None:
        """Forget a version's server, after Envoy has stopped sending requests to it.

        Idempotent. Raises Refused while a document leads to it, Unavailable when Envoy does not
        follow in time (the server must go on answering).
        """
        with self._locked():
            cluster = cluster_name(target, version)
            revision = self._render()
            self._check_unused(cluster)
            endpoints = self._endpoints()
            self._await(lambda: (self._admin.routes_revision() or 0) >= revision, "the routes")
            if endpoints.get(target, {}).pop(version, None) is not None:
                self._write_endpoints(endpoints)
            self._render()
            self._await(lambda: cluster not in self._admin.clusters(), f"the end of {cluster}")

    def endpoints(self, target: str) -> dict[str, str]:
        """Version to ``host:port`` of every published server of the target."""
        return dict(self._endpoints().get(target, {}))

    def render(self) -> None:
        """Bring Envoy's files up to date with documents and endpoints; call before it starts."""
        with self._locked():
            self._render()

    def _write(self, body: Body, *, before: Body | None) -> RouteDocument:
        wrong = shape_error(body, document_name(before or body))
        if wrong:
            raise Invalid(wrong)
        self._check_references(body, before)
        host = virtual_host(body)
        others = [h for h in self._virtual_hosts() if h["name"] != host["name"]]
        routes([*others, host], 0)
        stored, _ = self._store.write(body)
        try:
            self._render()
        except Unavailable as error:
            raise Uncertain(f"{host['name']} is stored, Envoy was not told: {error}") from error
        return _document(stored)

    def _check_references(self, body: Body, before: Body | None) -> None:
        """Routes that a write leaves alone may be broken; those it changes must lead to servers."""
        old = before["spec"]["http"] if before else []
        changed = [route for route in body["spec"]["http"] if route not in old]
        known = {
            cluster_name(target, version): address
            for target, versions in self._endpoints().items()
            for version, address in versions.items()
        }
        wanted = cluster_references(changed, body["metadata"]["namespace"])
        for cluster in sorted(wanted - set(known)):
            raise Refused(
                f"VirtualService {document_name(body)} would send requests to {cluster}, which has "
                "no server that was ever ready; start one first"
            )
        self._await_clusters({cluster: known[cluster] for cluster in wanted})

    def _check_unused(self, cluster: str) -> None:
        using = [
            document_name(body)
            for body in self._store.documents()[0].values()
            if cluster in _references(body)
        ]
        # A broken document keeps its last rendering, which counts as well.
        for host in self._rendered()["resources"][0]["virtual_hosts"]:
            if canonical_json(cluster) in canonical_json(host):
                using.append(host["name"])
        if using:
            raise Refused(
                f"{cluster} still gets requests by VirtualService {using[0]}; move its share away "
                "first"
            )

    def _render(self) -> int:
        """Write what differs from the files that Envoy watches; returns the revision rendered."""
        _, revision = self._store.documents()
        try:
            hosts = routes(self._virtual_hosts(), revision)
        except Refused:  # Two documents edited by hand claim one host: keep what was in force.
            hosts = self._rendered()
        self._update("cds.json", clusters(self._endpoints()))
        self._update("rds.json", hosts)
        return int(hosts["version_info"])

    def _virtual_hosts(self) -> list[Body]:
        """One per document; those that cannot be rendered or read keep the one they had."""
        documents, _ = self._store.documents()
        last = self._rendered()["resources"][0]["virtual_hosts"]
        kept = {host["name"]: host for host in last}
        rendered = []
        for name in self._store.names():
            try:
                rendered.append(self._servable_host(documents[name]))
            except (KeyError, Refused):
                rendered += [kept[name]] if name in kept else []
        return rendered

    def _servable_host(self, body: Body) -> Body:
        endpoints = self._endpoints()
        known = {cluster_name(target, v) for target in endpoints for v in endpoints[target]}
        if _references(body) - known:
            raise Refused(f"VirtualService {document_name(body)} leads to versions without server")
        return virtual_host(body)

    def _rendered(self) -> Body:
        try:
            return dict(json.loads((self._folder / "rds.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return routes([], 0)

    def _update(self, name: str, content: Body) -> None:
        path, text = self._folder / name, canonical_json(content)
        try:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_durably(path, text)
        except OSError as error:
            raise Unavailable(f"cannot write {path}: {error.strerror}; check space") from error

    def _endpoints(self) -> dict[str, dict[str, str]]:
        path = self._folder / "endpoints.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise Unavailable(f"cannot read {path}: {error}; restart the servers") from error

    def _write_endpoints(self, endpoints: dict[str, dict[str, str]]) -> None:
        self._update(
            "endpoints.json", {t: versions for t, versions in endpoints.items() if versions}
        )

    def _await_clusters(self, wanted: dict[str, str]) -> None:
        self._await(
            lambda: wanted.items() <= self._admin.clusters().items(), ", ".join(sorted(wanted))
        )

    def _await(self, follows: Callable[[], bool], what: str) -> None:
        """Wait until Envoy follows; an Envoy that does not run will start with the files."""
        deadline = time.monotonic() + self._follow_within_s
        try:
            while not follows():
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"Envoy did not take up {what} within {self._follow_within_s:g} s; look at "
                        f"{self._folder / 'envoy.log'}"
                    )
                time.sleep(_POLL_S)
        except NotRunning:
            return

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self._lock, timeout_s=2 * self._follow_within_s + 5):
            yield


def _references(body: Body) -> set[str]:
    return cluster_references(body["spec"]["http"], body["metadata"]["namespace"])


def _document(body: Body) -> RouteDocument:
    metadata = body["metadata"]
    return RouteDocument(
        name=metadata["name"],
        namespace=metadata["namespace"],
        body=body,
        resource_version=metadata["resourceVersion"],
    )
