# A namespace for models: pods that are not hardened are refused, Istio comes along, resources are
# counted, and nobody talks to anybody who is not named.

locals {
  labels = merge(var.labels, {
    "pod-security.kubernetes.io/enforce"         = "restricted"
    "pod-security.kubernetes.io/enforce-version" = "latest"
    "pod-security.kubernetes.io/audit"           = "restricted"
    "pod-security.kubernetes.io/warn"            = "restricted"
    # With Istio's CNI plugin: without it, the sidecar's init container needs what "restricted" forbids.
    "istio-injection" = var.istio_injection ? "enabled" : "disabled"
  })
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name        = var.name
    labels      = local.labels
    annotations = var.annotations
  }
}

resource "kubernetes_resource_quota_v1" "this" {
  metadata {
    name      = "quota"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    hard = merge(
      {
        "requests.cpu"           = var.quota.cpu
        "requests.memory"        = var.quota.memory
        "limits.memory"          = var.quota.memory_limit
        "requests.storage"       = var.quota.storage
        "pods"                   = tostring(var.quota.pods)
        "services.loadbalancers" = "0"
        "services.nodeports"     = "0"
      },
      { "requests.nvidia.com/gpu" = tostring(var.quota.gpus) },
    )
  }
}

# With a quota on memory, a container that names none would be refused: it gets these.
resource "kubernetes_limit_range_v1" "this" {
  metadata {
    name      = "defaults"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    limit {
      type            = "Container"
      default         = { memory = var.container_defaults.memory_limit }
      default_request = { cpu = var.container_defaults.cpu, memory = var.container_defaults.memory }
    }
  }
}
