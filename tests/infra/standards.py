"""What every manifest under infra/ has to keep; a list of complaints, empty when all is well.

Pod security: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted).
Labels: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.infra.programs import Document

RECOMMENDED = ("name", "instance", "version", "component", "part-of", "managed-by")
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
_SHARED = ("Namespace", "CustomResourceDefinition")
"""No installation's own."""
_ADDABLE = {"NET_BIND_SERVICE"}


def of_kind(objects: list[Document], *kinds: str) -> list[Document]:
    """The objects of these kinds."""
    return [each for each in objects if each["kind"] in kinds]


def pod_templates(objects: list[Document]) -> Iterator[tuple[str, Document]]:
    """Each pod template with the name of what it belongs to."""
    for each in objects:
        spec = each.get("spec") or {}
        name = f"{each['kind']} {each['metadata']['name']}"
        match each["kind"]:
            case "Pod":
                yield name, each
            case "CronJob":
                yield name, spec["jobTemplate"]["spec"]["template"]
            case "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicaSet":
                yield name, spec["template"]


def complaints(objects: list[Document]) -> list[str]:
    """What is wrong with any of them."""
    found = [f"{name}: {wrong}" for name, pod in pod_templates(objects) for wrong in _of_pod(pod)]
    for each in objects:
        labels = each["metadata"].get("labels") or {}
        missing = [label for label in RECOMMENDED if f"app.kubernetes.io/{label}" not in labels]
        if missing and each["kind"] not in _SHARED:
            found.append(f"{each['kind']} {each['metadata']['name']}: no label {missing}")
    return found


def _of_pod(template: Document) -> Iterator[str]:
    spec = template["spec"]
    security = spec.get("securityContext") or {}
    if any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares the host's namespaces"
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume['name']} is a {kinds}"
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    for container in containers:
        name, own = container["name"], container.get("securityContext") or {}
        yield from (f"{name}: {wrong}" for wrong in _of_container(container, own, security))


def _of_container(container: Document, own: Document, pod: Document) -> Iterator[str]:
    def effective(field: str) -> Any:
        return own.get(field, pod.get(field))

    if effective("runAsNonRoot") is not True:
        yield "may run as root"
    if not isinstance(effective("runAsUser"), int) or effective("runAsUser") == 0:
        yield "has no numeric user other than root"
    if (effective("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if own.get("privileged"):
        yield "is privileged"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield "keeps capabilities"
    if not set(capabilities.get("add") or []) <= _ADDABLE:
        yield f"adds {capabilities['add']}"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "takes a port of the host"
    resources = container.get("resources") or {}
    for kind, names in (("requests", ("cpu", "memory")), ("limits", ("memory",))):
        missing = [name for name in names if name not in (resources.get(kind) or {})]
        if missing:
            yield f"no {kind} of {missing}"
    if not is_pinned(container["image"]):
        yield f"image {container['image']} has no version"


def is_pinned(image: str) -> bool:
    """Whether a name says which image is meant: by digest, or by a tag that is not ``latest``."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return bool(digest) or tag not in ("", "latest")
