# Network policies: nothing passes, except what follows.

locals {
  metadata_name = "kubernetes.io/metadata.name"
}

resource "kubernetes_network_policy_v1" "deny_all" {
  metadata {
    name      = "deny-all"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Ingress", "Egress"]
  }
}

resource "kubernetes_network_policy_v1" "within" {
  metadata {
    name      = "within-the-namespace"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Ingress", "Egress"]

    ingress {
      from {
        pod_selector {}
      }
    }

    egress {
      to {
        pod_selector {}
      }
    }
  }
}

resource "kubernetes_network_policy_v1" "dns" {
  metadata {
    name      = "dns"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Egress"]

    egress {
      to {
        namespace_selector {
          match_labels = { (local.metadata_name) = "kube-system" }
        }

        pod_selector {
          match_labels = { k8s-app = "kube-dns" }
        }
      }

      ports {
        protocol = "UDP"
        port     = "53"
      }

      ports {
        protocol = "TCP"
        port     = "53"
      }
    }
  }
}

# Others in the cluster: who may call in, and whom pods may call.
resource "kubernetes_network_policy_v1" "from" {
  for_each = var.ingress_from

  metadata {
    name      = "from-${each.key}"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Ingress"]

    ingress {
      from {
        namespace_selector {
          match_labels = { (local.metadata_name) = each.key }
        }
      }

      dynamic "ports" {
        for_each = each.value

        content {
          protocol = "TCP"
          port     = tostring(ports.value)
        }
      }
    }
  }
}

resource "kubernetes_network_policy_v1" "to" {
  for_each = var.egress_to

  metadata {
    name      = "to-${each.key}"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Egress"]

    egress {
      to {
        namespace_selector {
          match_labels = { (local.metadata_name) = each.key }
        }
      }

      dynamic "ports" {
        for_each = each.value

        content {
          protocol = "TCP"
          port     = tostring(ports.value)
        }
      }
    }
  }
}

# Outside the cluster: S3, the database, the API server, by address and port.
resource "kubernetes_network_policy_v1" "outside" {
  for_each = var.egress_networks

  metadata {
    name      = "out-${each.key}"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  spec {
    pod_selector {}
    policy_types = ["Egress"]

    egress {
      to {
        ip_block {
          cidr = each.value.cidr
          # Nobody asks the node who it is.
          except = each.value.cidr == "0.0.0.0/0" ? ["169.254.169.254/32"] : []
        }
      }

      dynamic "ports" {
        for_each = each.value.ports

        content {
          protocol = "TCP"
          port     = tostring(ports.value)
        }
      }
    }
  }
}
