"""VirtualService documents in memory, followed by a virtual data plane after a virtual delay."""

from __future__ import annotations

import copy
from typing import Any

from simulations.faults import Fault, exposed, no_fault
from tools.clock import Clock
from tools.errors import Conflict, Invalid, Refused, Unavailable
from tools.json_patch import apply_patch
from tools.route_store import document_name, shape_error
from tools.traffic import JsonPatch, RouteDocument
from tools.virtual_service import references

Body = dict[str, Any]


class MemoryTraffic:
    """Implements Traffic and Endpoints for all controllers of one simulated world."""

    def __init__(self, clock: Clock, *, follow_s: float = 0.0, fault: Fault = no_fault) -> None:
        """``follow_s``: how long the data plane takes to follow a write."""
        self._clock = clock
        self._follow_s = follow_s
        self._fault = fault
        self._revision = 0
        self._history: dict[str, list[tuple[float, Body]]] = {}
        self._endpoints: dict[str, dict[str, str]] = {}
        self._stuck: dict[str, Body] | None = None
        self._is_told = True

    def read(self, namespace: str, name: str) -> RouteDocument:
        """See Traffic."""
        with exposed(self._fault, "traffic.read"):
            return _document(self._newest(f"{namespace}/{name}"))

    def create(self, body: Body) -> RouteDocument:
        """Store a new document; one that exists under its name is returned as it is."""
        name = document_name(body)
        with exposed(self._fault, "traffic.create"):
            if name not in self._history:
                self._store(name, body, before=None)
            return _document(self._newest(name))

    def patch(
        self, namespace: str, name: str, operations: JsonPatch, *, resource_version: str
    ) -> RouteDocument:
        """See Traffic. Refused when a changed route leads to a version without a server."""
        full_name = f"{namespace}/{name}"
        with exposed(self._fault, "traffic.patch"):
            before = self._newest(full_name)
            in_store = before["metadata"]["resourceVersion"]
            if in_store != resource_version:
                raise Conflict(f"{full_name} is at {in_store}, not {resource_version}")
            after = apply_patch(before, operations, name=f"VirtualService {full_name}")
            self._store(full_name, after, before=before)
            return _document(self._newest(full_name))

    def applied(self, namespace: str, name: str, *, resource_version: str) -> bool | None:
        """See Traffic."""
        with exposed(self._fault, "traffic.applied"):
            if self._stuck is not None and not self._is_told:
                return True
            in_force = self.in_force(namespace, name)
            return in_force is not None and int(in_force.resource_version) >= int(resource_version)

    def publish(self, target: str, version: str, address: str) -> None:
        """See Endpoints."""
        with exposed(self._fault, "traffic.publish"):
            self._endpoints.setdefault(target, {})[version] = address

    def withdraw(self, target: str, version: str) -> None:
        """See Endpoints. Unavailable while the data plane still routes to the version."""
        with exposed(self._fault, "traffic.withdraw"):
            for name in self._history:
                if (target, f"v{version}") in _references(self._newest(name)):
                    raise Refused(f"v{version} of {target} still gets requests by {name}")
                followed = self.in_force(*name.split("/"))
                if followed and (target, f"v{version}") in _references(followed.body):
                    raise Unavailable(f"the data plane has not left v{version} of {target} yet")
            self._endpoints.get(target, {}).pop(version, None)

    def endpoints(self, target: str) -> dict[str, str]:
        """Version to address of every published server of the target."""
        return dict(self._endpoints.get(target, {}))

    def in_force(self, namespace: str, name: str) -> RouteDocument | None:
        """The document that the virtual data plane routes by now; None before the first."""
        full_name = f"{namespace}/{name}"
        if self._stuck is not None and full_name in self._stuck:
            return _document(self._stuck[full_name])
        now_s = self._clock.monotonic_s()
        followed = [
            body
            for written_s, body in self._history.get(full_name, [])
            if written_s + self._follow_s <= now_s
        ]
        return _document(followed[-1]) if followed else None

    def follow(self) -> None:
        """The data plane has followed everything that was written so far."""
        for history in self._history.values():
            history[-1] = (-self._follow_s, history[-1][1])

    def freeze(self, *, is_told: bool) -> None:
        """The data plane follows no more; ``applied`` says so, or claims that it does."""
        found = {name: self.in_force(*name.split("/")) for name in self._history}
        self._stuck = {name: document.body for name, document in found.items() if document}
        self._is_told = is_told

    def thaw(self) -> None:
        """It follows again, what was written meanwhile included."""
        self._stuck = None

    def edit(self, namespace: str, name: str, operations: JsonPatch) -> RouteDocument:
        """Somebody else's write: no revision is asked for, no fault stands in its way."""
        full_name = f"{namespace}/{name}"
        after = apply_patch(self._newest(full_name), operations, name=full_name)
        self._append(full_name, after)
        return _document(self._newest(full_name))

    def _newest(self, name: str) -> Body:
        if name not in self._history:
            raise Invalid(f"there is no VirtualService {name}")
        return self._history[name][-1][1]

    def _store(self, name: str, body: Body, *, before: Body | None) -> None:
        wrong = shape_error(body, name)
        if wrong:
            raise Invalid(wrong)
        old = before["spec"]["http"] if before else []
        changed = [route for route in body["spec"]["http"] if route not in old]
        for target, subset in _references(body, changed):
            if subset.removeprefix("v") not in self._endpoints.get(target, {}):
                raise Refused(f"{name} would send requests to {subset} of {target}: no server")
        self._append(name, body)

    def _append(self, name: str, body: Body) -> None:
        self._revision += 1
        stored = copy.deepcopy(body)
        stored["metadata"]["resourceVersion"] = str(self._revision)
        history = self._history.setdefault(name, [])
        history.append((self._clock.monotonic_s(), stored))
        # What the data plane has left behind for good is not needed again.
        followed = [i for i, (s, _) in enumerate(history) if s + self._follow_s <= history[-1][0]]
        del history[: max(followed, default=0)]


def _references(body: Body, routes: list[Body] | None = None) -> set[tuple[str, str]]:
    namespace = body["metadata"]["namespace"]
    wanted = body["spec"]["http"] if routes is None else routes
    return {reference for route in wanted for reference in references(route, namespace)}


def _document(body: Body) -> RouteDocument:
    metadata = body["metadata"]
    return RouteDocument(
        name=metadata["name"],
        namespace=metadata["namespace"],
        body=copy.deepcopy(body),
        resource_version=metadata["resourceVersion"],
    )
