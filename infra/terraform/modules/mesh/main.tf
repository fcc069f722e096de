# Istio: definitions, CNI plugin (sidecars without privileged init containers), control plane, gateway.

locals {
  repository = "https://istio-release.storage.googleapis.com/charts"
  namespace  = "istio-system"
}

resource "helm_release" "base" {
  name             = "istio-base"
  repository       = local.repository
  chart            = "base"
  version          = var.istio_version
  namespace        = local.namespace
  create_namespace = true
  atomic           = true
}

resource "helm_release" "cni" {
  name       = "istio-cni"
  repository = local.repository
  chart      = "cni"
  version    = var.istio_version
  namespace  = local.namespace
  atomic     = true

  depends_on = [helm_release.base]
}

resource "helm_release" "istiod" {
  name       = "istiod"
  repository = local.repository
  chart      = "istiod"
  version    = var.istio_version
  namespace  = local.namespace
  atomic     = true

  values = [yamlencode({
    pilot = {
      cni              = { enabled = true }
      autoscaleMin     = var.control_plane_replicas
      autoscaleEnabled = true
    }
    meshConfig = {
      # mendloop verifies from istio_requests_total that traffic moved: the telemetry has to be there.
      enablePrometheusMerge = true
      # Calls to what the mesh does not know are refused where a namespace's egress is open.
      outboundTrafficPolicy = { mode = var.outbound_traffic }
    }
  })]

  depends_on = [helm_release.cni]
}

resource "helm_release" "gateway" {
  name             = "istio-ingressgateway"
  repository       = local.repository
  chart            = "gateway"
  version          = var.istio_version
  namespace        = var.gateway_namespace
  create_namespace = true
  atomic           = true

  values = [yamlencode({
    autoscaling = { minReplicas = var.gateway_replicas }
    service = {
      annotations = {
        "service.beta.kubernetes.io/aws-load-balancer-type"   = "nlb"
        "service.beta.kubernetes.io/aws-load-balancer-scheme" = var.gateway_is_public ? "internet-facing" : "internal"
      }
    }
  })]

  depends_on = [helm_release.istiod]
}
