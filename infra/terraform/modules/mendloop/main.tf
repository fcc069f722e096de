# mendloop itself, by its own chart. Its document of settings, its rules and its models are the chart's
# values; passwords come from a Secret that External Secrets fills.

resource "helm_release" "this" {
  name        = "mendloop"
  chart       = var.chart
  version     = var.chart_version
  namespace   = var.namespace
  atomic      = true
  max_history = 10

  # Later ones win: what this module knows, then what the caller says.
  values = concat([yamlencode(local.known)], var.values)
}

locals {
  known = {
    replicas = var.replicas
    image = {
      repository = var.image.repository
      digest     = var.image.digest
    }
    serviceAccount = { create = true, name = var.service_account }
  }
}
