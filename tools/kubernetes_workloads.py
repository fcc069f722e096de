"""Adapter of the Workloads port for a cluster: a Deployment per version, by server-side apply.

mendloop owns the fields it applies and no others: an autoscaler keeps its replicas, a person's
labels stay. The kubelet restarts what crashes; what it found is read from the pods. Fencing: the
newest token seen for a target stands in an annotation of one ConfigMap per target, which every
write raises first (with a ``resourceVersion`` test) and which refuses lower ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from tools import kubernetes_manifests as manifests
from tools.errors import Conflict, Invalid, Refused, Unavailable, Uncertain
from tools.kubernetes_api import (
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Exists,
    KubernetesApi,
    NotFound,
)
from tools.kubernetes_cache import Reads
from tools.kubernetes_manifests import DIGEST, KEY, RESTART, ServerTemplate, server_name
from tools.kubernetes_readings import current_pods, is_ready, phase_of, restarts_of
from tools.local_server import Endpoints
from tools.workloads import (
    ServerPhase,
    ServerRequest,
    ServerState,
    ServingConfig,
    must_leave_one_ready,
)

Body = dict[str, Any]
TOKEN = "mendloop.dev/fencing-token"
_ATTEMPTS = 5
Health = Callable[[Body], Mapping[str, Any]]
"""Asks a pod's ``/health``; raises Unavailable when it does not answer."""


