"""What a version's server consists of in a cluster: pure functions from a template to documents.

One Deployment, one Service and one ConfigMap per version, named after both. The container runs as
nobody on a read-only disk, as the ``restricted`` pod security standard asks
(https://kubernetes.io/docs/concepts/security/pod-security-standards/).
"""

from __future__ import annotations

from typing import Any

from tools.kubernetes_api import CONFIG_MAP, DEPLOYMENT, POD_DISRUPTION_BUDGET, SERVICE
from tools.values import Value, canonical_json
from tools.workloads import ServerRequest, ServingConfig

Body = dict[str, Any]

TARGET_LABEL = "mendloop.dev/target"
VERSION_LABEL = "mendloop.dev/version"
KEY = "mendloop.dev/key"
DIGEST = "mendloop.dev/artifact-digest"
RESTART = "mendloop.dev/restart"
CONFIG_FILE = "config.json"
PORT = 8080
CONTAINER = "server"


class ServerTemplate(Value):
    """How the servers of one target are run; what a platform team decides."""

    model: str
    """Name in the registry, from which the init container fetches the artifact."""
    image: str
    """Pinned by digest in production."""
    replicas: int = 2
    service_account: str = "default"
    cpu: str = "500m"
    memory: str = "1Gi"
    memory_limit: str = "2Gi"
    environment: tuple[tuple[str, str], ...] = ()
    """Such as ``MLFLOW_TRACKING_URI``; no secrets, those come from ``secret``."""
    secret: str = ""
    """Name of a Secret whose keys become environment variables of the init container."""
    log: str = "/predictions"
    """Where predictions are written: ``postgresql://writer@host/database``, which mendloop reads
    too, or a folder of the pod, which goes with it."""
    log_secret: str = ""
    """Name of a Secret whose keys become environment variables of the server, such as
    ``PGPASSWORD``."""
    ready_within_s: int = 300
    """Progress deadline: a rollout that makes none for so long has failed."""
    node_selector: tuple[tuple[str, str], ...] = ()


def server_name(target: str, version: str) -> str:
    """``flights-v3``."""
    return f"{target.partition('/')[2]}-v{version.lower()}"


def labels_of(target: str, version: str) -> dict[str, str]:
    """Labels of everything that belongs to a version; Istio reads ``app`` and ``version``."""
    service = target.partition("/")[2]
    return {
        "app": service,
        "version": f"v{version}",
        TARGET_LABEL: service,
        VERSION_LABEL: version,
    }


def config_map(target: str, version: str, config: ServingConfig) -> Body:
    """The configuration that a running server takes up by itself."""
    body = _object(CONFIG_MAP.api_version, CONFIG_MAP.kind, target, version)
    return {**body, "data": {CONFIG_FILE: canonical_json(config.model_dump(mode="json"))}}


def service(target: str, version: str) -> Body:
    """An address for the version alone, for probing and scraping; users go by the route."""
    body = _object(SERVICE.api_version, SERVICE.kind, target, version)
    port = {"name": "http", "port": 80, "targetPort": PORT, "protocol": "TCP"}
    selector = {"app": target.partition("/")[2], "version": f"v{version}"}
    return {**body, "spec": {"selector": selector, "ports": [port]}}


def disruption_budget(target: str, version: str) -> Body:
    """Draining nodes takes one pod at a time."""
    kind = POD_DISRUPTION_BUDGET
    body = _object(kind.api_version, kind.kind, target, version)
    selector = {"matchLabels": labels_of(target, version)}
    return {**body, "spec": {"maxUnavailable": 1, "selector": selector}}


def deployment(
    request: ServerRequest, template: ServerTemplate, *, key: str, replicas: bool
) -> Body:
    """The Deployment; ``replicas`` False leaves their number to the autoscaler that owns it."""
    target, version = request.target, request.version
    body = _object(DEPLOYMENT.api_version, DEPLOYMENT.kind, target, version)
    body["metadata"]["annotations"] = {KEY: key, DIGEST: request.artifact_digest}
    spec: Body = {
        "selector": {"matchLabels": labels_of(target, version)},
        "progressDeadlineSeconds": template.ready_within_s,
        "strategy": {
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {"labels": labels_of(target, version)},
            "spec": _pod(request, template),
        },
    }
    if replicas:
        spec["replicas"] = template.replicas
    return {**body, "spec": spec}


def _pod(request: ServerRequest, template: ServerTemplate) -> Body:
    name = server_name(request.target, request.version)
    pod: Body = {
        "serviceAccountName": template.service_account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_fetching(request, template)],
        "containers": [_serving(request, template)],
        "volumes": [
            {"name": "artifact", "emptyDir": {}},
            {"name": "predictions", "emptyDir": {}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "config", "configMap": {"name": name}},
        ],
    }
    if template.node_selector:
        pod["nodeSelector"] = dict(template.node_selector)
    return pod


def _fetching(request: ServerRequest, template: ServerTemplate) -> Body:
    """Brings the artifact and checks its digest: a wrong one never gets as far as serving."""
    container = _container("fetch", template)
    container["command"] = ["python", "-m", "serving.fetch"]
    container["args"] = [
        *("--model", template.model),
        *("--version", request.version),
        *("--digest", request.artifact_digest),
        *("--into", "/artifact"),
    ]
    container["volumeMounts"] = [
        {"name": "artifact", "mountPath": "/artifact"},
        {"name": "scratch", "mountPath": "/tmp"},
    ]
    if template.secret:
        container["envFrom"] = [{"secretRef": {"name": template.secret}}]
    return container


def _serving(request: ServerRequest, template: ServerTemplate) -> Body:
    container = _container(CONTAINER, template)
    container["command"] = ["python", "-m", "serving"]
    container["args"] = [
        *("--artifact", "/artifact/model"),
        *("--target", request.target),
        *("--version", request.version),
        *("--host", "0.0.0.0"),
        *("--port", str(PORT)),
        *("--log", template.log),
        *("--config", f"/config/{CONFIG_FILE}"),
    ]
    container["ports"] = [{"name": "http", "containerPort": PORT, "protocol": "TCP"}]
    container["readinessProbe"] = _probe("/ready", period_s=5, failures=2)
    container["livenessProbe"] = _probe("/health", period_s=10, failures=3)
    container["startupProbe"] = _probe("/ready", period_s=5, failures=template.ready_within_s // 5)
    container["volumeMounts"] = [
        {"name": "artifact", "mountPath": "/artifact", "readOnly": True},
        {"name": "predictions", "mountPath": "/predictions"},
        {"name": "config", "mountPath": "/config", "readOnly": True},
        {"name": "scratch", "mountPath": "/tmp"},
    ]
    if template.log_secret:
        container["envFrom"] = [{"secretRef": {"name": template.log_secret}}]
    return container


def _container(name: str, template: ServerTemplate) -> Body:
    return {
        "name": name,
        "image": template.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in template.environment],
        "resources": {
            "requests": {"cpu": template.cpu, "memory": template.memory},
            "limits": {"memory": template.memory_limit},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _probe(path: str, *, period_s: int, failures: int) -> Body:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 3,
        "failureThreshold": max(1, failures),
    }


def _object(api_version: str, kind: str, target: str, version: str) -> Body:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": server_name(target, version),
            "namespace": target.partition("/")[0],
            "labels": labels_of(target, version),
        },
    }
