"""Plays deployment controller and kubelet for an API server that has neither: pods load and crash.

It speaks to the API server like they do, so it serves the stand-in and a real one alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tools.kubernetes_api import CONFIG_MAP, DEPLOYMENT, POD, Exists, KubernetesApi
from tools.kubernetes_manifests import DIGEST, RESTART

Body = dict[str, Any]
LOAD_S = 2.0
BACKOFF_S = 0.5
MAX_RESTARTS = 3
"""Whoever crashes more often crashes at every start: the kubelet's longest pause is for good."""


@dataclass
class _Running:
    pod: str
    restart: str
    started_s: float
    restarts: int = 0
    crashed_s: float | None = None


class Kubelet:
    """One pod per Deployment of a namespace. ``step`` brings the cluster to the time ``now_s``."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._pods: dict[str, _Running] = {}
        self._made = 0
        self.now_s = 0.0

    def pass_time(self, seconds: float) -> None:
        """Let time go by and do what is due."""
        self.now_s += seconds
        self.step()

    def crash(self, name: str) -> None:
        """The process of a Deployment's server dies."""
        self._pods[name].crashed_s = self.now_s
        self.step()

    def health(self, pod: Body) -> Body:
        """What the server in the pod says of itself: its mounted configuration, its artifact."""
        name = next(name for name, run in self._pods.items() if run.pod == pod["metadata"]["name"])
        config = self._api.read(CONFIG_MAP, self._namespace, name)["data"]["config.json"]
        deployment = self._api.read(DEPLOYMENT, self._namespace, name)
        digest = deployment["metadata"]["annotations"][DIGEST]
        return {"config": json.loads(config), "artifact_digest": digest}

    def step(self) -> None:
        """Pods for Deployments, and what became of them."""
        deployments = {
            body["metadata"]["name"]: body for body in self._api.list(DEPLOYMENT, self._namespace)
        }
        for gone in set(self._pods) - set(deployments):
            self._remove(self._pods.pop(gone).pod)
        for name, deployment in deployments.items():
            self._run(name, deployment)

    def _run(self, name: str, deployment: Body) -> None:
        template = deployment["spec"]["template"]
        restart = (template["metadata"].get("annotations") or {}).get(RESTART, "")
        running = self._pods.get(name)
        if running is None or running.restart != restart:
            if running is not None:
                self._remove(running.pod)
            self._made += 1
            running = _Running(f"{name}-{self._made}", restart, started_s=self.now_s)
            self._pods[name] = running
            make_pod(self._api, self._namespace, running.pod, template["metadata"])
        may_restart = running.crashed_s is not None and running.restarts < MAX_RESTARTS
        if may_restart and self.now_s - (running.crashed_s or 0.0) >= BACKOFF_S:
            running.restarts += 1
            running.crashed_s, running.started_s = None, self.now_s
        is_up = running.crashed_s is None
        is_ready = is_up and self.now_s - running.started_s >= LOAD_S
        self._tell(running, is_up=is_up, is_ready=is_ready)
        seen = {"observedGeneration": deployment["metadata"]["generation"]}
        self._api.patch_status(DEPLOYMENT, self._namespace, name, seen)

    def _tell(self, running: _Running, *, is_up: bool, is_ready: bool) -> None:
        crashed = {"waiting": {"reason": "CrashLoopBackOff"}}
        container: Body = {
            "name": "server",
            "image": "image",
            "imageID": "",
            "ready": is_ready,
            "restartCount": running.restarts,
            "state": {"running": {}} if is_up else crashed,
        }
        if not is_up:
            container["lastState"] = {"terminated": {"reason": "Error", "exitCode": 1}}
        status = {"conditions": [ready(is_ready)], "containerStatuses": [container]}
        self._api.patch_status(POD, self._namespace, running.pod, status)

    def _remove(self, pod: str) -> None:
        """A pod without a node is gone at once."""
        self._api.delete(POD, self._namespace, pod)


def make_pod(api: KubernetesApi, namespace: str, name: str, template: Body) -> None:
    """A pod with the template's labels and annotations, which no node will ever run."""
    meta = {"namespace": namespace, "name": name, "labels": template["labels"]}
    if template.get("annotations"):
        meta["annotations"] = template["annotations"]
    spec: Body = {"containers": [{"name": "server", "image": "image"}]}
    spec["schedulerName"] = "nobody"
    spec["activeDeadlineSeconds"] = 86400  # the quota of tests/stand_in/api_servers.py spares these
    try:
        api.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    except Exists:
        api.read(POD, namespace, name)


def ready(is_ready: bool) -> Body:
    """The condition that decides whether a pod gets requests."""
    return {"type": "Ready", "status": "True" if is_ready else "False"}
