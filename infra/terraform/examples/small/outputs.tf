output "cluster_name" {
  description = "Name of the cluster, for `aws eks update-kubeconfig`."
  value       = module.cluster.name
}

output "bucket_names" {
  description = "Buckets by purpose."
  value       = module.storage.bucket_names
}

output "database_address" {
  description = "Host name of PostgreSQL."
  value       = module.database.address
}

output "database_administrator_secret_arn" {
  description = "Secret with the password of PostgreSQL's administrator, for the first login."
  value       = module.database.administrator_secret_arn
}

output "endpoints" {
  description = "What mendloop's settings name: MLflow, Kubeflow Pipelines, Prometheus, Alertmanager."
  value = {
    mlflow       = module.mlflow.tracking_uri
    kubeflow     = module.kubeflow.api_url
    prometheus   = module.monitoring.prometheus_url
    alertmanager = module.monitoring.alertmanager_url
  }
}
