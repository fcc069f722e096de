"""Plays deployment controller and kubelet for the stand-in API server: pods load and crash."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.stand_in.kubernetes_api import Cluster

Body = dict[str, Any]
LOAD_S = 2.0
BACKOFF_S = 0.5
MAX_RESTARTS = 3
"""Whoever crashes more often crashes at every start: the kubelet's longest pause is for good."""


@dataclass
class _Running:
    restart: str
    started_s: float
    restarts: int = 0
    crashed_s: float | None = None


class Kubelet:
    """One pod per Deployment. ``step`` brings the cluster to the time ``now_s``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods: dict[tuple[str, str], _Running] = {}
        self.now_s = 0.0

    def pass_time(self, seconds: float) -> None:
        """Let time go by and do what is due."""
        self.now_s += seconds
        self.step()

    def crash(self, namespace: str, name: str) -> None:
        """The server's process dies."""
        self._pods[(namespace, name)].crashed_s = self.now_s
        self.step()

    def step(self) -> None:
        """Pods for Deployments, and what became of them."""
        with self._cluster.changed:
            deployments = {
                (key[2], key[3]): body
                for key, body in self._cluster.objects.items()
                if key[:2] == ("apps", "deployments")
            }
        for gone in set(self._pods) - set(deployments):
            del self._pods[gone]
            self._cluster.remove(("", "pods", *gone))
        for place, deployment in deployments.items():
            self._run(place, deployment)

    def health(self, pod: Body) -> Body:
        """What the server in the pod says of itself: its mounted configuration, its artifact."""
        meta = pod["metadata"]
        place = (meta["namespace"], meta["name"])
        config = self._cluster.objects[("", "configmaps", *place)]["data"]["config.json"]
        deployment = self._cluster.objects[("apps", "deployments", *place)]
        digest = deployment["metadata"]["annotations"]["mendloop.dev/artifact-digest"]
        return {"config": json.loads(config), "artifact_digest": digest}

    def _run(self, place: tuple[str, str], deployment: Body) -> None:
        template = deployment["spec"]["template"]["metadata"]
        annotations = template.get("annotations") or {}
        restart = annotations.get("mendloop.dev/restart", "")
        running = self._pods.get(place)
        if running is None or running.restart != restart:
            running = self._pods[place] = _Running(restart=restart, started_s=self.now_s)
        may_restart = running.crashed_s is not None and running.restarts < MAX_RESTARTS
        if may_restart and self.now_s - (running.crashed_s or 0.0) >= BACKOFF_S:
            running.restarts += 1
            running.crashed_s, running.started_s = None, self.now_s
        is_up = running.crashed_s is None
        is_ready = is_up and self.now_s - running.started_s >= LOAD_S
        self._tell(place, template, running, is_up=is_up, is_ready=is_ready)
        status = {"observedGeneration": deployment["metadata"]["generation"]}
        if deployment.get("status") != status:
            key = ("apps", "deployments", *place)
            self._cluster.put(key, {**deployment, "status": status})

    def _tell(
        self,
        place: tuple[str, str],
        template: Body,
        running: _Running,
        *,
        is_up: bool,
        is_ready: bool,
    ) -> None:
        crashed = {"waiting": {"reason": "CrashLoopBackOff"}}
        container = {
            "name": "server",
            "restartCount": running.restarts,
            "state": {"running": {}} if is_up else crashed,
            "lastState": {} if is_up else {"terminated": {"reason": "Error", "exitCode": 1}},
        }
        pod = {
            "metadata": {
                "namespace": place[0],
                "name": place[1],
                "labels": template["labels"],
                "annotations": template.get("annotations") or {},
            },
            "status": {
                "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
                "containerStatuses": [container],
            },
        }
        self._cluster.put(("", "pods", *place), pod)
