mock_provider "kubernetes" {}

variables {
  name  = "models"
  quota = { cpu = "8", memory = "16Gi", memory_limit = "32Gi" }
}

run "pods_are_hardened_and_in_the_mesh" {
  command = plan

  variables {
    labels = { "pod-security.kubernetes.io/enforce" = "privileged", team = "pricing" }
  }

  assert {
    condition     = kubernetes_namespace_v1.this.metadata[0].labels["pod-security.kubernetes.io/enforce"] == "restricted"
    error_message = "Labels of the caller weaken pod security."
  }

  assert {
    condition     = kubernetes_namespace_v1.this.metadata[0].labels["istio-injection"] == "enabled" && kubernetes_namespace_v1.this.metadata[0].labels["team"] == "pricing"
    error_message = "A label is missing."
  }
}

run "everything_is_denied_first" {
  command = plan

  assert {
    condition = (
      kubernetes_network_policy_v1.deny_all.spec[0].policy_types == tolist(["Ingress", "Egress"])
      && length(kubernetes_network_policy_v1.deny_all.spec[0].ingress) == 0
      && length(kubernetes_network_policy_v1.deny_all.spec[0].egress) == 0
    )
    error_message = "Something passes without being named."
  }
}

run "a_namespace_without_ports_is_refused" {
  command = plan

  variables {
    ingress_from = { monitoring = [] }
  }

  expect_failures = [var.ingress_from]
}
