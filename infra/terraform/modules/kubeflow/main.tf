# Kubeflow Pipelines has no chart of its own for its second version: it is published as kustomizations.
# Helm installs a chart that is all but empty, and on the way to the cluster its rendering is replaced
# by the kustomization of the release (Helm calls this post-rendering). So the upstream manifests are
# used unchanged and pinned, and Helm still owns, upgrades and removes them.

locals {
  source   = "github.com/kubeflow/pipelines/manifests/kustomize"
  renderer = "${path.module}/bin/kustomization"
}

# Definitions of kinds first: the second release contains objects of these kinds.
resource "helm_release" "definitions" {
  name             = "kubeflow-pipelines-definitions"
  chart            = "${path.module}/chart"
  namespace        = var.namespace
  create_namespace = true

  values = [yamlencode({ ref = var.pipelines_version })]

  postrender = {
    binary_path = local.renderer
    args        = ["${local.source}/cluster-scoped-resources?ref=${var.pipelines_version}"]
  }
}

resource "helm_release" "pipelines" {
  name      = "kubeflow-pipelines"
  chart     = "${path.module}/chart"
  namespace = var.namespace
  timeout   = 1200

  values = [yamlencode({ ref = var.pipelines_version })]

  postrender = {
    binary_path = local.renderer
    args        = ["${local.source}/${var.environment}?ref=${var.pipelines_version}"]
  }

  depends_on = [helm_release.definitions]
}
