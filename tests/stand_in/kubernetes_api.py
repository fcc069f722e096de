"""A Kubernetes API server small enough to read, for tests where no real one runs.

It keeps what clients rely on: revisions and 409, JSON patch with 422 on a failed test, merge patch,
server-side apply with owners and conflicts, field and label selectors, watches with bookmarks, and
410 Gone for a revision that was compacted. It validates no schema and runs no controller: a test
plays the kubelet by writing status.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonpatch
from jsonpointer import JsonPointerException

from tests.stand_in.server_side_apply import OwnedElsewhere, apply

Body = dict[str, Any]
GROUPS = {
    "": ("v1",),
    "apps": ("v1",),
    "autoscaling": ("v2",),
    "policy": ("v1",),
    "coordination.k8s.io": ("v1",),
    "networking.istio.io": ("v1", "v1beta1"),
    "authorization.k8s.io": ("v1",),
    "mendloop.dev": ("v1alpha1",),
}
_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|scale))?$"
)


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
    def key(self) -> tuple[str, str, str, str]:
        """Where the object is stored, whatever version it is read in."""
        return (self.group, self.plural, self.namespace, self.name)


@dataclass
class Cluster:
    """The objects, and what happened to them."""

    groups: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(GROUPS))
    objects: dict[tuple[str, str, str, str], Body] = field(default_factory=dict)
    log: list[tuple[int, str, tuple[str, str, str, str], Body]] = field(default_factory=list)
    revision: int = 1
    compacted: int = 0
    """Watches from before this revision get 410 Gone."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    fault: Callable[[str, str], Failure | None] = lambda method, path: None
    """Asked before every request with its method and path."""
    allowed: Callable[[Body], bool] = lambda attributes: True
    """Answers SelfSubjectAccessReviews."""
    requests: list[tuple[str, str]] = field(default_factory=list)

    def compact(self) -> None:
        """Forget the history so far."""
        with self.changed:
            self.compacted = self.revision

    def put(self, key: tuple[str, str, str, str], body: Body) -> Body:
        """Store an object at a new revision, telling those who watch."""
        with self.changed:
            is_new = key not in self.objects
            self.revision += 1
            stored = copy.deepcopy(body)
            meta = stored.setdefault("metadata", {})
            meta["resourceVersion"] = str(self.revision)
            if is_new:
                meta.setdefault("uid", str(uuid.uuid4()))
                meta.setdefault("generation", 1)
            elif stored.get("spec") != self.objects[key].get("spec"):
                meta["generation"] = meta.get("generation", 1) + 1
            self.objects[key] = stored
            self._tell("ADDED" if is_new else "MODIFIED", key, stored)
            return copy.deepcopy(stored)

    def remove(self, key: tuple[str, str, str, str]) -> None:
        """Take an object away."""
        with self.changed:
            self.revision += 1
            gone = self.objects.pop(key)
            gone["metadata"]["resourceVersion"] = str(self.revision)
            self._tell("DELETED", key, gone)

    def _tell(self, kind: str, key: tuple[str, str, str, str], body: Body) -> None:
        self.log.append((self.revision, kind, key, copy.deepcopy(body)))
        self.changed.notify_all()


