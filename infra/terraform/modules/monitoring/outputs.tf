output "prometheus_url" {
  description = "URL of Prometheus inside the cluster."
  value       = "http://${helm_release.this.name}-kube-prometheus-prometheus.${helm_release.this.namespace}.svc:9090"
}

output "alertmanager_url" {
  description = "URL of Alertmanager inside the cluster."
  value       = "http://${helm_release.this.name}-kube-prometheus-alertmanager.${helm_release.this.namespace}.svc:9093"
}

output "namespace" {
  description = "Namespace of the stack, known once it is up."
  value       = helm_release.this.namespace
}
