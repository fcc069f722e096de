output "istio_version" {
  description = "Version of the mesh, known once its control plane is up."
  value       = helm_release.istiod.version
}

output "gateway_namespace" {
  description = "Namespace of the ingress gateway: from there requests come to the models."
  value       = helm_release.gateway.namespace
}
