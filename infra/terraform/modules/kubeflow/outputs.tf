output "api_url" {
  description = "URL of the Kubeflow Pipelines API inside the cluster."
  value       = "http://ml-pipeline.${helm_release.pipelines.namespace}.svc:8888"
}

output "namespace" {
  description = "Namespace of Kubeflow Pipelines, known once it is up."
  value       = helm_release.pipelines.namespace
}
