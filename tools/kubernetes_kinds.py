"""The kinds of objects that mendloop reads and writes in a cluster, and their paths in the API."""

from __future__ import annotations

from tools.values import Value


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
        """The URL path of one object, or of all in the namespace; "" stands for all namespaces,
        and for kinds that have none."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{within}/{self.plural}" + (f"/{name}" if name else "")

    def told(self, namespace: str, name: str = "") -> str:
        """How messages name an object, or all of them."""
        if name:
            return f"{self.kind} {namespace}/{name}" if namespace else f"{self.kind} {name}"
        return f"{self.plural} in {namespace or 'all namespaces'}"


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
MANAGED_MODEL = Kind(
    group="mendloop.dev", version="v1alpha1", kind="ManagedModel", plural="managedmodels"
)
EVENT = Kind(group="events.k8s.io", version="v1", kind="Event", plural="events")
CUSTOM_RESOURCE_DEFINITION = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
)
NAMESPACE = Kind(group="", version="v1", kind="Namespace", plural="namespaces")
