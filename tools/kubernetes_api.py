"""Talks to a Kubernetes API server in documents; its failures leave as mendloop's own.

The one place that holds the vendor's client. Documents are plain JSON objects, as the API gives
them: mendloop edits documents that others own most of, and must not drop a field it does not know.
Only ``managedFields`` stay behind: the API server keeps its own when they are missing in what is
written. Nothing is retried here: whether a write may be repeated is known above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tools.errors import Invalid, Unavailable
from tools.kubernetes_errors import Exists as Exists
from tools.kubernetes_errors import Gone as Gone
from tools.kubernetes_errors import NotAsRead as NotAsRead
from tools.kubernetes_errors import NotFound as NotFound
from tools.kubernetes_errors import translated
from tools.kubernetes_kinds import AUTOSCALER as AUTOSCALER
from tools.kubernetes_kinds import CONFIG_MAP as CONFIG_MAP
from tools.kubernetes_kinds import DEPLOYMENT as DEPLOYMENT
from tools.kubernetes_kinds import DESTINATION_RULE as DESTINATION_RULE
from tools.kubernetes_kinds import LEASE as LEASE
from tools.kubernetes_kinds import POD as POD
from tools.kubernetes_kinds import POD_DISRUPTION_BUDGET as POD_DISRUPTION_BUDGET
from tools.kubernetes_kinds import SERVICE as SERVICE
from tools.kubernetes_kinds import VIRTUAL_SERVICE as VIRTUAL_SERVICE
from tools.kubernetes_kinds import Kind as Kind
from tools.kubernetes_watch import Listing, Watch
from tools.traffic import JsonPatch

Body = dict[str, Any]
FIELD_MANAGER = "mendloop"
_TIMEOUT_S = (3.0, 10.0)  # to connect; of silence within an answer
_JSON = "application/json"
_PAGE = 500
"""Objects per answer of a list, as client-go asks for them."""
OnWrite = Callable[[Kind, str, str], None]
"""Called with kind, namespace and name of every write that may have taken effect."""


class KubernetesApi:
    """Reads and writes objects; raises only errors of ``tools/errors.py``."""

    def __init__(self, client: Any) -> None:
        """``client``: a ``kubernetes.client.ApiClient``; see ``connect`` and ``at``."""
        self._client = client
        self._listeners: list[OnWrite] = []
        self.timeout_s = _TIMEOUT_S

    def on_write(self, listener: OnWrite) -> None:
        """Tell ``listener`` of every write from now on, right after it was sent."""
        self._listeners.append(listener)

    @classmethod
    def connect(cls, *, kubeconfig: str | None = None, context: str | None = None) -> KubernetesApi:
        """The cluster that this process runs in, else that of the kubeconfig.

        In a pod, the service account's token is read again when it was renewed. Raises Invalid when
        neither is there.
        """
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        settings = client.Configuration()
        try:
            if kubeconfig is None and context is None:
                try:
                    config.load_incluster_config(client_configuration=settings)
                except ConfigException:
                    config.load_kube_config(client_configuration=settings)
            else:
                config.load_kube_config(kubeconfig, context, client_configuration=settings)
        except ConfigException as error:
            raise Invalid(
                f"no cluster is configured: {error}; run in a pod, set KUBECONFIG or name a context"
            ) from error
        return cls(_client(settings))

    @classmethod
    def at(cls, url: str) -> KubernetesApi:
        """An API server that asks for no credentials, such as ``kubectl proxy``."""
        from kubernetes import client

        settings = client.Configuration()
        settings.host = url
        return cls(_client(settings))

    def versions(self, group: str) -> tuple[str, ...]:
        """The versions in which the cluster serves a group; empty when it does not."""
        try:
            found = self._call("GET", f"/apis/{group}", what=f"API group {group}")
        except NotFound:
            return ()
        return tuple(entry["version"] for entry in found["versions"])

    def read(self, kind: Kind, namespace: str, name: str) -> Body:
        """One object. Raises NotFound."""
        return self._call("GET", kind.path(namespace, name), what=kind.told(namespace, name))

    def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[Body]:
        """Every object of a kind in a namespace, by selector such as ``app=flights``."""
        return self.listing(kind, namespace, labels=labels).items

    def listing(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing:
        """The same, with the revision that it shows; read page by page.

        Raises Gone when it took so long that the server forgot that revision.
        """
        items: list[Body] = []
        token = ""
        while True:
            query = [("limit", str(_PAGE))]
            query += [("labelSelector", labels)] if labels else []
            query += [("continue", token)] if token else []
            where = kind.told(namespace)
            found = self._call("GET", kind.path(namespace), what=where, query=query)
            for item in found.get("items") or []:  # built-in kinds leave these two out of lists
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.kind)
                items.append(_without_owners(item))
            meta = found.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return Listing(items, str(meta.get("resourceVersion") or ""))

    def watch(
        self,
        kind: Kind,
        namespace: str,
        *,
        revision: str,
        labels: str = "",
        timeout_s: int,
        grace_s: float = _TIMEOUT_S[1],
    ) -> Watch:
        """What happens after ``revision``, until the server ends it after ``timeout_s``."""
        query = [("watch", "true"), ("allowWatchBookmarks", "true")]
        query += [("resourceVersion", revision), ("timeoutSeconds", str(timeout_s))]
        query += [("labelSelector", labels)] if labels else []
        what = f"watch of {kind.told(namespace)}"
        with translated(what, is_write=False):
            response = self._client.call_api(
                kind.path(namespace),
                "GET",
                query_params=query,
                header_params={"Accept": _JSON},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(self.timeout_s[0], timeout_s + grace_s),
            )
        return Watch(response, what)

    def create(self, kind: Kind, body: Body) -> Body:
        """A new object. Raises Exists when there is one of this name."""
        namespace, name = _named(body)
        with self._telling(kind, namespace, name):
            what = kind.told(namespace, name)
            return self._call("POST", kind.path(namespace), what=what, body=body)

    def ask(self, kind: Kind, body: Body) -> Body:
        """Post a review (of access, of who one is): it is answered and not kept."""
        return self._call("POST", kind.path(""), what=kind.kind, body=body)

    def replace(self, kind: Kind, body: Body) -> Body:
        """Write the whole object if it still has its ``resourceVersion``; else Conflict."""
        namespace, name = _named(body)
        with self._telling(kind, namespace, name):
            path = kind.path(namespace, name)
            return self._call("PUT", path, what=kind.told(namespace, name), body=body)

    def patch(self, kind: Kind, namespace: str, name: str, operations: JsonPatch) -> Body:
        """Apply RFC 6902 operations, all or none; NotAsRead where a test or a path fails."""
        with self._telling(kind, namespace, name):
            return self._call(
                "PATCH",
                kind.path(namespace, name),
                what=kind.told(namespace, name),
                body=[dict(operation) for operation in operations],
                content="application/json-patch+json",
            )

    def apply(self, kind: Kind, body: Body, *, force: bool = False) -> Body:
        """Server-side apply as ``mendloop``: owns exactly the fields in ``body``.

        Raises Conflict where another manager owns a field with another value, unless forced.
        """
        namespace, name = _named(body)
        query = [("fieldManager", FIELD_MANAGER), ("force", "true" if force else "false")]
        with self._telling(kind, namespace, name):
            return self._call(
                "PATCH",
                kind.path(namespace, name),
                what=kind.told(namespace, name),
                body=body,
                content="application/apply-patch+yaml",
                query=query,
            )

    def patch_status(self, kind: Kind, namespace: str, name: str, status: Body) -> Body:
        """Merge into the object's status, which is written apart from its spec; lists are
        replaced, and a field that is None goes (RFC 7396)."""
        with self._telling(kind, namespace, name):
            return self._call(
                "PATCH",
                f"{kind.path(namespace, name)}/status",
                what=kind.told(namespace, name),
                body={"status": status},
                content="application/merge-patch+json",
            )

    def delete(self, kind: Kind, namespace: str, name: str, *, revision: str = "") -> None:
        """Remove an object; one that is gone already is no error. Conflict where it is not at
        ``revision`` any more."""
        body = {"preconditions": {"resourceVersion": revision}} if revision else None
        try:
            with self._telling(kind, namespace, name):
                what = kind.told(namespace, name)
                self._call("DELETE", kind.path(namespace, name), what=what, body=body)
        except NotFound:
            return

    def server_time(self) -> datetime:
        """The API server's clock, to the second, from the Date header of an answer."""
        _, headers = self._exchange("GET", "/version", what="API server's clock")
        told = next((value for name, value in headers.items() if name.lower() == "date"), "")
        try:
            return parsedate_to_datetime(told)
        except ValueError as error:
            raise Unavailable("the API server's answer bears no Date") from error

    def doubt(self, kind: Kind, namespace: str, name: str) -> None:
        """Tell those who keep copies that this one may be old."""
        for listener in self._listeners:
            listener(kind, namespace, name)

    @contextmanager
    def _telling(self, kind: Kind, namespace: str, name: str) -> Iterator[None]:
        """Whatever came of a write, copies from before it must not be trusted now."""
        try:
            yield
        finally:
            self.doubt(kind, namespace, name)

    def _call(self, method: str, path: str, **more: Any) -> Body:
        """The object that is answered; as ``_exchange``."""
        return _without_owners(self._exchange(method, path, **more)[0])

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: Any = None,
        content: str = _JSON,
        query: Sequence[tuple[str, str]] = (),
    ) -> tuple[Body, Mapping[str, str]]:
        """The object and the headers of an answer."""
        with translated(what, is_write=method != "GET"):
            found, _, headers = self._client.call_api(
                path,
                method,
                query_params=list(query),
                header_params={"Accept": _JSON, "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                response_type="object",
                _request_timeout=self.timeout_s,
            )
            if not isinstance(found, dict):
                raise ValueError("something else than an object")
        return found, headers


def _client(settings: Any) -> Any:
    from kubernetes import client

    settings.retries = False  # urllib3 would repeat writes that may have happened
    settings.connection_pool_maxsize = 64  # a watch keeps one for itself
    made = client.ApiClient(settings)
    made.user_agent = FIELD_MANAGER  # whose fields they are that were not applied
    return made


def _without_owners(body: Body) -> Body:
    """As copies from watches are kept: who reads one or the other sees the same."""
    (body.get("metadata") or {}).pop("managedFields", None)
    return body


def _named(body: Body) -> tuple[str, str]:
    """Namespace (empty for kinds that have none) and name."""
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]
