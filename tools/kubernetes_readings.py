"""What Deployments and pods say about a version's server, in the words of the Workloads port.

Reasons are Kubernetes's own, with what they mean for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.kubernetes_manifests import CONTAINER, RESTART
from tools.workloads import ServerPhase

Body = dict[str, Any]
MAX_CRASHES = 3
"""Restarts in a row after which the next crash counts as final."""
_HOPELESS = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "InvalidImageName": "its image's name is wrong",
    "CreateContainerConfigError": "its configuration or secret is missing",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
}


def phase_of(deployment: Body, pods: Sequence[Body]) -> tuple[ServerPhase, str]:
    """Where the server stands, and why it is not ready.

    ``pods``: all that the Deployment selects. READY as soon as one current pod takes requests: a
    rollout may still be adding others.
    """
    current = current_pods(deployment, pods)
    status, meta = deployment.get("status") or {}, deployment["metadata"]
    is_seen = status.get("observedGeneration", 0) >= meta.get("generation", 1)
    if is_seen and any(is_ready(pod) for pod in current):
        return ServerPhase.READY, ""
    for pod in current:
        reason = _hopeless(pod)
        if reason:
            return ServerPhase.FAILED, reason
    for condition in status.get("conditions") or []:
        if condition.get("reason") == "ProgressDeadlineExceeded" and is_seen:
            message = condition.get("message") or "no pod got ready in time"
            return ServerPhase.FAILED, f"its rollout made no progress: {message}"
    return ServerPhase.STARTING, _waiting(current)


def restarts_of(pods: Sequence[Body]) -> int:
    """How often the server's containers were started anew; the worst pod tells."""
    return max((_restarts(pod) for pod in pods), default=0)


def current_pods(deployment: Body, pods: Sequence[Body]) -> list[Body]:
    """Those of the newest restart that are not on their way out."""
    template = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and (pod["metadata"].get("annotations") or {}).get(RESTART) == template.get(RESTART)
    ]


def is_ready(pod: Body) -> bool:
    """Whether a pod takes requests: Ready, and not on its way out."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    is_leaving = bool(pod["metadata"].get("deletionTimestamp"))
    told = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return told and not is_leaving


def _containers(pod: Body) -> list[Body]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _restarts(pod: Body) -> int:
    return sum(int(container.get("restartCount", 0)) for container in _containers(pod))


def _hopeless(pod: Body) -> str:
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _HOPELESS:
            return f"{_HOPELESS[reason]}: {waiting.get('message') or reason}"
        if int(container.get("restartCount", 0)) > MAX_CRASHES - 1 and _is_down(container):
            count = int(container.get("restartCount", 0)) + 1
            return f"crashed {count} times in a row: {_last_words(container)}"
    return ""


def _is_down(container: Body) -> bool:
    state = container.get("state") or {}
    is_waiting = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    return is_waiting or "terminated" in state


def _last_words(container: Body) -> str:
    state = container.get("state") or {}
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    reason = ended.get("reason") or "no reason given"
    code = ended.get("exitCode")
    told = ended.get("message") or ""
    which = container.get("name", CONTAINER)
    return (
        f"{which}: {reason}"
        + (f", exit code {code}" if code is not None else "")
        + (f", {told.strip()[-200:]}" if told else "")
    )


def _waiting(pods: Sequence[Body]) -> str:
    if not pods:
        return "no pod yet"
    for pod in pods:
        for condition in (pod.get("status") or {}).get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return f"cannot be scheduled: {condition.get('message') or 'no node fits'}"
        for container in _containers(pod):
            if _is_down(container):
                return f"crashed, restarts soon: {_last_words(container)}"
    return "still loading"
