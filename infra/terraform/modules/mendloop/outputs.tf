output "release" {
  description = "Name of the Helm release."
  value       = helm_release.this.name
}

output "namespace" {
  description = "Namespace of the controller, known once it is up."
  value       = helm_release.this.namespace
}
