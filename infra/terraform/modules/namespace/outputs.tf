output "name" {
  description = "Name of the namespace, known once it is there."
  value       = kubernetes_namespace_v1.this.metadata[0].name
}