@contextmanager
def api_server(cluster: Cluster | None = None) -> Iterator[tuple[str, Cluster]]:
    """(base URL, cluster) of a server on a free port, stopped at the end."""
    world = cluster or Cluster()
    handler = type("BoundHandler", (_Handler,), {"cluster": world})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", world
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go in two writes
    cluster: Cluster

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read what happened from the cluster."""

    def _answer(self, work: Callable[[Place, dict[str, str], Any], Body | None]) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        self.cluster.requests.append((self.command, self.path))
        try:
            failure = self.cluster.fault(self.command, self.path)
            if failure is not None:
                raise failure
            groups = _discovery(self.cluster, url.path)
            found = groups or work(
                _place(self.cluster, url.path), query, json.loads(raw) if raw else None
            )
            if found is not None:
                self._send(200 if self.command != "POST" else 201, found)
        except Failure as error:
            self._send(error.code, error.body())

    def _send(self, code: int, body: Body) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _get(self, place: Place, query: dict[str, str], _: Any) -> Body | None:
        if place.name:
            return _read_as(self._existing(place), place)
        if query.get("watch") in ("1", "true"):
            self._watch(place, query)
            return None
        with self.cluster.changed:
            items = [
                _read_as(body, place)
                for key, body in sorted(self.cluster.objects.items())
                if _is_in(key, place) and _selected(body, query)
            ]
            revision = str(self.cluster.revision)
        version = f"{place.group}/{place.version}".lstrip("/")
        return {
            "kind": "List",
            "apiVersion": version,
            "metadata": {"resourceVersion": revision},
            "items": items,
        }

    def _post(self, place: Place, query: dict[str, str], body: Any) -> Body:
        if place.plural == "selfsubjectaccessreviews":
            attributes = body["spec"]["resourceAttributes"]
            return {**body, "status": {"allowed": self.cluster.allowed(attributes)}}
        name = body["metadata"]["name"]
        made = Place(place.group, place.version, place.namespace, place.plural, name, "")
        with self.cluster.changed:
            if made.key in self.cluster.objects:
                raise Failure(409, "AlreadyExists", f'{place.plural} "{name}" already exists')
            body["metadata"]["namespace"] = place.namespace
            return _read_as(self.cluster.put(made.key, body), made)

    def _put(self, place: Place, query: dict[str, str], body: Any) -> Body:
        with self.cluster.changed:
            standing = self._existing(place)
            stated = body["metadata"].get("resourceVersion", "")
            if stated and stated != standing["metadata"]["resourceVersion"]:
                raise _conflict(place)
            after = {**standing, "status": body.get("status")} if place.sub == "status" else body
            return _read_as(self.cluster.put(place.key, after), place)

    def _patch(self, place: Place, query: dict[str, str], body: Any) -> Body:
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        with self.cluster.changed:
            if kind in ("application/apply-patch+yaml", "application/apply-patch+json"):
                return self._apply(place, query, body)
            standing = self._existing(place)
            if kind == "application/json-patch+json":
                after = _json_patched(_read_as(standing, place), body)
            elif kind in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
                stated = body.get("metadata", {}).get("resourceVersion", "")
                if stated and stated != standing["metadata"]["resourceVersion"]:
                    raise _conflict(place)
                after = _merged(standing, body)
            else:
                raise Failure(415, "UnsupportedMediaType", f"cannot patch with {kind!r}")
            if after["metadata"].get("name") != place.name:
                raise Failure(422, "Invalid", "metadata.name: field is immutable")
            return _read_as(self.cluster.put(place.key, after), place)

    def _apply(self, place: Place, query: dict[str, str], body: Body) -> Body:
        owner = query.get("fieldManager", "")
        if not owner:
            raise Failure(400, "BadRequest", "fieldManager is required for apply patch")
        standing = self.cluster.objects.get(place.key)
        body.setdefault("metadata", {})["namespace"] = place.namespace
        try:
            after = apply(standing, body, owner, force=query.get("force") == "true")
        except OwnedElsewhere as error:
            raise Failure(409, "Conflict", f"Apply failed with conflicts: {error}") from error
        return _read_as(self.cluster.put(place.key, after), place)

    def _delete(self, place: Place, query: dict[str, str], _: Any) -> Body:
        with self.cluster.changed:
            self._existing(place)
            self.cluster.remove(place.key)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _existing(self, place: Place) -> Body:
        body = self.cluster.objects.get(place.key)
        if body is None:
            raise Failure(404, "NotFound", f'{place.plural} "{place.name}" not found')
        return copy.deepcopy(body)

    def _watch(self, place: Place, query: dict[str, str]) -> None:
        cluster, seen = self.cluster, int(query.get("resourceVersion") or 0)
        deadline = time.monotonic() + float(query.get("timeoutSeconds", 60))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if seen < cluster.compacted:
            gone = Failure(410, "Expired", f"too old resource version: {seen}")
            self._say({"type": "ERROR", "object": gone.body()})
            return
        while time.monotonic() < deadline:
            with cluster.changed:
                fresh = [entry for entry in cluster.log if entry[0] > seen]
                if not fresh:
                    cluster.changed.wait(min(0.1, max(0.0, deadline - time.monotonic())))
                    continue
            for revision, kind, key, body in fresh:
                seen = revision
                if _is_in(key, place) and _selected(body, query):
                    self._say({"type": kind, "object": _read_as(body, place)})
            if query.get("allowWatchBookmarks") == "true":
                mark = {"kind": "Bookmark", "metadata": {"resourceVersion": str(seen)}}
                self._say({"type": "BOOKMARK", "object": mark})

    def _say(self, event: Body) -> None:
        self.wfile.write(json.dumps(event).encode() + b"\n")
        self.wfile.flush()


def _discovery(cluster: Cluster, path: str) -> Body | None:
    """``/apis/GROUP``: the versions in which a group is served."""
    group = path.removeprefix("/apis/")
    if not path.startswith("/apis/") or "/" in group or group not in cluster.groups:
        return None
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in cluster.groups[group]]
    return {"kind": "APIGroup", "name": group, "versions": versions}


def _place(cluster: Cluster, path: str) -> Place:
    found = _PATH.match(path)
    if found is None or found["version"] not in cluster.groups.get(found["group"] or "", ()):
        raise Failure(404, "NotFound", "404 page not found")
    return Place(**{name: value or "" for name, value in found.groupdict().items()})


def _is_in(key: tuple[str, str, str, str], place: Place) -> bool:
    return key[:2] == (place.group, place.plural) and place.namespace in ("", key[2])


def _selected(body: Body, query: dict[str, str]) -> bool:
    labels = body["metadata"].get("labels") or {}
    wanted = [p.partition("=") for p in query.get("labelSelector", "").split(",") if p]
    named = query.get("fieldSelector", "").removeprefix("metadata.name=")
    is_named = not named or body["metadata"]["name"] == named
    return is_named and all(labels.get(name) == value.lstrip("=") for name, _, value in wanted)


def _read_as(body: Body, place: Place) -> Body:
    return {**copy.deepcopy(body), "apiVersion": f"{place.group}/{place.version}".lstrip("/")}


def _conflict(place: Place) -> Failure:
    message = f'Operation cannot be fulfilled on {place.plural} "{place.name}": the object has '
    return Failure(409, "Conflict", message + "been modified; please apply your changes")


def _json_patched(body: Body, operations: Any) -> Body:
    try:
        after = jsonpatch.apply_patch(body, operations)
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError) as error:
        raise Failure(422, "Invalid", f"the server rejected our request: {error}") from error
    if not isinstance(after, dict) or not isinstance(after.get("metadata"), dict):
        raise Failure(422, "Invalid", "the patch does not leave an object")
    return after


def _merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    after = dict(body) if isinstance(body, dict) else {}
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = _merged(after.get(name), value)
    return after
