output "tracking_uri" {
  description = "URL of MLflow inside the cluster."
  value       = "http://${helm_release.this.name}.${helm_release.this.namespace}.svc"
}
