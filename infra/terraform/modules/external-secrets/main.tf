# External Secrets: carries passwords from Secrets Manager into Secrets of the cluster. Terraform names
# them and never sees them.

resource "helm_release" "operator" {
  name             = "external-secrets"
  repository       = "https://charts.external-secrets.io"
  chart            = "external-secrets"
  version          = var.chart_version
  namespace        = var.namespace
  create_namespace = true
  atomic           = true

  values = [yamlencode({
    serviceAccount = { name = var.service_account }
    # Nothing here pushes secrets out of the cluster.
    processPushSecret = false
  })]
}

# The store, and one ExternalSecret per Secret that somebody needs: objects of the operator's own kinds,
# in a chart because Terraform could only plan them once the kinds are there.
resource "helm_release" "secrets" {
  name      = "external-secrets-store"
  chart     = "${path.module}/chart"
  namespace = var.namespace
  atomic    = true

  values = [yamlencode({
    region  = var.region
    store   = var.store_name
    refresh = var.refresh_interval
    secrets = var.secrets
  })]

  depends_on = [helm_release.operator]
}
