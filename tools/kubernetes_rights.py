"""What mendloop's account needs in a cluster, whether it has it, and the rule that would grant it.

The lists are what the adapters call; the chart grants the same (a test compares them). Source of
the reviews: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from tools.errors import MendloopError
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_kinds import Kind
from tools.values import Value

Body = dict[str, Any]
_ACCESS = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectAccessReview",
    plural="selfsubjectaccessreviews",
)
_SELF = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="SelfSubjectReview",
    plural="selfsubjectreviews",
)
_ACCOUNT = "system:serviceaccount:"


class Right(Value):
    """One verb on one resource; ``resource`` may name a subresource, as in ``pods/log``."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


def _rights(group: str, resource: str, *verbs: str) -> tuple[Right, ...]:
    return tuple(Right(group=group, resource=resource, verb=verb) for verb in verbs)


_ISTIO = "networking.istio.io"
TO_FOLLOW_RESOURCES = (
    *_rights("mendloop.dev", "managedmodels", "get", "list", "watch"),
    *_rights("mendloop.dev", "managedmodels/status", "patch"),
    *_rights("events.k8s.io", "events", "create"),
)
"""Where models are custom resources."""
TO_OBSERVE_TRAFFIC = (
    *_rights(_ISTIO, "virtualservices", "get", "list", "watch"),
    *_rights(_ISTIO, "destinationrules", "get", "list", "watch"),
)
TO_OBSERVE_SERVERS = (
    *_rights("apps", "deployments", "get", "list", "watch"),
    *_rights("", "pods", "list", "watch"),
)
TO_MOVE_TRAFFIC = (
    *_rights(_ISTIO, "virtualservices", "patch"),
    *_rights(_ISTIO, "destinationrules", "create", "patch"),
    *_rights("", "services", "get"),
)
TO_RUN_SERVERS = (
    *_rights("apps", "deployments", "create", "patch", "delete"),
    *_rights("", "services", "get", "create", "patch", "delete"),
    *_rights("autoscaling", "horizontalpodautoscalers", "list"),
    *_rights("", "configmaps", "get", "create", "update", "patch", "delete"),
    *_rights("policy", "poddisruptionbudgets", "create", "patch", "delete"),
)
TO_HOLD_LEASES = _rights(
    "coordination.k8s.io", "leases", "get", "list", "create", "update", "delete"
)
TO_KEEP_CONFIG_MAPS = _rights("", "configmaps", "get", "create", "update")
"""Kill switch and checkpoints, in mendloop's own namespace."""


def may(api: KubernetesApi, right: Right, namespace: str) -> bool:
    """Whether the account has the right in the namespace ("": in all). Raises what the API does."""
    resource, _, sub = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": sub,
        "namespace": namespace,
    }
    body = {
        "apiVersion": _ACCESS.api_version,
        "kind": _ACCESS.kind,
        "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
    }
    return bool((api.ask(_ACCESS, body).get("status") or {}).get("allowed"))


def account_of(api: KubernetesApi) -> str:
    """Who the API server takes this process for; empty where it does not say."""
    body = {"apiVersion": _SELF.api_version, "kind": _SELF.kind}
    try:
        user = (api.ask(_SELF, body).get("status") or {}).get("userInfo") or {}
    except MendloopError:  # older than Kubernetes 1.28
        return ""
    return str(user.get("username") or "")


def granting(rights: Iterable[Right], namespace: str, account: str) -> list[Body]:
    """The Role and its binding that would grant the rights; cluster-wide for namespace ""."""
    where = {"namespace": namespace} if namespace else {}
    prefix = "" if namespace else "Cluster"
    meta = {"name": "mendloop-missing", **where}
    api = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{api}/v1",
        "kind": f"{prefix}Role",
        "metadata": meta,
        "rules": _rules(rights),
    }
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": f"{prefix}RoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": api, "kind": f"{prefix}Role", "name": meta["name"]},
        "subjects": [_subject(account)],
    }
    return [role, binding]


def _rules(rights: Iterable[Right]) -> list[Body]:
    """One rule per set of verbs, so that a person can read it."""
    verbs: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for right in dict.fromkeys(rights):
        verbs[right.group, right.resource].append(right.verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": _in_order(found)}
        for (group, resource), found in verbs.items()
    ]


def _in_order(verbs: Sequence[str]) -> list[str]:
    known = ("get", "list", "watch", "create", "update", "patch", "delete")
    return sorted(verbs, key=known.index)


def _subject(account: str) -> Body:
    if account.startswith(_ACCOUNT):
        namespace, _, name = account.removeprefix(_ACCOUNT).partition(":")
        return {"kind": "ServiceAccount", "namespace": namespace, "name": name}
    return {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "User",
        "name": account or "THE-ACCOUNT-OF-MENDLOOP",
    }
