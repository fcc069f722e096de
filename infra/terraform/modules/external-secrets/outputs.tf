output "secret_names" {
  description = "Names of the Secrets, known once the operator was told of them."
  value       = { for name, _ in var.secrets : name => name if helm_release.secrets.status != "" }
}
