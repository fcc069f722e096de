"""Talks to a Kubernetes API server in documents; its failures leave as mendloop's own.

The one place that holds the vendor's client. Documents are plain JSON objects, as the API gives
them: mendloop edits documents that others own most of, and must not drop a field it does not know.
Nothing is retried here: whether a write may be repeated is known above.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain
from tools.traffic import JsonPatch
from tools.values import Value

Body = dict[str, Any]
FIELD_MANAGER = "mendloop"
_CONNECT_S = 3
_READ_S = 10
_JSON = "application/json"
_TRANSIENT = (408, 429, 500, 502, 503, 504)


class Kind(Value):
    """A kind of object: ``apiVersion`` is ``group/version``, or ``version`` for the core group."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """As documents say it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "") -> str:
        """The URL path of one object, or of all in the namespace."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


LEASE = Kind(group="coordination.k8s.io", version="v1", kind="Lease", plural="leases")
CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", plural="configmaps")
SERVICE = Kind(group="", version="v1", kind="Service", plural="services")
POD = Kind(group="", version="v1", kind="Pod", plural="pods")
DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", plural="deployments")
AUTOSCALER = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
)
POD_DISRUPTION_BUDGET = Kind(
    group="policy", version="v1", kind="PodDisruptionBudget", plural="poddisruptionbudgets"
)
VIRTUAL_SERVICE = Kind(
    group="networking.istio.io", version="v1", kind="VirtualService", plural="virtualservices"
)
DESTINATION_RULE = Kind(
    group="networking.istio.io", version="v1", kind="DestinationRule", plural="destinationrules"
)


class KubernetesApi:
    """Reads and writes objects; raises only errors of ``tools/errors.py``."""

    def __init__(self, client: Any) -> None:
        """``client``: a ``kubernetes.client.ApiClient``; see ``connect`` and ``at``."""
        self._client = client

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
        return self._call("GET", kind.path(namespace, name), what=_told(kind, namespace, name))

    def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[Body]:
        """Every object of a kind in a namespace, by selector such as ``app=flights``."""
        query = [("labelSelector", labels)] if labels else []
        where = _told(kind, namespace)
        return list(
            self._call("GET", kind.path(namespace), what=where, query=query).get("items") or []
        )

    def create(self, kind: Kind, body: Body) -> Body:
        """A new object. Raises Exists when there is one of this name."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        return self._call(
            "POST", kind.path(namespace), what=_told(kind, namespace, name), body=body
        )

    def replace(self, kind: Kind, body: Body) -> Body:
        """Write the whole object if it still has its ``resourceVersion``; else Conflict."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        path = kind.path(namespace, name)
        return self._call("PUT", path, what=_told(kind, namespace, name), body=body)

    def patch(self, kind: Kind, namespace: str, name: str, operations: JsonPatch) -> Body:
        """Apply RFC 6902 operations, all or none; NotAsRead where a test or a path fails."""
        return self._call(
            "PATCH",
            kind.path(namespace, name),
            what=_told(kind, namespace, name),
            body=[dict(operation) for operation in operations],
            content="application/json-patch+json",
        )

    def apply(self, kind: Kind, body: Body, *, force: bool = False) -> Body:
        """Server-side apply as ``mendloop``: owns exactly the fields in ``body``.

        Raises Conflict where another manager owns a field with another value, unless forced.
        """
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        query = [("fieldManager", FIELD_MANAGER), ("force", "true" if force else "false")]
        return self._call(
            "PATCH",
            kind.path(namespace, name),
            what=_told(kind, namespace, name),
            body=body,
            content="application/apply-patch+yaml",
            query=query,
        )

    def patch_status(self, kind: Kind, namespace: str, name: str, status: Body) -> Body:
        """Merge into the object's status, which is written apart from its spec."""
        return self._call(
            "PATCH",
            f"{kind.path(namespace, name)}/status",
            what=_told(kind, namespace, name),
            body={"status": status},
            content="application/merge-patch+json",
        )

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Remove an object; one that is gone already is no error."""
        try:
            what = _told(kind, namespace, name)
            self._call("DELETE", kind.path(namespace, name), what=what)
        except NotFound:
            return

    def _call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: Any = None,
        content: str = _JSON,
        query: Sequence[tuple[str, str]] = (),
    ) -> Body:
        with _translated(what, is_write=method != "GET"):
            found, _, _ = self._client.call_api(
                path,
                method,
                query_params=list(query),
                header_params={"Accept": _JSON, "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                response_type="object",
                _request_timeout=(_CONNECT_S, _READ_S),
            )
        if not isinstance(found, dict):
            raise Unavailable(f"{what}: the API server answered with something else than an object")
        return found


class NotFound(Invalid):
    """There is no such object."""


class Exists(Invalid):
    """There is one of this name already."""


class NotAsRead(Invalid):
    """A patch does not fit the object: a test failed, a path is missing, or a schema forbids it."""


def _client(settings: Any) -> Any:
    from kubernetes import client

    settings.retries = False  # urllib3 would repeat writes that may have happened
    return client.ApiClient(settings)


@contextmanager
def _translated(what: str, *, is_write: bool) -> Iterator[None]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

    try:
        yield
    except ApiException as error:
        raise _meaning(error, what, is_write=is_write) from error
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise Unavailable(f"{what}: the API server cannot be reached: {error}") from error
    except (HTTPError, ValueError) as error:
        if is_write:
            raise Uncertain(f"{what}: the answer was lost: {error}; read it again") from error
        raise Unavailable(f"{what}: no whole answer from the API server: {error}") from error


def _meaning(error: Any, what: str, *, is_write: bool) -> MendloopError:
    reason, message = _said(error)
    told = f"{what}: {message}"
    match error.status:
        case 404:
            return NotFound(told)
        case 409 if reason == "AlreadyExists":
            return Exists(told)
        case 409:
            return Conflict(told)
        case 410:
            return Conflict(told)
        case 401:
            return Refused(f"{told}; the API server does not accept the credentials: renew them")
        case 403:
            return Refused(f"{told}; grant it to mendloop's service account")
        case 429:
            return Unavailable(told, retry_after_s=_retry_after_s(error))
        case code if code in _TRANSIENT or code >= 500:
            if is_write:  # a time-out of the store behind the server: it may have been written
                return Uncertain(f"{told}; it may have been written, read it again")
            return Unavailable(told, retry_after_s=_retry_after_s(error))
        case 422:
            return NotAsRead(told)
        case _:
            return Invalid(told)


def _said(error: Any) -> tuple[str, str]:
    """(reason, message) of the Status object, or of whatever stands in its place."""
    try:
        status = json.loads(error.body or "")
        return str(status.get("reason", "")), str(status.get("message", error.reason))
    except (ValueError, AttributeError):
        return "", f"{error.status} {error.reason}"


def _retry_after_s(error: Any) -> float:
    try:
        return float((error.headers or {}).get("Retry-After", 1.0))
    except ValueError:
        return 1.0


def _told(kind: Kind, namespace: str, name: str = "") -> str:
    return f"{kind.kind} {namespace}/{name}" if name else f"{kind.plural} in {namespace}"