class KubernetesWorkloads:
    """Implements Workloads for the targets that have a template."""

    def __init__(
        self,
        api: KubernetesApi,
        templates: Mapping[str, ServerTemplate],
        *,
        endpoints: Endpoints,
        health: Health,
        reads: Reads | None = None,
    ) -> None:
        """``endpoints`` is told which versions may get requests (Istio's subsets). ``reads``
        answers those who observe, from copies perhaps; without it the API server does."""
        self._api, self._reads = api, reads or api
        self._templates = dict(templates)
        self._endpoints = endpoints
        self._health = health

    def start(self, request: ServerRequest, *, key: str, token: int) -> ServerState:
        """See Workloads."""
        target, version = request.target, request.version
        self._claim(target, token)
        standing = self._deployment(target, version)
        if standing is not None:
            serving = _annotation(standing, DIGEST)
            if serving != request.artifact_digest:
                raise Invalid(
                    f"v{version} of {target} serves artifact {serving or 'unknown'}",
                    field="artifact_digest",
                )
            return self.read(target, version)
        self._api.apply(CONFIG_MAP, manifests.config_map(target, version, request.config))
        self._api.apply(SERVICE, manifests.service(target, version))
        self._api.apply(POD_DISRUPTION_BUDGET, manifests.disruption_budget(target, version))
        body = manifests.deployment(
            request,
            self._template(target),
            key=key,
            replicas=not self._is_autoscaled(target, version),
        )
        self._api.apply(DEPLOYMENT, body)
        return self.read(target, version)

    def read(self, target: str, version: str) -> ServerState:
        """See Workloads; the read that finds it ready lets requests be sent to it."""
        deployment = self._deployment(target, version, self._reads)
        if deployment is None:
            return ServerState(target=target, version=version, phase=ServerPhase.ABSENT)
        return self._state(target, deployment, self._reads)

    def servers(self, target: str) -> tuple[ServerState, ...]:
        """See Workloads."""
        states = self._standing(target, self._reads)
        return tuple(sorted(states, key=lambda state: _natural(state.version)))

    def configure(
        self, target: str, version: str, config: ServingConfig, *, key: str, token: int
    ) -> ServerState:
        """See Workloads. The kubelet brings the file to the pods within a minute or so."""
        self._claim(target, token)
        self._existing(target, version)
        self._api.apply(CONFIG_MAP, manifests.config_map(target, version, config))
        return self.read(target, version)

    def restart(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """See Workloads. A rolling restart: the old pods serve until new ones are ready."""
        self._claim(target, token)
        standing = self._existing(target, version)
        template = standing["spec"]["template"]["metadata"]
        annotations = template.get("annotations") or {}
        if annotations.get(RESTART) != key:
            path = "/spec/template/metadata/annotations"
            namespace, name = target.partition("/")[0], server_name(target, version)
            stamp = {"op": "add", "path": path, "value": {**annotations, RESTART: key}}
            self._api.patch(DEPLOYMENT, namespace, name, [stamp])
        return self.read(target, version)

    def stop(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """See Workloads."""
        self._claim(target, token)
        if self._deployment(target, version) is not None:
            must_leave_one_ready(self._standing(target, self._api), version)  # no copies here
            self._endpoints.withdraw(target, version)
        namespace, name = target.partition("/")[0], server_name(target, version)
        for kind in (DEPLOYMENT, POD_DISRUPTION_BUDGET, SERVICE, CONFIG_MAP):
            self._api.delete(kind, namespace, name)
        return ServerState(target=target, version=version, phase=ServerPhase.ABSENT)

    def _is_autoscaled(self, target: str, version: str) -> bool:
        """Whether an autoscaler owns the number of replicas: then mendloop must not write it."""
        owned = (DEPLOYMENT.kind, server_name(target, version))
        scalers = self._api.list(AUTOSCALER, target.partition("/")[0])
        references = [scaler["spec"]["scaleTargetRef"] for scaler in scalers]
        return owned in [(each.get("kind"), each.get("name")) for each in references]

    def _standing(self, target: str, reads: Reads) -> list[ServerState]:
        namespace, service = target.split("/", 1)
        label = f"{manifests.TARGET_LABEL}={service}"
        found = reads.list(DEPLOYMENT, namespace, labels=label)
        live = [d for d in found if not d["metadata"].get("deletionTimestamp")]
        return [self._state(target, deployment, reads) for deployment in live]

    def _state(self, target: str, deployment: Body, reads: Reads) -> ServerState:
        version = deployment["metadata"]["labels"][manifests.VERSION_LABEL]
        namespace, name = target.partition("/")[0], deployment["metadata"]["name"]
        wanted = ",".join(
            f"{label}={value}"
            for label, value in sorted(manifests.labels_of(target, version).items())
        )
        pods = current_pods(deployment, reads.list(POD, namespace, labels=wanted))
        phase, reason = phase_of(deployment, pods)
        address = f"{name}.{namespace}.svc:80"
        digest, config = _annotation(deployment, DIGEST), ServingConfig()
        if phase is ServerPhase.READY:
            told = self._told([pod for pod in pods if is_ready(pod)])
            if told is None:
                phase, reason = ServerPhase.STARTING, "its pods are ready and do not answer yet"
            else:
                digest, config = told
                self._endpoints.publish(target, version, address)
        return ServerState(
            target=target,
            version=version,
            phase=phase,
            reason=reason,
            address=address,
            artifact_digest=digest,
            config=config,
            restarts=restarts_of(pods),
            key=_annotation(deployment, KEY),
        )

    def _told(self, pods: list[Body]) -> tuple[str, ServingConfig] | None:
        """Digest and configuration in force, as every ready pod says itself; None while they differ
        or do not answer. A pod with another artifact is no server of this version."""
        answers = set()
        for pod in pods:
            try:
                said = self._health(pod)
                config = ServingConfig.model_validate(said["config"])
                answers.add((str(said["artifact_digest"]), config))
            except (Unavailable, KeyError, ValidationError):
                return None
        return answers.pop() if len(answers) == 1 else None

    def _deployment(self, target: str, version: str, reads: Reads | None = None) -> Body | None:
        try:
            found = (reads or self._api).read(
                DEPLOYMENT, target.partition("/")[0], server_name(target, version)
            )
        except NotFound:
            return None
        return None if found["metadata"].get("deletionTimestamp") else found

    def _existing(self, target: str, version: str) -> Body:
        found = self._deployment(target, version)
        if found is None:
            raise Invalid(f"v{version} of {target} has no server; start it first", field="version")
        return found

    def _template(self, target: str) -> ServerTemplate:
        if target not in self._templates:
            raise Invalid(f"there is no server template for {target}; add one to the configuration")
        return self._templates[target]

    def _claim(self, target: str, token: int) -> None:
        """Let nobody with a lower token write any more. Refused when somebody has a higher one."""
        namespace, service = target.split("/", 1)
        name = f"mendloop-{service}"
        for _ in range(_ATTEMPTS):
            try:
                body = self._api.read(CONFIG_MAP, namespace, name)
                newest = int(_annotation(body, TOKEN) or "0")
                if token < newest:
                    raise Refused(f"the servers of {target} belong to token {newest}, not {token}")
                if token == newest:
                    return
                body["metadata"].setdefault("annotations", {})[TOKEN] = str(token)
                self._api.replace(CONFIG_MAP, body)
                return
            except NotFound:
                if self._first_claim(namespace, name, token):
                    return
            except (Conflict, Uncertain):
                continue
        raise Unavailable(f"ConfigMap {namespace}/{name} is written by others all the time")

    def _first_claim(self, namespace: str, name: str, token: int) -> bool:
        meta = {"namespace": namespace, "name": name, "annotations": {TOKEN: str(token)}}
        kind = CONFIG_MAP
        try:
            self._api.create(
                kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta}
            )
        except (Exists, Uncertain):
            return False
        return True


def http_health(pod: Body) -> Mapping[str, Any]:
    """Implements Health over HTTP, from inside the cluster."""
    import httpx

    ip = (pod.get("status") or {}).get("podIP")
    if not ip:
        raise Unavailable("the pod has no address yet")
    try:
        answer = httpx.get(f"http://{ip}:{manifests.PORT}/health", timeout=3.0, trust_env=False)
        answer.raise_for_status()
        said = json.loads(answer.text)
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(f"{ip} does not tell its health: {error}") from error
    return dict(said) if isinstance(said, dict) else {}


def _annotation(body: Body, name: str) -> str:
    return str((body["metadata"].get("annotations") or {}).get(name, ""))


def _natural(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (sys.maxsize, version)
