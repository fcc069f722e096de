output "secret_names" {
  description = "Names of the Secrets by key, known once the operator was told of them."
  value       = { for name, secret in var.secrets : name => coalesce(secret.name, name) if helm_release.secrets.status != "" }
}
