"""A Kubernetes API server small enough to read, for tests where no real one runs.

It keeps what clients rely on: revisions and 409, JSON patch with 422 on a failed test, merge patch,
server-side apply with owners and conflicts, status subresources, lists in pages, field and label
selectors, watches with bookmarks, and 410 Gone for a revision that was compacted. It validates what
has a custom resource definition and runs no controller: a test plays the kubelet by writing status.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonpatch
from jsonpointer import JsonPointerException

from tests.stand_in.kubernetes_cluster import GROUPS as GROUPS
from tests.stand_in.kubernetes_cluster import Body, Entry, Key, Place
from tests.stand_in.kubernetes_cluster import Cluster as Cluster
from tests.stand_in.kubernetes_cluster import Failure as Failure
from tests.stand_in.object_meta import checked
from tests.stand_in.server_side_apply import OwnedElsewhere, apply, updated
from tests.stand_in.structural_schema import admitted, definition_errors, schema_in

DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
_UNCONDITIONAL = {
    ("", "configmaps"),
    ("", "pods"),
    ("apps", "deployments"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("events.k8s.io", "events"),
}
"""Kinds that may be replaced without saying which revision was read."""
_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|scale))?$"
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or whose connection a test broke, is no error of the server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def api_server(
    cluster: Cluster | None = None, *, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, Cluster]]:
    """(base URL, cluster) of a server on a free port, stopped at the end."""
    world = cluster or Cluster()
    handler = type("BoundHandler", (_Handler,), {"cluster": world})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}", world
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
            told = _discovery(self.cluster, url.path)
            found = told or work(
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
            with contextlib.suppress(OSError):  # whoever watched has gone
                self._watch(place, query)
            return None
        return self._page(place, query)

    def _page(self, place: Place, query: dict[str, str]) -> Body:
        cluster, token = self.cluster, query.get("continue", "")
        with cluster.changed:
            if token and token not in cluster.snapshots:
                raise Failure(410, "Expired", "The provided continue parameter is too old")
            items = cluster.snapshots.pop(token, None) if token else None
            if items is None:
                items = [
                    _listed(_read_as(body, place), place)
                    for key, body in sorted(cluster.objects.items())
                    if _is_in(key, place) and _selected(body, query)
                ]
            revision = token.partition(".")[0] or str(cluster.revision)
            limit = int(query.get("limit") or 0) or len(items)
            meta: Body = {"resourceVersion": revision}
            if len(items) > limit:
                meta["continue"] = f"{revision}.{uuid.uuid4()}"
                meta["remainingItemCount"] = len(items) - limit
                cluster.snapshots[meta["continue"]] = items[limit:]
        version = f"{place.group}/{place.version}".lstrip("/")
        return {"kind": "List", "apiVersion": version, "metadata": meta, "items": items[:limit]}

    def _post(self, place: Place, query: dict[str, str], body: Any) -> Body:
        if place.plural == "selfsubjectaccessreviews":
            attributes = body["spec"]["resourceAttributes"]
            return {**body, "status": {"allowed": self.cluster.allowed(attributes)}}
        if place.plural == "selfsubjectreviews":
            return {**body, "status": {"userInfo": {"username": self.cluster.user}}}
        name = body["metadata"]["name"]
        made = Place(place.group, place.version, place.namespace, place.plural, name, "")
        with self.cluster.changed:
            if made.key in self.cluster.objects:
                raise Failure(409, "AlreadyExists", f'{place.plural} "{name}" already exists')
            if place.namespace:
                body["metadata"]["namespace"] = place.namespace
            return self._stored(made, body, None)

    def _put(self, place: Place, query: dict[str, str], body: Any) -> Body:
        with self.cluster.changed:
            standing = self._existing(place)
            stated = body["metadata"].get("resourceVersion", "")
            if not stated and (place.group, place.plural) not in _UNCONDITIONAL:
                raise Failure(422, "Invalid", "metadata.resourceVersion: must be specified")
            if stated and stated != standing["metadata"]["resourceVersion"]:
                raise _conflict(place)
            return self._stored(place, {"kind": standing.get("kind"), **body}, standing)

    def _patch(self, place: Place, query: dict[str, str], body: Any) -> Body:
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        with self.cluster.changed:
            if kind in ("application/apply-patch+yaml", "application/apply-patch+json"):
                return self._apply(place, query, body)
            standing = self._existing(place)
            if kind == "application/json-patch+json":
                after = _json_patched(_read_as(standing, place), body)
            elif kind == "application/merge-patch+json" or (
                kind == "application/strategic-merge-patch+json" and _is_built_in(place.group)
            ):
                stated = body.get("metadata", {}).get("resourceVersion", "")
                if stated and stated != standing["metadata"]["resourceVersion"]:
                    raise _conflict(place)
                after = _merged(standing, body)
            else:
                raise Failure(415, "UnsupportedMediaType", f"cannot patch with {kind!r}")
            return self._stored(place, after, standing)

    def _apply(self, place: Place, query: dict[str, str], body: Body) -> Body:
        owner = query.get("fieldManager", "")
        if not owner:
            raise Failure(400, "BadRequest", "fieldManager is required for apply patch")
        standing = self.cluster.objects.get(place.key)
        meta = body.setdefault("metadata", {})
        if place.namespace:
            meta.setdefault("namespace", place.namespace)
        if "managedFields" in meta:
            raise Failure(400, "BadRequest", "metadata.managedFields must be nil")
        stated = meta.pop("resourceVersion", "")
        if stated and (standing is None or stated != standing["metadata"]["resourceVersion"]):
            raise _conflict(place)
        try:
            after = apply(standing, body, owner, force=query.get("force") == "true")
        except OwnedElsewhere as error:
            raise Failure(409, "Conflict", f"Apply failed with conflicts: {error}") from error
        return self._kept(place, after, standing)

    def _stored(self, place: Place, wanted: Body, standing: Body | None) -> Body:
        """What a write that is no apply leaves; who wrote owns what changed."""
        after = checked(place, copy.deepcopy(wanted), standing)
        if place.sub != "status":
            manager = self.headers.get("User-Agent", "").partition("/")[0]
            after = updated(standing, after, manager)
        return self._kept(place, after, standing)

    def _kept(self, place: Place, wanted: Body, standing: Body | None) -> Body:
        """What a write leaves: the status to its subresource, all else to the main one."""
        after = checked(place, copy.deepcopy(wanted), standing)
        if place.sub == "status" and standing is not None:
            after = {**standing, "status": after.get("status", {})}
        elif self.cluster.has_status(place.key):
            after.pop("status", None)
            if standing is not None and "status" in standing:
                after["status"] = standing["status"]
        if place.key[:2] == DEFINITIONS:
            errors = definition_errors(after)
            established = {"type": "Established", "status": "True"}
            after["status"] = {"conditions": [established]}
        else:
            after, errors = self._admitted(place, after)
        if errors:
            told = f'{place.plural} "{place.name}" is invalid: {"; ".join(errors)}'
            raise Failure(422, "Invalid", told)
        found = _read_as(self.cluster.put(place.key, after), place)
        if place.key[:2] == DEFINITIONS and standing is None:
            found["status"]["conditions"] = None  # its controller has not looked at it yet
        return found

    def _admitted(self, place: Place, after: Body) -> tuple[Body, list[str]]:
        """What a custom resource definition lets in, where there is one."""
        name = f"{place.plural}.{place.group}"
        definition = self.cluster.objects.get((*DEFINITIONS, "", name))
        if definition is None:
            return after, []
        return admitted(after, schema_in(definition, place.version))

    def _delete(self, place: Place, query: dict[str, str], body: Any) -> Body:
        with self.cluster.changed:
            standing = self._existing(place)
            stated = ((body or {}).get("preconditions") or {}).get("resourceVersion", "")
            if stated and stated != standing["metadata"]["resourceVersion"]:
                raise _conflict(place)
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
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with cluster.changed:
            cuts, is_gone = cluster.broken, 0 < seen < cluster.compacted
            standing = [] if seen else sorted(cluster.objects.items())
            seen = seen or cluster.revision
        if is_gone:
            gone = Failure(410, "Expired", f"too old resource version: {seen}")
            self._say({"type": "ERROR", "object": gone.body()})
        for key, body in standing:
            if _is_in(key, place) and _selected(body, query):
                self._say({"type": "ADDED", "object": _read_as(body, place)})
        while time.monotonic() < deadline and not is_gone:
            with cluster.changed:
                fresh = [entry for entry in cluster.log if entry.revision > seen]
                if cluster.broken > cuts:
                    self.close_connection = True
                    return
                if not fresh:
                    cluster.changed.wait(min(0.1, max(0.0, deadline - time.monotonic())))
            for entry in fresh:
                seen = entry.revision
                event = _event(entry, place, query)
                if event is not None:
                    self._say(event)
        if query.get("allowWatchBookmarks") == "true" and not is_gone:
            meta = {"resourceVersion": str(seen), "creationTimestamp": None}
            version = f"{place.group}/{place.version}".lstrip("/")
            mark = {"kind": "Bookmark", "apiVersion": version, "metadata": meta}
            self._say({"type": "BOOKMARK", "object": mark})
        self.wfile.write(b"0\r\n\r\n")

    def _say(self, event: Body) -> None:
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()


def _event(entry: Entry, place: Place, query: dict[str, str]) -> Body | None:
    """What somebody who selects sees: an object that no longer fits is gone to them."""
    if not _is_in(entry.key, place):
        return None
    is_there = entry.after is not None and _selected(entry.after, query)
    was_there = entry.before is not None and _selected(entry.before, query)
    if is_there and entry.after is not None:
        kind = "MODIFIED" if was_there else "ADDED"
        return {"type": kind, "object": _read_as(entry.after, place)}
    if not was_there or entry.before is None:
        return None
    gone = _read_as(entry.before, place)
    gone["metadata"]["resourceVersion"] = str(entry.revision)
    return {"type": "DELETED", "object": gone}


def _is_built_in(group: str) -> bool:
    return "." not in group or group.endswith("k8s.io")


def _listed(body: Body, place: Place) -> Body:
    """Lists of built-in kinds leave out what all their items have in common."""
    if not _is_built_in(place.group):
        return body
    return {name: value for name, value in body.items() if name not in ("kind", "apiVersion")}


def _discovery(cluster: Cluster, path: str) -> Body | None:
    """``/version``, and ``/apis/GROUP``: the versions in which a group is served."""
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    group = path.removeprefix("/apis/")
    if not path.startswith("/apis/") or "/" in group or group not in cluster.groups:
        return None
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in cluster.groups[group]]
    return {"kind": "APIGroup", "name": group, "versions": versions}


def _place(cluster: Cluster, path: str) -> Place:
    found = _PATH.match(path)
    if found is None or found["version"] not in cluster.groups.get(found["group"] or "", ()):
        raise Failure(404, "NotFound", "404 page not found")
    place = Place(**{name: value or "" for name, value in found.groupdict().items()})
    is_there = cluster.is_served(place.group, place.plural)
    if not is_there or (place.sub == "status" and not cluster.has_status(place.key)):
        raise Failure(404, "NotFound", "the server could not find the requested resource")
    return place


def _is_in(key: Key, place: Place) -> bool:
    return key[:2] == (place.group, place.plural) and place.namespace in ("", key[2])


def _selected(body: Body, query: dict[str, str]) -> bool:
    labels = body["metadata"].get("labels") or {}
    wanted = [p.partition("=") for p in query.get("labelSelector", "").split(",") if p]
    named = query.get("fieldSelector", "").removeprefix("metadata.name=")
    is_named = not named or body["metadata"]["name"] == named
    return is_named and all(
        labels.get(name) == value.lstrip("=") if equals else name in labels
        for name, equals, value in wanted
    )


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
